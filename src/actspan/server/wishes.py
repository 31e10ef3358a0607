"""What a caller says in the query of a request."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from actspan.server.answers import Wish
from actspan.server.model import ServedModel
from actspan.server.problems import ProblemError

Stride = Annotated[
    float | None,
    Query(gt=0, le=86400, description="Seconds from snippet to snippet; the model's unless given."),
]
Length = Annotated[
    float | None,
    Query(gt=0, le=86400, description="Seconds of a snippet; the stride unless given."),
]
Top = Annotated[int | None, Query(ge=1, le=1_000_000, description="The best so many proposals.")]
MinScore = Annotated[float, Query(description="Only proposals that score so much.")]


def wish_of(
    model: ServedModel, stride: float | None, length: float | None, top: int | None, score: float
) -> Wish:
    """A caller's wish, completed by what the model says of its features.

    Raises
    ------
    ProblemError
        Nothing says the stride.
    """
    spec = model.bundle.features
    if stride is None:
        stride, length = spec.stride_seconds, length or spec.length_seconds
    if stride is None:
        raise ProblemError(
            422,
            "stride: the model does not fix it, so say it: ?stride=SECONDS from snippet to snippet",
        )
    return Wish(stride, length or stride, top, score)
