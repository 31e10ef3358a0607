"""Files of an extraction: the features of a video, and the journal of what is finished.

The journal, `extracted.jsonl`, has a line for each finished video with the origin of its features.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

import msgspec
import numpy as np

from actspan.config.base import NOT_JSON
from actspan.core.errors import ActSpanError, DataError
from actspan.core.files import is_plain_name, read_bytes
from actspan.core.limits import DOCUMENT
from actspan.core.types import Float32
from actspan.streams.extract_request import Precision

JOURNAL = "extracted.jsonl"


class FeatureWriter:
    """Writer of one video's features as they come; see `FeatureFolder.writer`."""

    def __init__(self, stream: IO[bytes], channels: int, precision: Precision) -> None:
        self._stream, self._channels = stream, channels
        self._type = np.dtype(precision)
        self.rows = 0
        self._write_header()

    def _write_header(self) -> None:
        """Write NumPy's header, which leaves room for a larger number of rows."""
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
        self._write_header()


class JournalEntry(msgspec.Struct, frozen=True):
    """Origin of one feature file: a line of the journal."""

    video: str
    source: str  # the video file
    size: int  # of the video file, bytes
    modified: int  # nanoseconds since 1970
    settings: str  # checksum of all settings that determine the numbers
    seconds: float
    fps: float
    note: str = ""  # what was cut short or damaged

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
        self.entries: dict[str, JournalEntry] = {}
        try:
            lines = read_bytes(self.path, DOCUMENT).splitlines() if self.path.exists() else []
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from error
        for line in lines:
            try:
                entry = msgspec.json.decode(line, type=JournalEntry)
            except NOT_JSON:
                continue  # A truncated last line is ignored: that video is extracted again.
            if not is_plain_name(entry.video):  # Its features would be searched outside the folder.
                what = f"{entry.video!r} can be no video's name; remove its line"
                raise DataError(f"{self.path}: {what}")
            self.entries[entry.video] = entry

    def add(self, entry: JournalEntry) -> None:
        """Append a line, after a line feed if the last line is incomplete."""
        self.entries[entry.video] = entry
        try:
            with self.path.open("a+b") as stream:
                if size := stream.tell():
                    stream.seek(size - 1)
                is_torn = size > 0 and stream.read(1) != b"\n"
                stream.write(b"\n" * is_torn + msgspec.json.encode(entry) + b"\n")
        except OSError as error:
            raise ActSpanError(f"{self.path}: cannot be written: {error.strerror}") from error
