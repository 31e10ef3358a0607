"""The package works without what only POSIX has: the main jobs under limits of Windows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from actspan.core import files
from tests.conftest import ROOT
from tests.runs import contents

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="simulated on Linux alone")


def run_jobs(folder: Path, *limits: str) -> str:
    """Run the jobs of `tests.windows` in a process of their own; return its output."""
    settings = {"PYTHONIOENCODING": "cp1252", "PYTHONWARNDEFAULTENCODING": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.windows", str(folder), *limits],
        capture_output=True,
        cwd=ROOT,
        env=os.environ | settings,
        check=False,
    )
    text = (done.stdout + done.stderr).decode("cp1252")
    assert done.returncode == 0, text
    return text


def write_match(folder: Path) -> None:
    """Write a short video, if it can be: PyAV is an extra."""
    try:
        from tests.streams.example_videos import write_video
    except ImportError:
        return
    times = [0.04 * number for number in range(100)]
    write_video(folder / "match.mp4", times)


def written(run: Path) -> dict[str, bytes]:
    """Return the files of a run but `inputs.json`, whose stamps are times of the inputs' files."""
    found = contents(run, "inputs.json")
    lines = found["run.toml"].splitlines()
    return found | {"run.toml": b"\n".join(x for x in lines if b'"inputs.json"' not in x)}


def test_the_main_jobs_give_the_same_bytes_under_limits_of_windows(tmp_path: Path) -> None:
    results = {}
    for limits in ("free", "limited"):
        folder = tmp_path / "work"  # runs record its path
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write_match(folder)
        said = run_jobs(folder, *[limits] * (limits == "limited"))
        runs = [folder / "ünïcode" / "run", folder / "resumed"]
        results[limits] = [written(run) for run in runs]
        results[limits] += [file.read_bytes() for file in sorted(folder.glob("*.json"))]
        assert not list(folder.rglob(".*"))
    assert int(said.split(" modules")[0].split()[-1]) > 200
    assert results["limited"] == results["free"]


@pytest.mark.parametrize("name", ["c:evil", "a/b", "..", ""])
def test_names_on_another_drive_are_not_plain(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_SEPARATORS", frozenset("/\\\0:"))
    assert not files.is_plain_name(name)
