"""The container images, the compose file and the unit of systemd; docs/deploy/docker.md.

The images are built, and the commands of the page run, by `make test-container`: it takes minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from actspan.core.installation import BUILD_VARIABLE, install_command
from tests.conftest import ROOT
from tests.container_engine import install_engine, program
from tests.docs.pages import blocks
from tests.examples import write_bundle, write_dataset

DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
PAGE = ROOT / "docs" / "deploy" / "docker.md"
TRACKED = ("src", "deploy", ".dockerignore", "constraints.txt", "pyproject.toml")
TEXTS = ("README.md", "LICENSE", "NOTICE")


def test_the_dockerfile_has_no_lint() -> None:
    hadolint = program("hadolint")
    if hadolint is None:
        pytest.skip("needs hadolint (extra 'dev')")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_images_run_without_rights() -> None:
    """Check that stages that are run start from `runtime`, and end with a user that is not root."""
    stages = re.split(r"^FROM ", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    run = [stage for stage in stages if stage.startswith("runtime AS ")]
    assert [stage.split()[2] for stage in run] == ["deploy", "cuda", "actspan"]
    (runtime,) = (stage for stage in stages if " AS runtime" in stage)
    for stage in run:
        assert re.findall(r"^USER (\S+)", runtime + stage, re.MULTILINE)[-1] == "10001"


def test_an_image_names_the_command_that_adds_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    (command,) = re.findall(rf'{BUILD_VARIABLE}="(.+)"', text)
    (extras,) = re.findall(r"^ARG EXTRAS=(\S+)$", text, re.MULTILINE)
    monkeypatch.setenv(BUILD_VARIABLE, command)
    build = "docker build --file deploy/Dockerfile --build-arg EXTRAS={} --tag actspan ."
    assert install_command("hub") == build.format(f"{extras},hub")
    assert install_command(again=True) == build.format(extras)


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    """Return the service of the compose file."""
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = document["services"]["actspan"]
    named = {volume.split(":")[0] for volume in found["volumes"] if volume[0].isalpha()}
    assert named == set(document["volumes"])
    return found


def test_compose_publishes_on_loopback_with_limits(service: dict[str, Any]) -> None:
    assert [port.rpartition(":")[2] for port in service["ports"]] == ["8000"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert {"mem_limit", "pids_limit", "restart"} <= service.keys()
    places = [
        volume.partition("}:")[2] or volume.partition(":")[2] for volume in service["volumes"]
    ]
    assert places == ["/videos:ro", "/models:ro", "/results", "/data", "/var/cache/actspan"]


def test_variables_of_compose_are_on_the_page() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{(ACTSPAN_\w+)", text))
    rows = re.findall(r"^\| (`ACTSPAN_.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert used == {name for row in rows for name in re.findall(r"ACTSPAN_\w+", row)}


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs the program systemd-analyze")
    unit = tmp_path / "actspan.service"
    text = (DEPLOY / "actspan.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/actspan/bin/actspan", "/bin/true"))  # it must exist
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    (exposure,) = re.findall(r"its exposure is ([\d.]+) of 10", PAGE.read_text(encoding="utf-8"))
    limit = str(round(float(exposure) * 10))
    security = ["systemd-analyze", "security", "--offline=yes", f"--threshold={limit}", unit]
    done = subprocess.run(security, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with what the page assumes: a copy of the repository, a video, a model."""
    example_videos = pytest.importorskip("tests.streams.example_videos", reason="needs 'video'")
    folder = tmp_path_factory.mktemp("container")
    (folder / "bin").mkdir()
    install_engine(folder / "bin", Path(os.environ.get("ACTSPAN_IMAGES", folder / "images")))
    place = folder / "work"
    place.mkdir()
    for name in TRACKED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, place / name)
    for name in TEXTS:
        shutil.copy(ROOT / name, place / name)
    (place / "videos").mkdir()
    example_videos.write_video(place / "videos" / "match.mp4", example_videos.steady(20.0))
    write_bundle(place / "model")
    write_dataset(place / "my-videos")
    yield place
    for line in ("docker rm --force actspan-service", "docker compose -f deploy/compose.yaml down"):
        run(place, f"{line} 2>&1 || true")


def run(place: Path, script: str) -> str:
    """Run lines in bash, with the engine as `docker`; return their output, and keep variables."""
    kept = place.parent / "variables"
    kept.touch()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f". '{kept}'\n{script}\nexport -p > '{kept}'"],
        cwd=place,
        env={**os.environ, "PATH": f"{place.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.slow
def test_the_commands_of_the_page(place: Path) -> None:
    """Build the images, propose, serve, deploy and compose, as a reader of the page does."""
    for block in blocks(PAGE):
        if block.language != "sh" or "not run" in block.marks:
            continue
        if "--name actspan-service" in block.text:
            run(place, block.text)
            check_service(place)
        else:
            run(place, block.text)
    assert (place / "segments.csv").read_text().startswith("video,")
    assert (place / "segments.csv").stat().st_uid == os.getuid()
    assert {"tem.xml", "pem.xml"} <= {file.name for file in (place / "cpu").iterdir()}


def check_service(place: Path) -> None:
    """Check that processes of the service have no rights, and that its health check passes."""
    assert run(place, "docker exec actspan-service id -u").strip() == "10001"
    probe = "docker inspect --format '{{json .Config.Healthcheck}}' actspan-service"
    assert "readyz" in run(place, probe)
    health = 'docker exec actspan-service python -c "{}"'
    (code,) = set(re.findall(r'"python", "-c", "(.+)"\]', DOCKERFILE.read_text(encoding="utf-8")))
    run(place, f"for try in $(seq 60); do {health.format(code)} && exit; sleep 1; done; exit 1")
