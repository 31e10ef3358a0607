"""Folders that are complete or absent: replaced by a rename, or filled in place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actspan.core import folders
from actspan.core.errors import ActSpanError
from actspan.core.folders import atomic_folder, is_free, locked_folder, work_folder
from tests.mounts import Mount

OLD = {"run.toml": b"old", "a": b"old a", "gone": b"old"}
NEW = {"run.toml": b"new", "a": b"new a", "sub/b": b"new b"}


class Killed(BaseException):
    """Simulates kill -9: no later operation changes the disk."""


def write(folder: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def read(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def replace(out: Path) -> None:
    with atomic_folder(out) as folder:
        write(folder, NEW)


def killed(patch: pytest.MonkeyPatch, at: int, act: Callable[[], None]) -> bool:
    """Return whether the `at`th change of the disk existed, and was the last one."""
    count = 0

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count >= at:
                raise Killed
            return function(*arguments, **options)

        return operation

    with patch.context() as scope:
        for name in ("open", "rename", "replace", "mkdir", "unlink", "rmdir"):
            scope.setattr(os, name, watched(getattr(os, name)))
        exchange = watched(folders._exchange)
        scope.setattr(folders, "_exchange", exchange)
        try:
            act()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("kind", ["exchange", "two renames", "in place"])
def test_a_kill_at_any_time_leaves_the_old_or_the_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounted: Mount, kind: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if kind == "in place":
        mounted(out, "--bind", out)
    if kind == "two renames":
        monkeypatch.setattr(folders, "_exchange", lambda *_: False)
    at, seen = 1, set()
    while True:
        for path in out.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        write(out, OLD)
        was_killed = killed(monkeypatch, at, lambda: replace(out))
        if (out / "run.toml").exists():  # what a reader sees
            found = {n: d for n, d in read(out).items() if not n.startswith(".actspan")}
            found.pop(".lock", None)
            if kind != "in place" or found["run.toml"] == b"new":
                assert found in (OLD, NEW)
        else:
            assert kind != "exchange"
            assert kind == "two renames" or is_free(out)
        with locked_folder(out):
            pass
        found = read(out)
        assert found in (OLD, NEW), f"killed at {at}"
        seen.add(found["run.toml"])
        assert [path.name for path in tmp_path.iterdir()] == ["out"], f"killed at {at}"
        if not was_killed:
            break
        at += 1
    assert at > 10
    assert seen == {b"old", b"new"}


def test_a_folder_is_exchanged_where_the_system_can(tmp_path: Path) -> None:
    write(tmp_path / "one", OLD)
    write(tmp_path / "other", NEW)
    if not folders._exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("needs renameat2 of Linux, and a file system with exchange")
    assert (read(tmp_path / "one"), read(tmp_path / "other")) == (NEW, OLD)
    with pytest.raises(FileNotFoundError):
        folders._exchange(tmp_path / "one", tmp_path / "missing")


@pytest.mark.parametrize("left", [".{pid}~out", ".12345678~out", ".12345678~out.lock"])
def test_leftovers_of_any_process_block_nothing(tmp_path: Path, left: str) -> None:
    name = left.format(pid=f"{os.getpid():08x}")
    if name.endswith("lock"):
        (tmp_path / f".{name}").touch()  # of a bundle that is made in an unfinished folder
    else:
        write(tmp_path / name, OLD)
    replace(tmp_path / "out")
    assert read(tmp_path / "out") == NEW
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folders_of_other_names_are_not_leftovers(tmp_path: Path) -> None:
    for name in (".12345678~out2", ".12345678~o", "12345678~out", ".out.older"):
        (tmp_path / name).mkdir()
    replace(tmp_path / "out")
    assert len(list(tmp_path.iterdir())) == 5


def test_a_mount_point_is_filled_in_place(tmp_path: Path, mounted: Mount) -> None:
    (tmp_path / "volume").mkdir()
    mounted(tmp_path / "volume", "-t", "tmpfs", "tmpfs")
    out = tmp_path / "volume"
    (out / "lost+found").mkdir()  # of a new file system
    assert is_free(out)
    assert work_folder(out, "partial") == out / ".actspan-partial"
    replace(out)
    assert read(out) == NEW
    write(out, OLD)
    replace(out)
    assert read(out) == NEW
    assert (out / "lost+found").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["volume"]


def test_a_mount_point_in_a_folder_that_cannot_be_written(tmp_path: Path, mounted: Mount) -> None:
    place = tmp_path / "root"
    place.mkdir()
    mounted(place, "-t", "tmpfs", "tmpfs")
    (place / "volume").mkdir()
    mounted(place / "volume", "-t", "tmpfs", "tmpfs")
    mounted(place, "-o", "remount,ro")
    replace(place / "volume")
    assert read(place / "volume") == NEW
    with pytest.raises(ActSpanError, match="other: cannot be created: Read-only file system"):
        replace(place / "other")
    mounted(place, "-o", "remount,rw")


def test_a_folder_that_turns_out_to_be_fixed_is_filled_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")  # of a folder of a container's image

    write(tmp_path / "out", OLD)
    monkeypatch.setattr(folders, "_exchange", fail)
    replace(tmp_path / "out")
    assert read(tmp_path / "out") == NEW
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_folder_of_unfinished_work_is_next_to_an_ordinary_folder(tmp_path: Path) -> None:
    assert work_folder(tmp_path / "out", "partial") == tmp_path / "out.partial"
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert work_folder(tmp_path / "link", "partial") == tmp_path / "out.partial"
