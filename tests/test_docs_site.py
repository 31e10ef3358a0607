"""Pages and notebooks of the site, and the checks that `make docs` makes of the reference."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import actspan
from tests.conftest import ROOT

DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def test_every_page_is_in_the_navigation() -> None:
    pages = {
        path.relative_to(DOCS).with_suffix("").as_posix()
        for suffix in ("md", "ipynb")
        for path in DOCS.rglob(f"*.{suffix}")
        if ".ipynb_checkpoints" not in path.parts
    }
    listed = re.findall(r"^[^`\n]+ <([\w/-]+)>$", (DOCS / "index.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(pages - {"index"})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path: Path) -> None:
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def build(folder: Path, page: str) -> list[str]:
    """Build a site of one page with the checks of the reference; return its warnings."""
    if importlib.util.find_spec("sphinx") is None:
        pytest.skip("needs Sphinx (extra 'docs')")
    (folder / "conf.py").write_text(
        f"import sys\nsys.path[:0] = [{str(DOCS)!r}, {str(folder)!r}]\n"
        "extensions = ['sphinx.ext.autodoc', 'reference_checks']\n"
    )
    (folder / "index.rst").write_text(f"Title\n=====\n\n{page}")
    options = ["-q", "--no-color", "-b", "dummy"]
    command = [sys.executable, "-m", "sphinx", *options, str(folder), str(folder / "b")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("WARNING: ")[-1] for line in done.stderr.splitlines() if line]


def test_public_names_without_a_description_are_found(tmp_path: Path) -> None:
    warnings = build(tmp_path, ".. autofunction:: actspan.soft_nms\n")
    missing = set(actspan.__all__) - {"soft_nms"}
    where = "is not in the reference (docs/reference/python.md)"
    named = {line.removesuffix(where).strip() for line in warnings if line.endswith(where)}
    assert named == {f"actspan.{name}" for name in missing}


def test_public_methods_without_a_docstring_are_found(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text(
        'class Bare:\n    """Text."""\n\n    def method(self): ...\n\n    @property\n'
        '    def told(self):\n        """Text."""\n'
    )
    warnings = build(tmp_path, ".. autoclass:: bare.Bare\n")
    assert [line for line in warnings if "docstring" in line] == [
        "bare.Bare.method has no docstring"
    ]
