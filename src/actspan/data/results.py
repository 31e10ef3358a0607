"""The result file (bsn.md section 8): proposals in seconds, read fast and written atomically.

{"version": "VERSION 1.3",
 "results": {id: [{"score": 0.9, "segment": [12.5, 60.0]}, ...]},
 "external_data": {}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from actspan.core.errors import ResultError
from actspan.core.files import atomic_file, folder_kind
from actspan.core.parallel import chunked
from actspan.core.types import Float64, Proposals
from actspan.data.decoding import NOT_JSON
from actspan.data.result_document import refuse_repeated_videos, result_bytes, result_videos
from actspan.data.result_table import ResultTable
from actspan.data.video_files import FileNames

RESULT_FILE = "result.json"  # file name in a run folder
VERSION = "VERSION 1.3"
HEAD = b'{"version": "%s", "results": {' % VERSION.encode()  # start of a written file

_VIDEOS = 16  # videos decoded at a time, whose entries fit into the caches


class _Entry(msgspec.Struct, gc=False):
    score: float
    segment: tuple[float, float]


_decode_entries = msgspec.json.Decoder(list[_Entry]).decode
_encode_entries = msgspec.msgpack.Encoder().encode

# An entry in MessagePack has a fixed width, because every float takes one byte for its type and
# eight for its value. NumPy reads the columns, which is twice as fast as reading single floats.
_ROW = np.dtype(
    {
        "names": ["score", "start", "end"],
        "formats": [">f8"] * 3,
        "offsets": [8, 26, 35],  # follow 82 a5 "score" cb, a7 "segment" 92 cb, cb
        "itemsize": 43,
    }
)


def read_result(path: Path | str) -> dict[str, Proposals]:
    """Read the proposals of a result file, or of a run folder with a `result.json`.

    Parameters
    ----------
    path : Path or str

    Returns
    -------
    dict of video id to Proposals
        `start` and `end` in seconds; videos and proposals in the file's order. A leading `v_` of
        an id is stripped. Other keys of an entry, such as `label`, are ignored.

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
    return read_result_table(path).by_video()


def read_result_table(path: Path | str) -> ResultTable:
    """Return a result as parallel arrays over all videos; raise as `read_result` does."""
    path = _result_file(Path(path))
    data = result_bytes(path)
    ids: list[str] = []
    counts: list[int] = []
    files = FileNames()
    columns = [np.empty((3, 0))]
    for chunk in chunked(result_videos(path, data, files), _VIDEOS):
        entries = [_decode(path, video, raw) for video, raw in chunk]
        ids += [video for video, _ in chunk]
        counts += map(len, entries)
        columns.append(_columns(entries))
    refuse_repeated_videos(path, data, counts)
    start, end, score = np.concatenate(columns, axis=1)
    return ResultTable(tuple(ids), np.array(counts, np.int64), start, end, score, files.notes(path))


def _result_file(path: Path) -> Path:
    if path.suffix.lower() in (".csv", ".parquet"):
        raise ResultError(f"{path}: is a table; give the run folder or the {RESULT_FILE}")
    if not path.is_dir():
        return path
    if not (path / RESULT_FILE).is_file():
        raise ResultError(
            f"{path}{folder_kind(path)}: give a run, or a result file"
            if folder_kind(path)
            else f"{path}: no {RESULT_FILE} in this folder; did its run finish?"
        )
    return path / RESULT_FILE


def _decode(path: Path, video: str, raw: msgspec.Raw) -> list[_Entry]:
    try:
        return _decode_entries(raw)
    except NOT_JSON as error:
        raise ResultError(
            f"{path}: video {video!r}: {error}; every entry needs a score and a segment of two "
            "numbers, in seconds"
        ) from error


def _columns(videos: list[list[_Entry]]) -> Float64:
    """Return start, end and score of the entries of some videos, (3, n)."""
    # The last bytes of a list are its entries; their number precedes them.
    text = [
        _encode_entries(entries)[-_ROW.itemsize * len(entries) :] for entries in videos if entries
    ]
    rows = np.frombuffer(b"".join(text), _ROW)
    return np.array([rows["start"], rows["end"], rows["score"]], np.float64)


class ResultWriter:
    """Writer of a result file, video by video; the file appears only when it is complete.

    Memory does not grow with the number of proposals. Leaving the `with` block normally puts the
    file in place in one step; leaving it by an exception leaves an older file unchanged.

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
        """Write one video's proposals in seconds, with one label each if `labels` are given.

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
        self._write(video_id, proposals, labels)
        self._written.add(video_id)

    def _write(self, video_id: str, proposals: Proposals, labels: Sequence[str] | None) -> None:
        columns = (proposals.start, proposals.end, proposals.score)
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream = None
        try:
            self._file.__exit__(kind, error, trace)
        except OSError as failure:  # from closing; one from within the block is passed on
            raise ResultError(f"{self.path}: cannot be written: {failure.strerror}") from failure


@contextmanager
def _document_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield the file's stream; write the text before and after the videos."""
    with atomic_file(path) as stream:
        stream.write(HEAD)
        yield stream
        stream.write(b'}, "external_data": {}}\n')


def write_result(path: Path | str, proposals: Mapping[str, Proposals]) -> None:
    """Write the proposals of many videos, `start` and `end` in seconds.

    Raises
    ------
    ResultError
        The same as for `ResultWriter`.
    """
    with ResultWriter(path) as writer:
        for video, found in proposals.items():
            writer.add(video, found.start, found.end, found.score)
