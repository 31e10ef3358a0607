"""Files that are complete or absent, and the state of the process around them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actspan.core.errors import ActSpanError
from actspan.core.files import atomic_file, folder_kind, remove_leftovers, similar_path
from tests.mounts import Mount


@pytest.fixture(params=[0o022, 0o027, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_a_file_gets_the_mode_of_any_other_new_file(umask: int, tmp_path: Path) -> None:
    with atomic_file(tmp_path / "ours") as stream:
        stream.write(b"1")
    (tmp_path / "plain").write_bytes(b"1")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")}
    assert modes == {0o666 & ~umask}


def test_writing_does_not_touch_the_umask_that_other_threads_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    modes: set[int] = set()
    set_umask = os.umask

    def slow_umask(mask: int) -> int:  # leaves the other threads time to see it
        before = set_umask(mask)
        time.sleep(0.002)
        return before

    def create_files(path: Path) -> None:
        while not stop.is_set():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
            modes.add(stat.S_IMODE(path.stat().st_mode))
            path.unlink()

    before = os.umask(0o077)
    monkeypatch.setattr(os, "umask", slow_umask)
    others = [threading.Thread(target=create_files, args=(tmp_path / f"{n}",)) for n in range(2)]
    try:
        for thread in others:
            thread.start()
        for _ in range(20):
            with atomic_file(tmp_path / "ours") as stream:
                stream.write(b"1")
    finally:
        stop.set()
        for thread in others:
            thread.join()
        set_umask(before)
    assert modes == {0o600}


def test_a_failed_block_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "ours").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "ours") as stream:
        stream.write(b"new" if 1 / 0 else b"")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("ours", b"old")]


_WRITER = """
import os, signal, sys
from pathlib import Path
from actspan.core.files import atomic_file
with atomic_file(Path(sys.argv[1])) as stream:
    stream.write(b"half")
    stream.flush()
    print("open", flush=True)
    sys.stdin.read()
"""


def test_files_of_killed_processes_are_removed_and_those_of_others_kept(tmp_path: Path) -> None:
    line = [sys.executable, "-c", _WRITER, str(tmp_path / "ours")]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    writers = [subprocess.Popen(line, **pipes) for _ in range(2)]
    for writer in writers:
        assert writer.stdout.read(5) == b"open\n"
    assert len(list(tmp_path.iterdir())) == 2
    writers[0].kill()
    writers[0].communicate()
    with atomic_file(tmp_path / "another") as stream:
        stream.write(b"1")
    assert len(list(tmp_path.iterdir())) == 2  # the file, and that of the living process
    assert writers[1].communicate(b"") == (b"", None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another", "ours"]


def test_files_of_people_are_not_leftovers(tmp_path: Path) -> None:
    names = [".config.deadbeef", ".deadbeef", "deadbeef~x", ".deadbee~x", "x~"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / ".deadbeef~folder").mkdir()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, ".deadbeef~folder"])
    (tmp_path / ".deadbeef~x").touch()
    remove_leftovers(tmp_path)
    assert not (tmp_path / ".deadbeef~x").exists()


def test_a_file_that_is_a_mount_point_is_refused_before_anything_is_written(
    tmp_path: Path, mounted: Mount
) -> None:
    (tmp_path / "content").write_bytes(b"old")
    (tmp_path / "ours.json").touch()
    mounted(tmp_path / "ours.json", "--bind", tmp_path / "content")
    with (
        pytest.raises(ActSpanError, match=r"ours.json: .* mount the folder around it instead"),
        atomic_file(tmp_path / "ours.json"),
    ):
        pytest.fail("must not be reached")
    assert (tmp_path / "ours.json").read_bytes() == b"old"
    (tmp_path / "link").symlink_to(tmp_path / "ours.json")
    with atomic_file(tmp_path / "link") as stream:  # a link can be replaced
        stream.write(b"new")
    assert (tmp_path / "ours.json").read_bytes() == b"old"


@pytest.mark.parametrize("name", ["none/file", "is-a-file/file", "."])
def test_a_folder_that_cannot_be_written_is_one_message(name: str, tmp_path: Path) -> None:
    (tmp_path / "is-a-file").write_bytes(b"")
    with pytest.raises(ActSpanError, match="cannot be written"), atomic_file(tmp_path / name):
        pass


@pytest.mark.parametrize(
    ("missing", "found"),
    [
        pytest.param("dataset/anotations.json", "dataset/annotations.json", id="file"),
        pytest.param("datset/annotations.json", "dataset/annotations.json", id="folder"),
        pytest.param("datset", "dataset", id="last"),
        pytest.param("datset/none.json", None, id="rest-does-not-exist"),
        pytest.param("something-else", None, id="nothing-near"),
        pytest.param("dataset/annotations.json/x", None, id="below-a-file"),
    ],
)
def test_the_nearest_path(
    missing: str, found: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "annotations.json").touch()
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, Path()):
        expected = "" if found is None else f" (did you mean {str(folder / found)!r}?)"
        assert similar_path(folder / missing) == expected


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("model.toml", " (a bundle)"),
        ("run.toml", " (a run)"),
        ("features", " (a dataset)"),
        ("x", ""),
    ],
)
def test_kinds_of_folders(file: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / file).touch()
    assert folder_kind(tmp_path) == kind
