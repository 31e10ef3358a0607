"""Result files (bsn.md section 8): the proposals of many videos, in seconds.

{"version": "VERSION 1.3",
 "results": {id: [{"score": 0.9, "segment": [12.5, 60.0]}, ...]},
 "external_data": {}}
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from actspan.config.base import NOT_JSON
from actspan.core.errors import ResultError
from actspan.core.files import folder_kind, read_bytes
from actspan.core.limits import DOCUMENT, SECONDS
from actspan.core.parallel import chunked
from actspan.core.segments import Proposals
from actspan.core.types import Float64
from actspan.data.names import FileNames
from actspan.data.run_info import check_recorded

RESULT_FILE = "result.json"  # file name in a run folder
VERSION = "VERSION 1.3"

_VIDEOS = 16  # videos decoded at a time, whose entries fit into the caches
_BLOCK = 1 << 18  # bytes, which fit into the caches

T = TypeVar("T")


class _Document(msgspec.Struct):
    # Raw: decoded a few videos at a time, so that only their small objects exist at once.
    results: dict[str, msgspec.Raw]


class _Entry(msgspec.Struct, gc=False):
    score: float
    segment: tuple[float, float]


_decode_document = msgspec.json.Decoder(_Document).decode
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


@dataclass(frozen=True, slots=True, eq=False)
class ResultTable:
    """Proposals of V videos as parallel arrays, in seconds."""

    ids: tuple[str, ...]  # without `v_`
    counts: NDArray[np.int64]  # (V,) proposals per video; they are stored in the order of `ids`
    start: Float64  # (P,), as `end` and `score`
    end: Float64
    score: Float64
    notes: tuple[str, ...] = ()  # on what was dropped from the ids of a file

    @classmethod
    def of(cls, proposals: Mapping[str, Proposals]) -> Self:
        """Return a table with the proposals of videos one after the other."""
        parts = proposals.values()
        columns = ([p.start for p in parts], [p.end for p in parts], [p.score for p in parts])
        start, end, score = (np.concatenate([np.empty(0), *column]) for column in columns)
        counts = np.fromiter(map(len, parts), np.int64, len(parts))
        return cls(tuple(proposals), counts, start, end, score)

    @property
    def first(self) -> NDArray[np.int64]:
        """Index of the first proposal of each video, (V,)."""
        first: NDArray[np.int64] = np.cumsum(self.counts) - self.counts
        return first

    def by_video(self) -> dict[str, Proposals]:
        """Return the proposals of each video, as views of the table's arrays."""
        ends = (self.first + self.counts).tolist()
        return {
            video: Proposals(
                self.start[a:b], self.end[a:b], self.score[a:b], unit="seconds", video=video
            )
            for video, a, b in zip(self.ids, self.first.tolist(), ends, strict=True)
        }


def read_result(path: Path | str) -> dict[str, Proposals]:
    """Read the proposals of a result file, or of a run folder with a `result.json`.

    Returns
    -------
    dict of video id to Proposals
        `start` and `end` in seconds; videos and proposals in the file's order. A leading `v_` of
        an id is stripped. Other keys of an entry, such as `label`, are ignored.

    Raises
    ------
    ResultError
        The file is missing, damaged or not a result, or has NaN or a video twice; or the file of
        a run differs from its checksum in `run.toml`.

    Examples
    --------
    >>> proposals = read_result("run/")  # doctest: +SKIP
    >>> proposals["--1DO2V4K74"].score.max()  # doctest: +SKIP
    0.768
    """
    return read_result_table(path).by_video()


def read_result_table(path: Path | str) -> ResultTable:
    """Return a result as parallel arrays over all videos; raise as `read_result` does."""
    given = Path(path)
    path = _result_file(given)
    if path == given:
        return _read_table(path)
    with ThreadPoolExecutor(1) as pool:  # SHA-256 takes a third of the time of reading
        checked = pool.submit(check_recorded, path)
        table = _read_table(path)
        checked.result()
    return table


def _read_table(path: Path) -> ResultTable:
    ids: list[str] = []
    counts: list[int] = []
    files = FileNames()
    columns = [np.empty((3, 0))]
    for chunk in chunked(read_entries(path, _Entry, files), _VIDEOS):
        ids += [video for video, _ in chunk]
        counts += [len(entries) for _, entries in chunk]
        columns.append(_columns([entries for _, entries in chunk]))
    start, end, score = np.concatenate(columns, axis=1)
    late = np.flatnonzero(np.maximum(np.abs(start), np.abs(end)) > SECONDS)
    if len(late):
        video = ids[int(np.searchsorted(np.cumsum(counts), late[0], side="right"))]
        raise late_error(path, video, start[late[0]], end[late[0]])
    return ResultTable(tuple(ids), np.array(counts, np.int64), start, end, score, files.notes(path))


def late_error(path: Path, video: str, start: float, end: float) -> ResultError:
    """Return the error about a segment at a time that no recording has."""
    segment = f"segment [{start:g}, {end:g}]"
    return ResultError(f"{path}: video {video!r}: {segment}: later than any video ends; correct it")


def _result_file(path: Path) -> Path:
    if path.suffix.lower() in (".csv", ".parquet"):
        raise ResultError(f"{path}: is a table; give the run folder or the {RESULT_FILE}")
    if not path.is_dir():
        return path
    if not (path / RESULT_FILE).is_file():
        if kind := folder_kind(path):
            raise ResultError(f"{path}{kind}: give a run, or a result file")
        raise ResultError(f"{path}: no {RESULT_FILE} in this folder; did its run finish?")
    return path / RESULT_FILE


def _columns(videos: list[list[_Entry]]) -> Float64:
    """Return start, end and score of the entries of some videos, (3, n)."""
    # The last bytes of a list are its entries; their number precedes them.
    text = [
        _encode_entries(entries)[-_ROW.itemsize * len(entries) :] for entries in videos if entries
    ]
    rows = np.frombuffer(b"".join(text), _ROW)
    return np.array([rows["start"], rows["end"], rows["score"]], np.float64)


def read_entries(path: Path, kind: type[T], files: FileNames) -> Iterator[tuple[str, list[T]]]:
    """Yield per video of a result file its id, without `v_`, and its decoded entries.

    `kind` is a `msgspec.Struct` for an entry; `files` collects the ids that are names of video
    files, whose suffix is dropped. Raises ResultError if the file is damaged, has other entries, or
    a video occurs twice.
    """
    data = result_bytes(path)
    decode = msgspec.json.Decoder(list[kind]).decode  # type: ignore[valid-type]
    seen = set()
    lists = 0
    for name, raw in _decode_results(path, data).items():
        try:
            video = files.stem(name).removeprefix("v_")
        except ValueError as error:
            raise ResultError(f"{path}: {error}") from error
        if video in seen:
            raise ResultError(
                f"{path}: video {video!r} occurs with and without 'v_', a file's suffix, or in "
                "two Unicode forms: keep one"
            )
        seen.add(video)
        try:
            entries = decode(raw)
        except NOT_JSON as error:
            needed = "every entry needs a score and a segment of two numbers, in seconds"
            if "`label`" in str(error):
                needed = "these are proposals, not detections; label them: actspan label"
            raise ResultError(f"{path}: video {video!r}: {error}; {needed}") from error
        lists += 1 + len(entries)
        yield video, entries
    # A repeated key overwrites silently, but the overwritten value is still in the text. Every
    # video opens a list, and every entry one; if there are others, a slower check decides.
    text = np.frombuffer(data, np.uint8)
    blocks = (text[i : i + _BLOCK] for i in range(0, len(text), _BLOCK))
    if sum(int(np.count_nonzero(block == ord("["))) for block in blocks) != lists:
        _refuse_repeated_keys(path, data)


def result_bytes(path: Path) -> bytes:
    """Return the content of a file; raise ResultError if it cannot be read."""
    try:
        return read_bytes(path, DOCUMENT)
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}") from error


def is_result(path: Path) -> bool:
    """Return whether a file looks like a result file, damaged or not; raise as `result_bytes`."""
    data = result_bytes(path)
    return data[:_BLOCK].lstrip()[:1] == b"{" and b'"results"' in data and b'"database"' not in data


def _decode_results(path: Path, data: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _decode_document(data).results
    except msgspec.ValidationError as error:
        raise ResultError(
            f'{path}: not a result file: {error}; {{"results": {{id: [...]}}}} is needed'
        ) from error
    except NOT_JSON as error:
        raise _explain_malformed(path, data, error) from error


def _explain_malformed(path: Path, data: bytes, error: Exception) -> ResultError:
    """Return the error for NaN, which Python writes although JSON has none, or for invalid JSON."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return ResultError(f"{path}: not valid JSON: {error}; was it cut off?")
    results = document.get("results") if isinstance(document, dict) else None
    for video, entries in results.items() if isinstance(results, dict) else ():
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            try:
                json.dumps(entry, allow_nan=False)
            except ValueError:
                return ResultError(
                    f"{path}: video {video!r}, entry {number}: NaN or infinity in {entry}; "
                    "scores and segments must be finite"
                )
    return ResultError(f"{path}: not valid JSON: {error}")


def _refuse_repeated_keys(path: Path, data: bytes) -> None:
    def check(pairs: list[tuple[str, Any]]) -> None:
        name, times = Counter(key for key, _ in pairs).most_common(1)[0] if pairs else ("", 0)
        if times > 1:
            raise ResultError(f"{path}: {name!r} occurs {times} times: keep one of them")

    try:
        json.loads(data, object_pairs_hook=check)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path}: not valid JSON: {error}") from error
