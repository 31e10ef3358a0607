"""Files about the package: how it is installed, its metadata, its readme, its workflows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import actspan
from actspan.core import installation
from actspan.core.errors import MissingExtraError, require
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HOME = PROJECT["project"]["urls"]["Repository"]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")]


class Installed:
    """A distribution with pip's record of where it came from."""

    def __init__(self, record: object) -> None:
        self.record = record

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.record is None else json.dumps(self.record)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(
            {"url": "file:///home/me/my%20actspan", "dir_info": {"editable": True}},
            "pip install '/home/me/my actspan[video]'",
            id="checkout",
        ),
        pytest.param(
            {"url": "file:///tmp/actspan-0.1.0-py3-none-any.whl", "archive_info": {}},
            "pip install '/tmp/actspan-0.1.0-py3-none-any.whl[video]'",
            id="wheel",
        ),
        pytest.param(
            {"url": HOME, "vcs_info": {"vcs": "git", "commit_id": "a"}},
            f"pip install 'actspan[video] @ git+{HOME}'",
            id="repository",
        ),
        pytest.param(None, "pip install 'actspan[video]'", id="index"),
    ],
)
def test_an_extra_is_installed_from_where_the_package_came_from(
    record: object, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "distribution", lambda name: Installed(record))
    assert installation.install_command("video") == expected


def test_what_is_not_installed_is_installed_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Installed:
        raise installation.PackageNotFoundError(name)

    monkeypatch.setattr(installation, "distribution", missing)
    assert installation.install_command("video") == "pip install '.[video]'"
    with pytest.raises(MissingExtraError, match=r"needs no_such_module.*pip install '\.\[video\]'"):
        require("no_such_module", extra="video", purpose="a film")


def test_pages_install_what_can_be_installed() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    found = 0
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            if "pip install" not in line or "--find-links" in line:
                continue
            for name, listed in re.findall(r"['\"]([\w./-]*)\[([\w,]+)\]['\"]", line):
                found += 1
                assert name == installation.DOCUMENTED, f"{page.name}: {line}"
                assert set(listed.split(",")) <= extras.keys(), f"{page.name}: {line}"
    assert found > 5


def test_one_address_of_the_project() -> None:
    """Require the same address in all places, so that they change together."""
    files = [*PAGES, ROOT / "pyproject.toml", ROOT / "CITATION.cff", *(ROOT / ".github").rglob("*")]
    files += (ROOT / "src").rglob("*.py")
    named = [
        url
        for file in files
        if file.is_file()
        for url in re.findall(r"https://[\w.]+/[\w-]+/actspan\b", file.read_text(encoding="utf-8"))
    ]
    assert len(named) > 5
    assert set(named) == {HOME}


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == actspan.__version__
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["repository-code"] == HOME
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(actspan.__version__)} \(", changes, re.MULTILINE)


def test_the_readme_of_the_index_has_no_relative_links() -> None:
    hook = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((?![a-z]+:|#)([^)]+)\)", text)
    for rule in hook["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    assert links
    assert not re.findall(r"\]\((?![a-z]+:|#)[^)]+\)", text)
    for link in links:
        assert (ROOT / link.partition("#")[0]).exists(), link


def test_workflows_call_targets_that_exist_for_every_python_that_is_claimed() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    claims = [c.rpartition(" :: ")[2] for c in PROJECT["project"]["classifiers"] if "3." in c]
    (workflow,) = (ROOT / ".github/workflows").glob("*.yml")
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    called = [
        word
        for job in jobs.values()
        for step in job["steps"]
        if step.get("run", "").startswith("make ")
        for word in step["run"].split()[1:]
        if "=" not in word and not word.startswith(("$", "}", "matrix"))
    ]
    assert called
    assert set(called) <= targets
    for name in ("test", "package"):
        assert jobs[name]["strategy"]["matrix"]["python"] == claims


def test_the_main_job_needs_no_arrow(tmp_path: Path) -> None:
    """Demo, label-free proposals, evaluation and a report work without the extra `arrow`."""
    pytest.importorskip("jinja2", reason="needs the extra 'report'")
    code = f"""
import sys
sys.modules["pyarrow"] = None
from actspan.cli import main
for line in (
    "demo --videos 6 --out {tmp_path}/demo",
    "propose --dataset {tmp_path}/demo/dataset --out {tmp_path}/free",
    "propose --dataset {tmp_path}/demo/dataset --out {tmp_path}/free.csv",
    "evaluate {tmp_path}/free --ground-truth {tmp_path}/demo/dataset",
    "report {tmp_path}/free --ground-truth {tmp_path}/demo/dataset --out {tmp_path}/report.html",
):
    main(line.split(), standalone_mode=False)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "free/candidates.npy").is_file()


@pytest.mark.parametrize(
    "line",
    [
        "pack {demo} --out store",
        "propose --dataset {demo} --out x.parquet",
        "extract walk.csv --out features",
    ],
)
def test_what_needs_arrow_says_so_before_it_works(line: str, tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    (tmp_path / "walk.csv").write_text("t,x\n0,1\n1,2\n")
    code = f"""
import sys
sys.modules["pyarrow"] = None
from actspan.cli import main
from actspan.data.synthetic_dataset import write_synthetic_dataset
from pathlib import Path
write_synthetic_dataset(Path("{demo}"), training=4, validation=2, seed=0)
main({line.format(demo=demo).split()!r}, standalone_mode=False)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert re.search(
        r"needs pyarrow, which is not installed: pip install '.*\[arrow\]'", done.stderr
    )
