"""The same hostile files for every reader: refused by name, or read, in little time and memory."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from fuzz.commands import COMMANDS
from fuzz.targets import TARGETS
from tests.hostile.guard import Guard

TIB = 2**40


def pipe(path: Path) -> None:
    """Make a pipe, whose reader waits for a writer."""
    os.mkfifo(path)


def device(path: Path) -> None:
    """Make a file whose reading never ends."""
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path)


def sparse(path: Path) -> None:
    """Write a file that takes no room on the disk, and a terabyte in memory."""
    with path.open("wb") as stream:
        stream.truncate(TIB)


@cache
def bomb() -> bytes:
    """Return a zip archive of half a gigabyte of zeros, in half a megabyte."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("a.npy", "archive/data.pkl"):
            with archive.open(name, "w") as stream:
                for _ in range(260):
                    stream.write(bytes(2**20))
    return data.getvalue()


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


class Payload:
    """Touches a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch /tmp/actspan-was-unpickled",)


FILES: dict[str, Callable[[Path], object]] = {
    "folder": Path.mkdir,
    "pipe": pipe,
    "device": device,
    "loop of links": loop,
    "sparse": sparse,
}
CONTENTS: dict[str, Callable[[Path], object]] = {
    "empty": content(b""),
    "zip bomb": lambda path: path.write_bytes(bomb()),
    "pickle": content(pickle.dumps(Payload(), protocol=2)),
    "deep lists": content(b"[" * 100_000),
    "deep objects": content(b'{"a":' * 100_000),
    "deep and whole": content(b'{"database":' + b"[" * 900 + b"]" * 900 + b"}"),
    "deep tables": content(b"a=" + b"[" * 10_000),
    "dotted keys": content(b"a." * 20_000 + b"a = 1\n"),
    "many digits": content(b"a = " + b"9" * 10_000 + b"\n"),
    "numbers of JSON": content(b'{"results": {"a": [' + b"9" * 10_000 + b"]}}"),
    "long line": content(b"node: " * 500_000),
    "nothing but zeros": content(bytes(100_000)),
    "not UTF-8": content(b"\xff\xfe\xfa" * 1000),
}


CASES = [
    pytest.param(target, reader.file, write, id=f"{reader.file} of {target}: {name}")
    for target, readers in TARGETS.items()
    for reader in readers
    for name, write in {**({} if reader.is_content else FILES), **CONTENTS}.items()
]


@pytest.mark.parametrize(("target", "file", "write"), CASES)
def test_refused_by_name_or_read(
    target: str, file: str, write: Callable[[Path], object], guard: Guard, tmp_path: Path
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    write(path)
    answer = guard.read(target, file, path)
    assert answer.ours, f"{answer.error}: {answer.message}"
    if answer.error and target not in {"http", *COMMANDS}:  # a command names what it was given
        assert str(tmp_path) in answer.message
    if answer.error:
        assert len(answer.message) < 12_000
    assert not Path("/tmp/actspan-was-unpickled").exists()
