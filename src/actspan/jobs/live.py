"""A video that is still being recorded: its bytes, and reports of its new segments."""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec.structs import replace

from actspan.core.errors import VideoError
from actspan.core.segments import Proposals
from actspan.jobs.propose_request import Selection
from actspan.jobs.sinks import Sink
from actspan.jobs.source import Source
from actspan.pipeline.labels import Labeller
from actspan.pipeline.outcomes import Outcome, to_recording_seconds
from actspan.proposals.candidates import rank
from actspan.proposals.suppression import soft_nms
from actspan.streams.video_decoding import VideoFile

REPORTED = 10  # segments per half window, unless given
MARGIN = 0.1  # of a window; context needed after a segment's end before it is reported

_POLL = 0.1  # seconds between two checks for new bytes
_STANDARD_INPUT = "-"
_HEAD = 65_536  # maximum number of bytes to inspect for a late index


class GrowingVideo(AbstractContextManager["GrowingVideo"]):
    """Reader of a growing file, a named pipe, or the standard input ("-"), as `path` "stdin".

    `read` waits for more bytes. A file is finished after it has not grown for `idle` seconds; a
    pipe ends by itself. Raises VideoError if the file does not exist, or the standard input is a
    terminal.
    """

    def __init__(self, name: str, *, idle: float) -> None:
        self.path = Path("stdin" if name == _STANDARD_INPUT else name)
        self._idle, self._stopped = idle, False
        if name != _STANDARD_INPUT:
            try:
                self._handle = os.open(name, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            except OSError as error:
                raise VideoError(f"{name}: cannot be read: {error.strerror}") from error
        elif sys.stdin.isatty():
            raise VideoError("stdin: is a terminal; a video is needed: ffmpeg ... | actspan ...")
        else:
            self._handle = os.dup(sys.stdin.fileno())
            if sys.platform == "win32":
                import msvcrt

                msvcrt.setmode(self._handle, os.O_BINARY)
        self._grows = stat.S_ISREG(os.fstat(self._handle).st_mode)
        self._head: bytes | None = None  # None until the first read

    def __exit__(self, *details: object) -> None:
        """Close the file or pipe."""
        os.close(self._handle)

    def open(self) -> VideoFile:
        """Wait for the head of the video, and return what decodes it."""
        return VideoFile(self.path, self)

    def stop(self) -> None:
        """End the stream here; the bytes that were read so far count."""
        self._stopped = True

    def read(self, size: int) -> bytes:
        """Return the available bytes, at most `size`; none at the end.

        Raises VideoError for an mp4 whose index comes at its end.
        """
        if self._head is None:
            self._head = self._wait(_HEAD)
            _refuse_late_index(self.path, self._head)
        if self._head:
            content, self._head = self._head[:size], self._head[size:]
            return content
        return self._wait(size)

    def _wait(self, size: int) -> bytes:
        """Wait for bytes; return none once the stream has ended."""
        last = time.monotonic()
        while not self._stopped:
            if not self._grows and not _has_bytes(self._handle):
                continue  # a pipe without bytes, which may be stopped meanwhile
            if content := os.read(self._handle, size):
                return content
            self._stopped |= not self._grows or time.monotonic() - last >= self._idle
            if not self._stopped:
                time.sleep(_POLL)
        return b""


def _has_bytes(pipe: int) -> bool:
    """Wait a moment until a pipe can be read without waiting; return whether it can be.

    On Windows, which does so for sockets only, reading itself waits.
    """
    try:
        return bool(select.select([pipe], [], [], _POLL)[0])
    except OSError:
        return True


def _refuse_late_index(path: Path, head: bytes) -> None:
    """Raise for an mp4 whose index (moov) comes after its pictures: it needs random access."""
    position = 0
    while head[4:8] == b"ftyp" and position + 8 <= len(head):
        size, kind = (
            int.from_bytes(head[position : position + 4]),
            head[position + 4 : position + 8],
        )
        if kind == b"mdat":
            raise VideoError(
                f"{path}: an mp4 whose index is written at its end cannot be followed. Record "
                "MPEG-TS or Matroska, or a fragmented mp4 (ffmpeg -movflags "
                "frag_keyframe+empty_moov)"
            )
        if kind == b"moov" or size < 8:
            return
        position += size


class NewSegments(Sink):
    """Reporter of the segments of a live video, each soon after it ends.

    A segment is reported once, when a tenth of a window after its end is known. This is at most 0.6
    windows after it ended, or a whole window at the start. Its score may still fall if better
    segments follow. Candidates of two windows are kept.

    `selection.top` is the limit per half window, 10 by default. `report` is called after every
    window with the seconds of video that the model has seen, the new segments, sorted by end, and
    the best label of each, or None if no labels were asked for. A label depends on what was decoded
    until then.
    """

    def __init__(
        self,
        selection: Selection,
        report: Callable[[float, Proposals, Sequence[str] | None], None],
    ) -> None:
        self._selection = replace(selection, top=selection.top or REPORTED)
        self._report = report
        self._before = Proposals.empty("seconds")
        self._labeller: Labeller | None = None
        self._reported = 0.0  # seconds; segments that end before this have been reported

    def start(self, source: Source) -> None:
        """Take the settings of the model, and the labels."""
        self._config, self._labeller = source.config, source.labeller

    def add(self, outcome: Outcome) -> None:
        """Report the segments that end in the part that this window settles."""
        window, config = outcome.window, self._config
        assert window is not None
        snippet = outcome.seconds / len(window)
        score = rank(outcome.candidates, outcome.confidence, config)
        fused = outcome.candidates.with_score(score)
        segments = to_recording_seconds(fused, outcome.offset, outcome.seconds)
        known = Proposals.concat([self._before, segments])
        length = config.cells * snippet
        best = soft_nms(known, config.soft_nms, span=length)
        end = window.last * snippet
        until = end if window.is_final else end - MARGIN * length
        new = self._selection.of(best[(best.end > self._reported) & (best.end <= until)])
        self._before, self._reported = segments, until
        new = new[new.end.argsort(kind="stable")]
        labels = None
        if self._labeller is not None:
            labels = self._labeller(outcome.id, new).best_labels(new)
        self._report(end, new, labels)
