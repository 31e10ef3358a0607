"""Checksums and atomic writes: a reader sees the old files or the new ones, never a mix."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from actspan.config.base import Config
from actspan.core.errors import BundleError
from actspan.core.files import atomic_file, check_size, replace_folder, sha256, sync
from actspan.core.limits import WEIGHTS
from actspan.core.wording import quoted

# Compiler of each file type, and its default precision.
_TARGETS = {
    ".xml": ("openvino", "fp32"),
    ".bin": ("openvino", "fp32"),
    ".om": ("ascend", "fp16"),
    ".engine": ("tensorrt", "fp16"),
}


class FileRecord(Config, frozen=True):
    """Expected size and checksum of a file of the bundle."""

    sha256: str
    size: int  # bytes


def record_of(data: bytes) -> FileRecord:
    """Return the record of a file with these contents."""
    return FileRecord(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def measure(path: Path) -> FileRecord:
    """Compute the record of a file on disk; raise OSError if it cannot be read."""
    check_size(path, WEIGHTS)
    return FileRecord(sha256=sha256(path), size=path.stat().st_size)


def remedy(path: Path) -> str:
    """Return advice about a damaged file."""
    if path.suffix == ".safetensors":
        return "copy the bundle again, or make it again from its checkpoints"
    return f"write it again: {writer(path)}"


def writer(path: Path) -> str:
    """Return the command that writes a file of a bundle other than weights."""
    if path.suffix not in _TARGETS:
        return f"actspan export {quoted(path.parent)}"
    target, usual = _TARGETS[path.suffix]
    words = f"actspan compile {quoted(path.parent)} --target {target}"
    for precision in {"fp32", "fp16", "int8"} & set(path.name.split(".")) - {usual}:
        words += f" --precision {precision}"
    return f"{words} --calibrate DATASET" if ".int8." in path.name else words


def damage(path: Path, what: str) -> str:
    """Return the message about a damaged file."""
    return f"{path}: damaged: {what}; {remedy(path)}"


def check_record(path: Path, found: FileRecord, record: FileRecord) -> None:
    """Compare the record of a file with the expected one.

    Raises
    ------
    BundleError
        They differ; the message says how, and what to do.
    """
    if found.size != record.size:
        raise BundleError(damage(path, f"{found.size} bytes where {record.size} were written"))
    if found.sha256 != record.sha256:
        raise BundleError(damage(path, "its SHA-256 is not the recorded one"))


def beside(path: Path) -> Path:
    """Return a new hidden name in the same folder, with the same suffix."""
    return path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")


def place(temporary: Path, path: Path) -> None:
    """Move a finished file to its place, atomically and durably."""
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)


def write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Create a folder beside its place, then move it there; remove the old one at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = beside(path)
    try:
        fresh.mkdir()
        for name, data in contents.items():
            with atomic_file(fresh / name) as stream:
                stream.write(data)
        replace_folder(fresh, path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
