"""Storage in a folder and in an object store: their common contract, and their differences."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from actspan.core.errors import DataError
from actspan.core.storage import FolderStorage, ObjectStorage, Storage, open_storage
from tests.locks import locked_elsewhere

_numbers = itertools.count()


@pytest.fixture(params=["folder", "memory", "local"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    pytest.importorskip("fsspec")
    return {
        "folder": lambda: open_storage(tmp_path / "run"),
        "memory": lambda: open_storage(f"memory://storage{next(_numbers)}/run"),
        "local": lambda: ObjectStorage(f"local://{tmp_path}/run"),  # without atomic puts
    }[request.param]()


def test_files_are_put_listed_read_and_deleted(storage: Storage) -> None:
    assert storage.names() == set()
    with storage.locked():
        for name, content in (("b", b"one"), ("a", b""), ("b", b"three")):
            with storage.create(name) as file:
                file.write(content)
        assert storage.names() == {"a", "b"}
        assert storage.contains("a")
        assert not storage.contains("c")
        with storage.get("b") as stream:
            assert stream.read() == b"three"
        storage.delete("a")
        storage.delete("a")
    assert storage.names() == {"b"}
    with pytest.raises(DataError, match=r"run/a: "):
        storage.get("a")


def test_a_folder_is_locked_once_and_cleaned_of_leftovers(tmp_path: Path) -> None:
    folder = FolderStorage(tmp_path / "run")
    with folder.locked(), folder.locked():
        (tmp_path / "run" / ".left.partial").mkdir()
        (tmp_path / "run" / ".left").write_bytes(b"x")
        assert folder.names() == set()
    assert not (tmp_path / "run").exists()
    with (
        locked_elsewhere(tmp_path / "run", inside=True),
        pytest.raises(DataError, match="run: process"),
        FolderStorage(tmp_path / "run").locked(),
    ):
        pass
    with FolderStorage(tmp_path / "run").locked():
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
        with folder.create("a") as file:
            file.write(b"x")
        folder.remove_if_empty()
        assert folder.contains("a")
        folder.delete("a")
        folder.remove_if_empty()
    assert not (tmp_path / "run").exists()


def test_parts_of_an_object_are_read(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    storage = ObjectStorage(f"memory://storage{next(_numbers)}/run")
    with storage.create("a") as content:
        content.write(bytes(range(100)))
    for ahead in (0, 7, 1000):
        file = storage.open_ranges("a", ahead=ahead)
        assert (file.seek(-5, 2), file.read(), file.read(3)) == (95, bytes(range(95, 100)), b"")
        assert (file.seek(10), file.read(2), file.tell()) == (10, b"\x0a\x0b", 12)
        assert file.read(20) == bytes(range(12, 32))
    with pytest.raises(DataError, match=r"run/b: does not exist"):
        storage.open_ranges("b")
