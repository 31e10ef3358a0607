"""Temporary folders: removed after use, and by the next process if theirs was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from actspan.core.locks import HAS_LOCKS
from actspan.core.temporary import temporary_folder

KILLED = """
import os, signal
from actspan.core.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "half").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_folder_is_empty_and_removed(tmp_path: Path) -> None:
    with temporary_folder() as folder:
        assert folder.is_relative_to(tmp_path)
        assert not os.listdir(folder)
        (folder / "file").write_bytes(b"x")
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(not HAS_LOCKS, reason="without locks nothing is swept")
def test_the_folder_of_a_killed_process_is_removed_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "actspan-notes").mkdir()
    (tmp_path / "actspan-a1b2c3d4").mkdir()  # of one that was killed before it locked it
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], env=os.environ | {"TMPDIR": str(tmp_path)}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("actspan-*/files/half"))) == 1
    with temporary_folder() as first, temporary_folder() as second:
        assert not list(tmp_path.glob("actspan-*/files/half"))
        assert first.is_dir()
        assert second.is_dir()
    assert os.listdir(tmp_path) == ["actspan-notes"]
