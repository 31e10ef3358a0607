"""Locks: a process does not write what another one is writing."""

from __future__ import annotations

from pathlib import Path

import pytest

from actspan.core.errors import ActSpanError, DataError
from actspan.core.folders import atomic_folder
from actspan.core.locks import lock_target
from tests.locks import locked_elsewhere


@pytest.mark.parametrize("inside", [False, True])
def test_the_second_process_is_refused_and_told_which_one_writes(
    tmp_path: Path, inside: bool
) -> None:
    target = tmp_path / "new" / "out"
    with locked_elsewhere(target, inside=inside) as other:
        with (
            pytest.raises(DataError, match=rf"out: process {other.pid} on .* is writing it; wait"),
            lock_target(target, inside=inside),
        ):
            pass
        link = tmp_path / "link"  # another name of the place
        link.symlink_to(target)
        with pytest.raises(DataError, match="link: process"), lock_target(link, inside=inside):
            pass
    with lock_target(target, inside=inside):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    with locked_elsewhere(tmp_path / "out") as other:
        other.kill()
        other.wait()
        assert (tmp_path / ".out.lock").exists()
        with lock_target(tmp_path / "out"), lock_target(tmp_path / "out"):
            pass
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_written_at_once_are_locked(tmp_path: Path) -> None:
    with (
        locked_elsewhere(tmp_path / "out"),
        pytest.raises(ActSpanError, match="out: process"),
        atomic_folder(tmp_path / "out"),
    ):
        pass
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(DataError, match="out: cannot be created: File exists"),
        lock_target(tmp_path / "file" / "out"),
    ):
        pass
