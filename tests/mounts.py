"""File systems that tests mount, where the machine allows it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

Mount = Callable[..., None]


@contextmanager
def mounts() -> Iterator[Mount]:
    """Yield a function that mounts a file system at a place, by options of `mount`; undo all."""
    with ExitStack() as stack:

        def mount(place: Path, *options: str | Path) -> None:
            line = ["mount", *map(str, options), str(place)]
            try:
                done = subprocess.run(line, capture_output=True, text=True)
            except OSError as error:
                pytest.skip(f"needs mount: {error}")
            if done.returncode != 0:
                pytest.skip(f"needs permission to mount: {done.stderr.strip()}")
            stack.callback(subprocess.run, ["umount", "--lazy", str(place)], capture_output=True)

        yield mount
