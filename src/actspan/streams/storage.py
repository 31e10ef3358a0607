"""Extracted features on disk: one npy file per video, and a journal of their origin."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Literal, Self

import msgspec
import numpy as np

from actspan.config.base import to_dict
from actspan.config.stages import FeatureSpec
from actspan.core.errors import ActSpanError, DataError
from actspan.core.files import NOT_JSON, atomic_file, is_plain_name, read_bytes, remove_leftovers
from actspan.core.limits import DOCUMENT
from actspan.core.types import Float32

JOURNAL = "extracted.jsonl"
Precision = Literal["float16", "float32"]


class FeatureWriter:
    """Writer of one video's features as they come; the file appears when the block succeeds.

    Parameters
    ----------
    path : Path
    channels : int
    precision : "float16" or "float32"
    """

    def __init__(self, path: Path, channels: int, precision: Precision = "float16") -> None:
        self._path, self._channels = path, channels
        self._type = np.dtype(precision)
        self._stack = ExitStack()
        self.rows = 0

    def __enter__(self) -> Self:
        remove_leftovers(self._path)
        self._stream: IO[bytes] = self._stack.enter_context(atomic_file(self._path))
        self._header()
        self._data = self._stream.tell()
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.__exit__(*details)  # type: ignore[arg-type]

    def _header(self) -> None:
        """Write NumPy's header; it leaves room for a larger number of rows."""
        shape = (self.rows, self._channels)
        facts = {"descr": self._type.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, facts)

    def add(self, rows: Float32) -> None:
        """Append snippets, (k, channels)."""
        limits = np.finfo(self._type)
        clipped = np.clip(rows, limits.min, limits.max) if self._type.itemsize == 2 else rows
        self._stream.write(np.ascontiguousarray(clipped, dtype=self._type).tobytes())
        self.rows += len(rows)

    def finish(self) -> None:
        """Write the final number of rows into the header."""
        self._stream.seek(0)
        self._header()
        assert self._stream.tell() == self._data


class Entry(msgspec.Struct, frozen=True):
    """Origin of one feature file: a line of the journal.

    Attributes
    ----------
    video : str
    source : str
        The video file.
    size, modified : int
        Size and time of the video file: bytes, and nanoseconds since 1970.
    settings : str
        Checksum of grid, backbone and all other settings that determine the numbers.
        seconds, fps : float
        Duration and frame rate of the video.
    note : str
        What was cut short or damaged.
    """

    video: str
    source: str
    size: int
    modified: int
    settings: str
    seconds: float
    fps: float
    note: str = ""

    def is_of(self, path: Path) -> bool:
        """Return whether a video file is still the one that the features were made of."""
        try:
            found = path.stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.modified)


class Journal:
    """Lines of `extracted.jsonl`; the last one of each video counts.

    Raises
    ------
    DataError
        The journal cannot be read, or names a file of another folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL
        self.entries: dict[str, Entry] = {}
        for line in self._lines():
            try:
                entry = msgspec.json.decode(line, type=Entry)
            except NOT_JSON:
                continue  # A truncated last line is ignored: that video is extracted again.
            if not is_plain_name(entry.video):  # Its features would be searched outside the folder.
                what = f"{entry.video!r} can be no video's name; remove its line"
                raise DataError(f"{self.path}: {what}")
            self.entries[entry.video] = entry

    def _lines(self) -> list[bytes]:
        try:
            return read_bytes(self.path, DOCUMENT).splitlines() if self.path.exists() else []
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from error

    def add(self, entry: Entry) -> None:
        """Append a line."""
        self.entries[entry.video] = entry
        try:
            with self.path.open("ab") as stream:
                stream.write(b"\n" * self._is_torn() + msgspec.json.encode(entry) + b"\n")
        except OSError as error:
            raise ActSpanError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _is_torn(self) -> bool:
        """Return whether the last line is incomplete."""
        with self.path.open("rb") as stream:
            if stream.seek(0, 2) == 0:
                return False
            stream.seek(-1, 2)
            return stream.read(1) != b"\n"


def settings_of(spec: FeatureSpec, precision: Precision) -> str:
    """Compute a checksum of all settings that determine the numbers, for the journal."""
    plain = {"precision": precision, **to_dict(spec)}
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()
