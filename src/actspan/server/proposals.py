"""Options of requests for proposals, and the answers with proposals."""

from __future__ import annotations

import io
from dataclasses import dataclass

from pydantic import BaseModel, Field
from pydantic_core import to_json

from actspan.core.types import Proposals
from actspan.jobs.propose_request import Selection
from actspan.server.error_responses import ProblemError
from actspan.server.served_model import ServedModel


class Proposal(BaseModel):
    """Scored segment: start and end, seconds."""

    segment: tuple[float, float]
    score: float


class ProposeAnswer(BaseModel):
    """Proposals of a video, best first, and the duration of the video, seconds."""

    seconds: float
    proposals: list[Proposal]


class ProposalQuery(BaseModel):
    """Query parameters of requests for proposals."""

    stride: float | None = Field(
        None,
        gt=0,
        le=86400,
        description="Seconds from snippet to snippet. Default: that of the model.",
    )
    length: float | None = Field(
        None, gt=0, le=86400, description="Seconds of a snippet. Default: the stride."
    )
    top: int | None = Field(
        None, ge=1, le=1_000_000, description="Maximum number of proposals, the best ones."
    )
    min_score: float = Field(0.0, description="Leave out proposals that score less than this.")


@dataclass(frozen=True, slots=True)
class ProposalOptions:
    """Time grid of features, seconds, and the choice of proposals to return.

    The stride is 0 if neither the caller nor the model states it; decoding a video computes it.
    """

    stride: float
    length: float
    top: int | None = None
    min_score: float = 0.0

    @classmethod
    def of(cls, model: ServedModel, query: ProposalQuery) -> ProposalOptions:
        """Return the options of a request, with defaults from the model."""
        spec, stride, length = model.bundle.features, query.stride, query.length
        if stride is None:
            stride, length = spec.stride_seconds or 0.0, length or spec.length_seconds
        return cls(stride, length or stride, query.top, query.min_score)

    def check_stride(self) -> None:
        """Raise ProblemError (422) if the stride is unknown."""
        if not self.stride:
            raise ProblemError(
                422,
                "stride: the model does not state it, so give it, in seconds from snippet to "
                "snippet",
            )

    def select(self, proposals: Proposals) -> Proposals:
        """Return the proposals to return to the caller."""
        return Selection(self.top, self.min_score).of(proposals)


def as_json(proposals: Proposals, seconds: float) -> bytes:
    """Return a `ProposeAnswer` as JSON."""
    columns = (column.tolist() for column in (proposals.start, proposals.end, proposals.score))
    rows = [{"segment": (start, end), "score": s} for start, end, s in zip(*columns, strict=True)]
    return to_json({"seconds": seconds, "proposals": rows})  # 6 times as fast as from the models


def as_arrow(proposals: Proposals, seconds: float) -> bytes:
    """Return an Arrow stream of columns start, end and score; seconds are in the metadata."""
    import pyarrow as pa

    columns = {"start": proposals.start, "end": proposals.end, "score": proposals.score}
    table = pa.table(columns).replace_schema_metadata({"seconds": repr(seconds)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
