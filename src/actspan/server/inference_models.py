"""Models of the inference protocol: each network, and the whole pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from actspan.core.types import Features, Proposals
from actspan.model.weights import Net
from actspan.pipeline.steps import cells
from actspan.server.error_responses import ProblemError, validation_detail
from actspan.server.inference_tensors import Datatype, StrictBody, Tensors, TensorSpec
from actspan.server.proposals import ProposalOptions, ProposalQuery
from actspan.server.served_model import ServedModel


@dataclass(frozen=True, slots=True)
class InferenceModel:
    """Model, as the protocol defines it.

    `infer` maps tensors, with the shapes and types of the inputs, and the parameters of a request
    to the outputs. It raises ProblemError if the inputs do not fit together (400), or if there is
    too much work (429, 504).
    """

    name: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    infer: Callable[[Tensors, Mapping[str, Any]], Awaitable[Tensors]]


Parameters = TypeVar("Parameters", bound=StrictBody)


class PipelineParameters(StrictBody):
    """Parameters of a request that the pipeline accepts."""

    top: int | None = None
    min_score: float = 0.0


class NoParameters(StrictBody):
    """Parameters of a request that a network accepts: none."""


def network(model: ServedModel, name: Net) -> InferenceModel:
    """Return TEM or PEM: input rows to output rows.

    TEM maps `video` (B, C, T) to `output` (B, 3, T): actionness, start and end in [0, 1]. PEM maps
    `video_feature` (N, 32), BSP features, to `output` (N, 1) in [0, 1].
    """
    (input_name,) = model.sessions[name].input_shapes
    input_shape, output_shape = [-1, model.config.bsp.size], [-1, 1]
    if name == "tem":
        length = cells(model.config)
        input_shape, output_shape = [-1, model.channels, length], [-1, 3, length]

    async def infer(tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        _read_parameters(parameters, NoParameters)
        rows = _required(tensors, input_name)
        if not len(rows):
            raise ProblemError(400, f"input {input_name!r} has no rows")
        return {"output": await model.rows[name].answer(rows, len(rows))}

    inputs = [_spec(input_name, "FP32", *input_shape)]
    return InferenceModel(name, inputs, [_spec("output", "FP32", *output_shape)], infer)


def whole_pipeline(model: ServedModel, longest: float) -> InferenceModel:
    """Return the pipeline from features of B videos, up to `longest` seconds, to their proposals.

    Both are concatenated over the videos. Input `features` (sum of n, C) holds the snippets of all
    videos, `lengths` (B) the number of snippets of each (one video unless given), `stride` (1 or B)
    the seconds from snippet to snippet (the model's unless given). Outputs `segments` (sum of N,
    2), seconds, and `score` (sum of N) hold the proposals of all videos, best first within each
    video, and `count` (B) the number of proposals of each. Parameters `top` and `min_score` choose
    among them.
    """

    async def infer(tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        rows = _required(tensors, "features")
        lengths = tensors.get("lengths", np.array([len(rows)]))
        _check_lengths(lengths, len(rows))
        given = tensors.get("stride")
        options = _options(model, parameters, given, len(lengths))
        strides = np.broadcast_to(options.stride if given is None else given, len(lengths))
        if (lengths * strides).max() > longest:
            raise ProblemError(413, f"a video lasts longer than {longest:g} s")
        parts = np.split(rows, np.cumsum(lengths)[:-1])
        videos = [
            Features(part, stride, options.length)
            for part, stride in zip(parts, strides.tolist(), strict=True)
        ]
        found = await model.videos.answer(videos, len(videos))
        return _concatenated([options.select(proposals) for proposals in found])

    inputs = [
        _spec("features", "FP32", -1, model.channels),
        _spec("lengths", "INT64", -1),
        _spec("stride", "FP64", -1),
    ]
    outputs = [
        _spec("segments", "FP64", -1, 2),
        _spec("score", "FP64", -1),
        _spec("count", "INT64", -1),
    ]
    return InferenceModel("pipeline", inputs, outputs, infer)


def _spec(name: str, datatype: Datatype, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, shape=list(shape))


def _required(tensors: Tensors, name: str) -> NDArray[Any]:
    if name not in tensors:
        raise ProblemError(400, f"input {name!r} is missing")
    return tensors[name]


def _check_lengths(lengths: NDArray[Any], rows: int) -> None:
    if not len(lengths) or lengths.min() < 1 or lengths.max() > rows or lengths.sum() != rows:
        raise ProblemError(
            400, f"input 'lengths': numbers of at least 1 are needed that sum to {rows} snippets"
        )


def _options(
    model: ServedModel, parameters: Mapping[str, Any], strides: NDArray[Any] | None, videos: int
) -> ProposalOptions:
    """Return the options of a request, with the stride of its first video."""
    given = _read_parameters(parameters, PipelineParameters)
    if given.top is not None and given.top < 1:
        raise ProblemError(400, "parameters: top must be at least 1")
    query = ProposalQuery.model_construct(top=given.top, min_score=given.min_score)
    if strides is not None:
        if len(strides) not in (1, videos) or not (strides > 0).all():
            raise ProblemError(400, f"input 'stride': 1 or {videos} positive numbers are needed")
        query.stride = float(strides[0])
    options = ProposalOptions.of(model, query)
    options.check_stride()
    return options


def _read_parameters(parameters: Mapping[str, Any], kind: type[Parameters]) -> Parameters:
    """Return a request's parameters without the protocol's own; raise for unknown ones."""
    own = {name: value for name, value in parameters.items() if name != "binary_data_output"}
    try:
        return kind.model_validate(own)
    except ValidationError as error:
        raise ProblemError(400, f"parameters: {validation_detail(error)}") from None


def _concatenated(found: Sequence[Proposals]) -> Tensors:
    starts, ends, scores = (
        np.concatenate([getattr(proposals, name) for proposals in found])
        for name in ("start", "end", "score")
    )
    count = np.array([len(proposals) for proposals in found])
    return {"segments": np.stack([starts, ends], axis=1), "score": scores, "count": count}
