"""Format of a shard: one record per video or window, each with a checksum.

b"actspan shard 1\n"                       16 bytes
frame: length, CRC-32, MessagePack          two uint32, little-endian, then `length` bytes
_Header    fingerprint of the plan, number of the shard
_ResultRecord    a video, or a window of one; any number
_ProblemRecord    a video that could not be read, or a note about one that was
_Footer    number of records
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, Literal

import msgspec
import numpy as np

from actspan.core.errors import ShardError
from actspan.core.problems import Problem
from actspan.core.segments import Proposals
from actspan.core.types import BoundaryScores
from actspan.data.cells import Window
from actspan.data.detections import ProposalLabels
from actspan.jobs.candidate_files import RECORD, SCORED_RECORD, columns_of, from_columns
from actspan.pipeline.outcomes import Outcome

Result = Outcome | Problem  # of a video or window; a problem if the video could not be read
Content = Literal["run", "result"]  # everything that was computed, or proposals alone

_MAGIC = b"actspan shard 1\n"
_FRAME = struct.Struct("<II")
_ANSWER = ("<f8", "<f8", "<f8")
_LABELS = ("<i4", "<f8")


class _Header(msgspec.Struct, tag="head", array_like=True):
    fingerprint: str
    number: int


class _ResultRecord(msgspec.Struct, tag="done", array_like=True):
    id: str
    seconds: float
    window: tuple[int, int, int] | None
    answer: tuple[bytes, ...] | None  # start, end, score
    scores: bytes | None  # (3, T) float32; None where proposals alone are kept
    candidates: tuple[bytes, ...] | None  # the columns of `record_of`
    labels: tuple[bytes, ...] | None = None  # label and factor, (N, K), of N proposals


class _ProblemRecord(msgspec.Struct, tag="gone", array_like=True):
    problem: Problem


class _Footer(msgspec.Struct, tag="tail", array_like=True):
    records: int


_Frame = _Header | _ResultRecord | _ProblemRecord | _Footer
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Frame).decode


def is_window(result: Result) -> bool:
    """Return whether a result is a window that is not the last one of its recording."""
    return isinstance(result, Outcome) and result.proposals is None


def write_shard(
    file: IO[bytes], fingerprint: str, number: int, keeps: Content, results: Iterable[Result]
) -> Iterator[Result]:
    """Write a shard to a new file; yield the results as they are written, up to the end.

    The same results give the same bytes. A recording that fails takes its earlier windows with it,
    in the file. `fingerprint` is that of the plan. With `keeps` "result", only proposals are
    stored.
    """
    file.write(_MAGIC + _encode_frame(_Header(fingerprint, number)))
    records = 0
    complete = file.tell(), records  # position and records before the current recording
    for result in results:
        record: _Frame | None = None
        if isinstance(result, Problem):
            record = _ProblemRecord(result)
            if result.is_error:
                position, records = complete
                file.seek(position)
                file.truncate()
        elif keeps == "run" or result.proposals is not None:
            record = _record(result, keeps)
        if record is not None:
            file.write(_encode_frame(record))
            records += 1
        if result.is_error if isinstance(result, Problem) else result.proposals is not None:
            complete = file.tell(), records
        yield result
    file.write(_encode_frame(_Footer(records)))


def _encode_frame(record: _Frame) -> bytes:
    data = _encode(record)
    return _FRAME.pack(len(data), zlib.crc32(data)) + data


def _record(outcome: Outcome, keeps: Content) -> _ResultRecord:
    answer, labels, segments = None, None, outcome.proposals
    if segments is not None:
        answer = _pack_columns(_ANSWER, segments.start, segments.end, segments.score)
    if outcome.labels is not None:
        labels = _pack_columns(_LABELS, outcome.labels.label, outcome.labels.factor)
    if keeps == "result":
        return _ResultRecord(outcome.id, outcome.seconds, None, answer, None, None, labels)
    (scores,) = _pack_columns(("<f4",), outcome.scores)
    candidates = tuple(column.tobytes() for column in columns_of(outcome).values())
    return _ResultRecord(
        outcome.id, outcome.seconds, outcome.window, answer, scores, candidates, labels
    )


def _pack_columns(dtypes: Sequence[str], *columns: Any) -> tuple[bytes, ...]:
    pairs = zip(columns, dtypes, strict=True)
    return tuple(np.asarray(column, dtype).tobytes() for column, dtype in pairs)


def decode_shard(
    fingerprint: str, number: int, stream: IO[bytes], *, ids: Sequence[str], where: str
) -> Iterator[Result]:
    """Yield the results of a shard in order, in bounded memory.

    If proposals alone were kept, outcomes have no scores and no candidates. Raises ShardError,
    which names `where`, if the shard is damaged or of another run; earlier results are valid.
    """
    frames = _frames(stream, where)
    head = next(frames, None)
    if head != _Header(fingerprint, number):
        raise ShardError(f"{where}: not shard {number} of this run")
    known = {video: video for video in ids}  # equal ids share their memory
    for records, frame in enumerate(frames):
        if isinstance(frame, _Footer) and frame.records == records and not stream.read(1):
            return
        if isinstance(frame, _Header | _Footer):
            break
        try:
            result = frame.problem if isinstance(frame, _ProblemRecord) else _outcome(frame, known)
        except ValueError as error:  # invalid arrays, or arrays that do not fit each other
            raise ShardError(f"{where}: damaged: {error}") from error
        yield result
    raise ShardError(f"{where}: damaged or truncated")


def _frames(stream: IO[bytes], where: str) -> Iterator[_Frame]:
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise ShardError(f"{where}: not a shard, or damaged")
    while len(start := stream.read(_FRAME.size)) == _FRAME.size:
        length, checksum = _FRAME.unpack(start)
        data = stream.read(length)
        if len(data) != length or zlib.crc32(data) != checksum:
            raise ShardError(f"{where}: damaged or truncated")
        try:
            yield _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ShardError(f"{where}: damaged: {error}") from error


def _outcome(record: _ResultRecord, known: Mapping[str, str]) -> Outcome:
    proposals = None
    if record.answer is not None:
        proposals = Proposals(*_columns(_ANSWER, record.answer), unit="seconds")
    scores: Any = None
    own_scores = False
    candidates, confidence = Proposals.empty("fraction"), np.empty(0, np.float32)
    if record.scores is not None and record.candidates is not None:
        scores = BoundaryScores.from_array(np.frombuffer(record.scores, "<f4").reshape(3, -1))
        own_scores = len(record.candidates) == len(SCORED_RECORD.descr)
        names, dtypes = zip(*(SCORED_RECORD if own_scores else RECORD).descr, strict=True)
        columns = _columns(dtypes, record.candidates)
        candidates, confidence = from_columns(dict(zip(names, columns, strict=True)))
    labels = None
    if record.labels is not None and proposals is not None:
        label, factor = _columns(_LABELS, record.labels)
        shape = (len(proposals), len(label) // max(len(proposals), 1))
        labels = ProposalLabels(label.astype(np.int64).reshape(shape), factor.reshape(shape))
    window = None if record.window is None else Window(*record.window)
    video = known.get(record.id, record.id)
    return Outcome(
        video,
        record.seconds,
        scores,
        candidates,
        confidence,
        proposals,
        window,
        labels,
        own_scores=own_scores,
    )


def _columns(dtypes: Sequence[str], packed: Sequence[bytes]) -> list[Any]:
    return [np.frombuffer(data, dtype) for data, dtype in zip(packed, dtypes, strict=True)]
