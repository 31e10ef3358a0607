"""What is answered: proposals as JSON or Arrow, and jobs."""

from __future__ import annotations

import io
from typing import Literal

import msgspec

from actspan.moments.answers import Selection
from actspan.types import Proposals

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
State = Literal["queued", "running", "done", "failed"]


class Proposal(msgspec.Struct, frozen=True):
    """A scored segment: start and end, seconds."""

    segment: tuple[float, float]
    score: float


class ProposeAnswer(msgspec.Struct, frozen=True):
    """The proposals of a video, best first, and how long it is taken to be, seconds."""

    seconds: float
    proposals: list[Proposal]


class JobAnswer(msgspec.Struct, frozen=True):
    """A job: times are seconds since 1970, progress is in [0, 1], size is the upload's, bytes."""

    id: str
    name: str
    kind: Literal["npy", "arrow", "video"]
    state: State
    progress: float
    size: int
    created: float
    started: float | None = None
    finished: float | None = None
    error: str | None = None


class JobList(msgspec.Struct, frozen=True):
    """Jobs, newest first, and how many there are in all."""

    jobs: list[JobAnswer]
    total: int


class Wish(msgspec.Struct, frozen=True):
    """What a caller says of features, and which proposals shall be given out.

    Attributes
    ----------
    stride, length : float
        Seconds from snippet to snippet, and of a snippet.
    top : int, optional
    min_score : float
    """

    stride: float
    length: float
    top: int | None = None
    min_score: float = 0.0

    def chosen(self, proposals: Proposals) -> Proposals:
        """The proposals that are given out."""
        return Selection(self.top, self.min_score).of(proposals)


def as_json(proposals: Proposals, seconds: float) -> bytes:
    """A `ProposeAnswer` as JSON."""
    columns = (column.tolist() for column in (proposals.start, proposals.end, proposals.score))
    rows = [Proposal((start, end), score) for start, end, score in zip(*columns, strict=True)]
    return msgspec.json.encode(ProposeAnswer(seconds, rows))


def as_arrow(proposals: Proposals, seconds: float) -> bytes:
    """The same as an Arrow stream: columns start, end and score; seconds in the metadata."""
    import pyarrow as pa

    columns = {"start": proposals.start, "end": proposals.end, "score": proposals.score}
    table = pa.table(columns).replace_schema_metadata({"seconds": repr(seconds)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
