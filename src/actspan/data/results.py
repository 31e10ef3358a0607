"""The result file (bsn.md section 8): proposals in seconds, read fast and written atomically.

{"version": "VERSION 1.3",
 "results": {id: [{"score": 0.9, "segment": [12.5, 60.0]}, ...]},
 "external_data": {}}
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from actspan.data.annotations import canonical_id
from actspan.errors import ResultError
from actspan.files import atomic_file
from actspan.types import Proposals

RESULT_FILE = "result.json"  # in a run folder
VERSION = "VERSION 1.3"


class _Entry(msgspec.Struct, gc=False):
    score: float
    segment: tuple[float, float]


class _Document(msgspec.Struct):
    # raw: decoded a video at a time, so that only one video's small objects live at once
    results: dict[str, msgspec.Raw]


_decode_document = msgspec.json.Decoder(_Document).decode
_decode_entries = msgspec.json.Decoder(list[_Entry]).decode
_score = attrgetter("score")
_segment = attrgetter("segment")


def read_result(path: Path | str) -> dict[str, Proposals]:
    """Read the proposals of a result file, or of a run folder that holds `result.json`.

    Parameters
    ----------
    path : Path or str

    Returns
    -------
    dict of video id to Proposals
        `start` and `end` in seconds; videos and proposals in the file's order. A leading `v_` of
        an id is stripped. Other keys of an entry, such as `label`, are passed over.

    Raises
    ------
    ResultError
        Missing, not JSON, without "results", with an entry that is not a score and a segment of
        two numbers, with NaN, or with a video twice.

    Examples
    --------
    >>> proposals = read_result("run/")  # doctest: +SKIP
    >>> proposals["--1DO2V4K74"].score.max()  # doctest: +SKIP
    0.768
    """
    path = _result_file(Path(path))
    data = result_bytes(path)
    found = {name: _decode_proposals(path, name, raw) for name, raw in result_videos(path, data)}
    refuse_repeated_videos(path, data, sum(map(len, found.values())))
    return found


def result_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises
    ------
    ResultError
        It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}") from error


def result_videos(path: Path, data: bytes) -> Iterator[tuple[str, msgspec.Raw]]:
    """Id, without `v_`, and undecoded entries of every video of a result file.

    Raises
    ------
    ResultError
        Not JSON, without "results", or a video is there with and without `v_`.
    """
    seen = set()
    for name, entries in _decode_results(path, data).items():
        video = canonical_id(name)
        if video in seen:
            raise ResultError(f"{path}: video {video!r} is there with and without 'v_': keep one")
        seen.add(video)
        yield video, entries


def _result_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    if not (path / RESULT_FILE).is_file():
        raise ResultError(f"{path}: no {RESULT_FILE} in this folder; did its run finish?")
    return path / RESULT_FILE


def _decode_results(path: Path, data: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _decode_document(data).results
    except msgspec.ValidationError as error:
        raise ResultError(
            f'{path}: not a result file: {error}; {{"results": {{id: [...]}}}} is needed'
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _explain_malformed(path, data, error) from error


def _decode_proposals(path: Path, video: str, raw: msgspec.Raw) -> Proposals:
    try:
        entries = _decode_entries(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ResultError(
            f"{path}: video {video!r}: {error}; every entry needs a score and a segment of two "
            "numbers, in seconds"
        ) from error
    n = len(entries)
    segments = np.fromiter(chain.from_iterable(map(_segment, entries)), np.float64, 2 * n)
    return Proposals(segments[0::2], segments[1::2], np.fromiter(map(_score, entries), float, n))


def _explain_malformed(path: Path, data: bytes, error: Exception) -> ResultError:
    """Tell NaN, which Python writes though JSON has none, from a file that is no JSON at all."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return ResultError(f"{path}: not valid JSON: {error}; was it cut off?")
    results = document.get("results") if isinstance(document, dict) else None
    for video, entries in results.items() if isinstance(results, dict) else ():
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            if _holds_non_finite(entry):
                return ResultError(
                    f"{path}: video {video!r}, entry {number}: NaN or infinity in {entry}; "
                    "scores and segments must be finite"
                )
    return ResultError(f"{path}: not valid JSON: {error}")


def _holds_non_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_non_finite, value.values()))
    if isinstance(value, list):
        return any(map(_holds_non_finite, value))
    return isinstance(value, float) and not math.isfinite(value)


def refuse_repeated_videos(path: Path, data: bytes, entries: int) -> None:
    """Raise if any object of the document, of which `entries` were read, has a key twice."""
    # a repeated key overwrites silently, but what it overwrote still stands in the text
    if data.count(b'"segment"') == entries:
        return

    def check(pairs: list[tuple[str, Any]]) -> None:
        names, times = Counter(key for key, _ in pairs).most_common(1)[0] if pairs else ("", 0)
        if times > 1:
            raise ResultError(f"{path}: {names!r} is there {times} times: keep one of them")

    json.loads(data, object_pairs_hook=check)


class ResultWriter:
    """Write a result file video by video; it appears under its name only when it is complete.

    Memory does not grow with the proposals written. Leaving the `with` block normally puts the
    file in place in one step; leaving it by an exception leaves an older file untouched.

    Raises
    ------
    ResultError
        The file cannot be written; a video is added twice; a value is NaN or infinite.

    Examples
    --------
    >>> with ResultWriter("result.json") as writer:  # doctest: +SKIP
    ...     writer.add("video_1", [12.5], [60.0], [0.9])
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file = _document_file(self.path)
        self._stream: IO[bytes] | None = None
        self._written: set[str] = set()

    def __enter__(self) -> Self:
        self._stream = self._file.__enter__()
        return self

    def _put(self, text: bytes) -> None:
        if self._stream is None:
            raise ResultError(f"{self.path}: open it first: with ResultWriter(...) as writer")
        try:
            self._stream.write(text)
        except OSError as error:
            raise ResultError(f"{self.path}: cannot be written: {error.strerror}") from error

    def add(self, video_id: str, start: ArrayLike, end: ArrayLike, score: ArrayLike) -> None:
        """Write one video's proposals.

        Parameters
        ----------
        video_id : str
        start, end : (N,) float64
            Seconds.
        score : (N,) float64

        Raises
        ------
        ResultError
            The video was added before, or a value is NaN or infinite.
        ShapeError
            The arrays differ in length.
        """
        proposals = Proposals(
            np.asarray(start, np.float64), np.asarray(end, np.float64), np.asarray(score, float)
        )
        self.add_entries(video_id, proposals)

    def add_entries(
        self, video_id: str, proposals: Proposals, labels: Sequence[str] | None = None
    ) -> None:
        """Write one video's proposals, seconds, with a label each where `labels` are given.

        Raises
        ------
        ResultError
            The video was added before, or a value is NaN or infinite.
        """
        if video_id in self._written:
            raise ResultError(f"{self.path}: video {video_id!r} is written twice")
        columns = (proposals.start, proposals.end, proposals.score)
        if not all(np.isfinite(column).all() for column in columns):
            raise ResultError(f"{self.path}: video {video_id!r}: NaN or infinity in its proposals")
        entries: list[dict[str, Any]] = [
            {"score": c, "segment": (s, e)}
            for s, e, c in zip(*(column.tolist() for column in columns), strict=True)
        ]
        if labels is not None:
            for entry, label in zip(entries, labels, strict=True):
                entry["label"] = label
        separator = b", " if self._written else b""
        key = msgspec.json.encode(video_id)
        self._put(b"%s%s: %s" % (separator, key, msgspec.json.encode(entries)))
        self._written.add(video_id)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream = None
        try:
            self._file.__exit__(kind, error, trace)
        except OSError as failure:  # of closing; one from within the block is let through
            raise ResultError(f"{self.path}: cannot be written: {failure.strerror}") from failure


@contextmanager
def _document_file(path: Path) -> Iterator[IO[bytes]]:
    """What stands before and after the videos."""
    with atomic_file(path) as stream:
        stream.write(b'{"version": "%s", "results": {' % VERSION.encode())
        yield stream
        stream.write(b'}, "external_data": {}}\n')


def write_result(path: Path | str, proposals: Mapping[str, Proposals]) -> None:
    """Write the proposals of many videos, `start` and `end` in seconds.

    Raises
    ------
    ResultError
        As `ResultWriter`.
    """
    with ResultWriter(path) as writer:
        for video, found in proposals.items():
            writer.add(video, found.start, found.end, found.score)
