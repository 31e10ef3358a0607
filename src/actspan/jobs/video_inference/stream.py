"""Bytes of a video that is still being recorded: a growing file, or a pipe."""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from actspan.core.errors import VideoError

_POLL = 0.1  # seconds between two checks for new bytes
_STANDARD_INPUT = "-"
_HEAD = 65_536  # maximum number of bytes to inspect for a late index


class GrowingVideo:
    """Reader of a growing file or a pipe. `read` waits for more bytes.

    Parameters
    ----------
    given : str
        A file, a named pipe, or "-" for the standard input.
    idle : float
        Seconds after which a file that no longer grows counts as finished. A pipe ends by itself.

    Attributes
    ----------
    path : Path
        Path of the file, or "stdin".

    Raises
    ------
    VideoError
        The file does not exist, or standard input is a terminal.
    """

    def __init__(self, given: str, *, idle: float) -> None:
        self.path = Path("stdin" if given == _STANDARD_INPUT else given)
        self._idle, self._stopped = idle, False
        self._handle = self._open(given)
        self._grows = stat.S_ISREG(os.fstat(self._handle).st_mode)
        self._head: bytes | None = None  # None until the first read

    def _open(self, given: str) -> int:
        if given == _STANDARD_INPUT:
            if sys.stdin.isatty():
                raise VideoError(
                    "stdin: is a terminal; a video is needed: ffmpeg ... | actspan ..."
                )
            return os.dup(sys.stdin.fileno())
        try:
            return os.open(given, os.O_RDONLY)
        except OSError as error:
            raise VideoError(f"{given}: cannot be read: {error.strerror}") from error

    def read(self, size: int) -> bytes:
        """Return the available bytes, at most `size`; none at the end.

        Raises
        ------
        VideoError
            The file is an mp4 whose index comes at its end.
        """
        if self._head is None:
            self._head = self._more(_HEAD)
            _refuse_late_index(self.path, self._head)
        if self._head:
            taken, self._head = self._head[:size], self._head[size:]
            return taken
        return self._more(size)

    def _more(self, size: int) -> bytes:
        """Wait for bytes; return none once the stream has ended."""
        last = time.monotonic()
        while not self._stopped:
            if found := self._now(size):
                return found
            if self._grows and time.monotonic() - last >= self._idle:
                self._stopped = True
            elif self._grows:
                time.sleep(_POLL)
        return b""

    def _now(self, size: int) -> bytes:
        """Return the bytes that are available now; wait only briefly for a pipe."""
        if self._grows:
            return os.read(self._handle, size)
        if not select.select([self._handle], [], [], _POLL)[0]:
            return b""
        found = os.read(self._handle, size)
        self._stopped |= found == b""
        return found

    def stop(self) -> None:
        """End the stream here; the bytes that were read so far count."""
        self._stopped = True

    def close(self) -> None:
        """Close the file or pipe."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _refuse_late_index(path: Path, head: bytes) -> None:
    """Raise for an mp4 whose index (moov) comes after its pictures: it needs random access."""
    place = 0
    while head[4:8] == b"ftyp" and place + 8 <= len(head):
        size, kind = int.from_bytes(head[place : place + 4]), head[place + 4 : place + 8]
        if kind == b"mdat":
            raise VideoError(
                f"{path}: an mp4 whose index is written at its end cannot be followed. Record "
                "MPEG-TS or Matroska, or a fragmented mp4 (ffmpeg -movflags "
                "frag_keyframe+empty_moov)"
            )
        if kind == b"moov" or size < 8:
            return
        place += size
