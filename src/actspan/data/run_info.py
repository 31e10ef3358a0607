"""Schema of `run.toml`: what a run was made from, how, and the checksums of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from actspan.config.base import dump_toml, from_dict, merge, read_toml
from actspan.core.errors import ConfigError, ResultError
from actspan.core.files import atomic_file, is_plain_name, sha256

RUN_FILE = "run.toml"
FORMAT = 1
_AGAIN = "make the run again: actspan propose --force"


class _Bundle(msgspec.Struct, frozen=True):
    """Bundle: its place, the checksums of its files, ids that training held out."""

    path: str = ""
    files: dict[str, str] = {}
    set_apart: list[str] = []


class _Source(msgspec.Struct, frozen=True):
    """Dataset, or the videos by id, and the annotations with their checksum."""

    path: str | None = None
    subset: str | None = None
    annotations: str | None = None
    annotations_sha256: str | None = None
    scores: str | None = None
    files: dict[str, str] = {}
    assumptions: list[str] = []


class _Skipped(msgspec.Struct, frozen=True):
    """Problem of something that was left out; see `Problem.record`."""

    problem: str
    video: str = ""
    file: str = ""
    left_out: str = "video"


class _Timing(msgspec.Struct, frozen=True):
    """Seconds of the computation, and the share of each stage."""

    seconds: float = 0.0
    videos_per_second: float = 0.0
    stages: dict[str, float] = {}


class RunInfo(msgspec.Struct, frozen=True):
    """Types of the keys of `run.toml`, each of which may be missing; others are not read."""

    format: int = FORMAT
    created: str = ""
    videos: int = 0
    proposals: int = 0
    detections: int = 0
    origin: str = ""
    bundle: _Bundle = _Bundle()
    dataset: _Source = _Source()
    backend: str = ""
    versions: dict[str, str] = {}
    pipeline: dict[str, Any] = {}  # settings, checked by what uses them
    changes: list[str] = []
    labels: dict[str, str | int] = {}
    selection: dict[str, int | float] = {}
    timing: _Timing = _Timing()
    skipped: list[_Skipped] = []
    files: dict[str, str] = {}  # SHA-256 of the other files, by name


def read_run_info(folder: Path) -> dict[str, Any]:
    """Return the content of a run's `run.toml`, as `RunInfo` describes it.

    Raises ResultError if it is damaged, of another version, or a value has the wrong type.
    """
    path = folder / RUN_FILE
    try:
        values = read_toml(path)
        info = from_dict(RunInfo, values, where=str(path))
    except ConfigError as error:
        raise ResultError(f"{error}; {_AGAIN}") from error
    if info.format != FORMAT:
        raise ResultError(f"{path}: format {info.format}, this version reads {FORMAT}; {_AGAIN}")
    if bad := next((name for name in info.files if not is_plain_name(name)), None):
        raise ResultError(f"{path}: {bad!r} is not the name of a file; {_AGAIN}")
    return values


def check_recorded(file: Path) -> None:
    """Raise ResultError if a file of a run differs from its checksum in `run.toml`.

    A file that is not in it may have any content. Otherwise raises like `read_run_info`.
    """
    if not file.with_name(RUN_FILE).is_file():
        return
    expected = read_run_info(file.parent).get("files", {}).get(file.name)
    if expected is not None:
        require_checksum(file, expected)


def require_checksum(file: Path, expected: str) -> None:
    """Raise ResultError unless a file of a run has its recorded SHA-256."""
    if not file.is_file() or sha256(file) != expected:
        raise ResultError(
            f"{file}: damaged, or edited: its checksum is not the one in {RUN_FILE}; {_AGAIN}; if "
            "the edit is meant, give this file alone"
        )


def record_file(file: Path) -> None:
    """Record the checksum of a file that was added to a run, or replaced in it."""
    record = file.with_name(RUN_FILE)
    if record.is_file():
        changed = merge(read_run_info(file.parent), {"files": {file.name: sha256(file)}})
        with atomic_file(record) as stream:
            stream.write(dump_toml(changed).encode())
