"""Models of the protocol: each network, and the whole pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from actspan.core.types import Features, Proposals
from actspan.model.weights import Net
from actspan.pipeline.steps import cells
from actspan.server.answers import Wish
from actspan.server.inference.tensors import Tensors, TensorSpec
from actspan.server.model import ServedModel
from actspan.server.problems import ProblemError, unknown_names
from actspan.server.wishes import check_stride, wish_of

_OF_PROTOCOL = ("binary_data_output",)  # parameters that the protocol itself defines


class InferenceModel(Protocol):
    """Model, as the protocol defines it."""

    @property
    def name(self) -> str:
        """Name of the model in the path."""
        ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Specs of the inputs."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Specs of the outputs."""
        ...

    async def infer(self, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Run the model; tensors have the shapes and types of the specs.

        Raises
        ------
        ProblemError
            The inputs do not fit together (400), or there is too much work (429, 504).
        """
        ...


class Network:
    """TEM or PEM: input rows to output rows.

    TEM maps `video` (B, C, T) to `output` (B, 3, T): actionness, start and end in [0, 1]. PEM maps
    `video_feature` (N, 32), BSP features, to `output` (N, 1) in [0, 1].
    """

    def __init__(self, model: ServedModel, name: Net) -> None:
        self.name, self._rows = name, model.rows[name]
        (self._input,) = model.sessions[name].input_names
        length = cells(model.config)
        tem = ([-1, model.channels, length], [-1, 3, length])
        taken, given = tem if name == "tem" else ([-1, model.config.bsp.size], [-1, 1])
        self.inputs = (TensorSpec(self._input, "FP32", taken),)
        self.outputs = (TensorSpec("output", "FP32", given),)

    async def infer(self, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Run the network; see `InferenceModel.infer`."""
        _known(parameters, ())
        rows = _wanted(tensors, self._input)
        if not len(rows):
            raise ProblemError(400, f"input {self._input!r} has no rows")
        return {"output": await self._rows.answer(rows, len(rows))}


class _Asked(msgspec.Struct, frozen=True):
    """Parameters of a request that the pipeline accepts."""

    top: int | None = None
    min_score: float = 0.0


class WholePipeline:
    """Pipeline from features of B videos to their proposals.

    Both are concatenated over the videos. Input `features` (sum of n, C) holds the snippets of all
    videos, `lengths` (B) the number of snippets of each (one video unless given), `stride` (1 or B)
    the seconds from snippet to snippet (the model's unless given). Outputs `segments` (sum of N,
    2), seconds, and `score` (sum of N) hold the proposals of all videos, best first within each
    video, and `count` (B) the number of proposals of each. Parameters `top` and `min_score` choose
    among them.
    """

    name = "pipeline"
    outputs = (
        TensorSpec("segments", "FP64", [-1, 2]),
        TensorSpec("score", "FP64", [-1]),
        TensorSpec("count", "INT64", [-1]),
    )

    def __init__(self, model: ServedModel, longest: float) -> None:
        self._model, self._longest = model, longest
        self.inputs = (
            TensorSpec("features", "FP32", [-1, model.channels]),
            TensorSpec("lengths", "INT64", [-1]),
            TensorSpec("stride", "FP64", [-1]),
        )

    async def infer(self, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Run the pipeline; see `InferenceModel.infer`."""
        rows = _wanted(tensors, "features")
        lengths = _lengths(tensors.get("lengths", np.array([len(rows)])), len(rows))
        wish, strides = self._wish(parameters, tensors.get("stride"), len(lengths))
        if (lengths * strides).max() > self._longest:
            raise ProblemError(413, f"a video lasts longer than {self._longest:g} s")
        parts = np.split(rows, np.cumsum(lengths)[:-1])
        videos = [
            Features(part, stride, wish.length)
            for part, stride in zip(parts, strides.tolist(), strict=True)
        ]
        found = await self._model.videos.answer(videos, len(videos))
        return _end_to_end([wish.chosen(proposals) for proposals in found])

    def _wish(
        self, parameters: Mapping[str, Any], given: NDArray[Any] | None, videos: int
    ) -> tuple[Wish, NDArray[np.float64]]:
        """Return the settings of the request, and the stride of each video."""
        try:
            asked = msgspec.convert(_known(parameters, _Asked.__struct_fields__), _Asked)
        except msgspec.ValidationError as error:
            raise ProblemError(400, f"parameters: {error}") from None
        if asked.top is not None and asked.top < 1:
            raise ProblemError(400, "parameters: top must be at least 1")
        if given is None:
            wish = wish_of(self._model, None, None, asked.top, asked.min_score)
            check_stride(wish)
            return wish, np.full(videos, wish.stride)
        if len(given) not in (1, videos) or not (given > 0).all():
            raise ProblemError(400, f"input 'stride': 1 or {videos} positive numbers are needed")
        wish = wish_of(self._model, float(given[0]), None, asked.top, asked.min_score)
        return wish, np.broadcast_to(given, videos)


def _known(parameters: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """Return a request's parameters without the protocol's own; raise for unknown ones."""
    given = {name: value for name, value in parameters.items() if name not in _OF_PROTOCOL}
    if unknown := given.keys() - set(known):
        raise ProblemError(400, unknown_names("parameter", sorted(unknown), known))
    return given


def _wanted(tensors: Tensors, name: str) -> NDArray[Any]:
    if name not in tensors:
        raise ProblemError(400, f"input {name!r} is missing")
    return tensors[name]


def _lengths(lengths: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return the number of snippets per video, after checks."""
    if not len(lengths) or lengths.min() < 1 or lengths.max() > rows or lengths.sum() != rows:
        raise ProblemError(
            400, f"input 'lengths': numbers of at least 1 are needed that sum to {rows} snippets"
        )
    return lengths


def _end_to_end(found: list[Proposals]) -> Tensors:
    starts, ends, scores = (
        np.concatenate([getattr(proposals, name) for proposals in found])
        for name in ("start", "end", "score")
    )
    count = np.array([len(proposals) for proposals in found])
    return {"segments": np.stack([starts, ends], axis=1), "score": scores, "count": count}
