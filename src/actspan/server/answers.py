"""Answers of the service: proposals as JSON or Arrow, and jobs."""

from __future__ import annotations

import io
from typing import Literal

import msgspec

from actspan.core.types import Proposals
from actspan.jobs.propose_request import Selection

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
State = Literal["queued", "running", "done", "failed"]


class Proposal(msgspec.Struct, frozen=True):
    """Scored segment: start and end, seconds."""

    segment: tuple[float, float]
    score: float


class ProposeAnswer(msgspec.Struct, frozen=True):
    """Proposals of a video, best first, and the duration of the video, seconds."""

    seconds: float
    proposals: list[Proposal]


class JobAnswer(msgspec.Struct, frozen=True):
    """Job: times are seconds since 1970, progress is in [0, 1], size is the upload's, bytes."""

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
    """Jobs, newest first, and the number of all jobs."""

    jobs: list[JobAnswer]
    total: int


class Wish(msgspec.Struct, frozen=True):
    """Time grid of the features of a request, and the choice of proposals to return.

    Attributes
    ----------
    stride, length : float
        Seconds from snippet to snippet, and seconds of a snippet.
    top : int, optional
    min_score : float
    """

    stride: float
    length: float
    top: int | None = None
    min_score: float = 0.0

    def chosen(self, proposals: Proposals) -> Proposals:
        """Return the proposals to return to the caller."""
        return Selection(self.top, self.min_score).of(proposals)


def as_json(proposals: Proposals, seconds: float) -> bytes:
    """Return a `ProposeAnswer` as JSON."""
    columns = (column.tolist() for column in (proposals.start, proposals.end, proposals.score))
    rows = [Proposal((start, end), score) for start, end, score in zip(*columns, strict=True)]
    return msgspec.json.encode(ProposeAnswer(seconds, rows))


def as_arrow(proposals: Proposals, seconds: float) -> bytes:
    """Return an Arrow stream of columns start, end and score; seconds are in the metadata."""
    import pyarrow as pa

    columns = {"start": proposals.start, "end": proposals.end, "score": proposals.score}
    table = pa.table(columns).replace_schema_metadata({"seconds": repr(seconds)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
