"""Query parameters that requests for proposals share."""

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
    """Return the settings of a request, with defaults from the model; stride 0 if unknown.

    The stride of a video is computed when it is decoded.
    """
    spec = model.bundle.features
    if stride is None:
        stride, length = spec.stride_seconds or 0.0, length or spec.length_seconds
    return Wish(stride, length or stride, top, score)


def check_stride(wish: Wish) -> None:
    """Raise if the stride of features is unknown.

    Raises
    ------
    ProblemError
        Neither the caller nor the model gives it.
    """
    if not wish.stride:
        raise ProblemError(
            422, "stride: the model does not fix it, so say it, in seconds from snippet to snippet"
        )
