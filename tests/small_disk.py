"""A disk of a few megabytes, which tests and fault injection fill."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BLOCK = bytes(4096)


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """Mount an empty tmpfs at a new folder until the block ends.

    Raises PermissionError if this process may not mount.
    """
    folder.mkdir()
    size = f"size={mebibytes}m"
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise PermissionError(f"{folder}: a tmpfs cannot be mounted here") from error
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Fill the disk of a folder until the block ends."""
    ballast = folder / "ballast"
    try:
        with suppress(OSError), ballast.open("wb", buffering=0) as stream:
            while True:
                stream.write(_BLOCK)
        yield
    finally:
        ballast.unlink()
