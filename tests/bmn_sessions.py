"""Sessions that replay recorded outputs of BMN, or compute some without weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from actspan import Features, Pipeline, PipelineConfig
from actspan.config.bmn import BmnConfig, MatchingConfig
from actspan.config.bmn_presets import BMN_PIPELINES
from actspan.core.types import Float32
from actspan.pipeline.outcomes import Outcome, VideoInput
from actspan.runtime.session import Session

LENGTH, STRIDE = 12, 0.5


class Outputs(Session):
    """Session that computes the outputs of BMN in a given way."""

    backend = "test"
    output_names = ("confidence_map", "start", "end")
    batch_range = None

    def __init__(self, channels: int, length: int) -> None:
        self.input_shapes = {"video": (None, channels, length)}

    def close(self) -> None:
        pass


class Recorded(Outputs):
    """Replay of outputs by the number of the video, which its only channel has in every cell."""

    def __init__(self, outputs: Sequence[tuple[Float32, Float32, Float32]]) -> None:
        super().__init__(channels=1, length=100)
        self.arrays = [np.stack(arrays) for arrays in zip(*outputs, strict=True)]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Float32]:
        numbers = inputs["video"][:, 0].mean(axis=1).round().astype(int)
        return {n: a[numbers] for n, a in zip(self.output_names, self.arrays, strict=True)}


class Computed(Outputs):
    """Small network without weights: the start of an action in channel 0, its end in channel 1."""

    def __init__(self, config: BmnConfig) -> None:
        super().__init__(config.channels, config.length)
        self.config = config

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Float32]:
        start, end, inside = (1 / (1 + np.exp(-inputs["video"].transpose(1, 0, 2)))).astype("f")
        rows = self.config.durations or self.config.length
        row, column = np.indices((rows, self.config.length))
        if self.config.axes == "duration-start":
            first, last = column, np.minimum(column + row, self.config.length - 1)
        else:
            first, last = row, column
        grids = inside[:, first] * end[:, last], start[:, first] * inside[:, last]
        return {"confidence_map": np.stack(grids, axis=1), "start": start, "end": end}


def outcomes_of(
    session: Session, config: PipelineConfig, features: Sequence[Features], **settings: int
) -> list[Outcome]:
    batch = settings.pop("batch", 16)
    jobs = [VideoInput(str(i), lambda f=f: f) for i, f in enumerate(features)]  # type: ignore[misc]
    with Pipeline({"bmn": session}, config, **settings) as pipeline:
        return list(pipeline.run(jobs, batch=batch))


def model(axes: Any, *, durations: int | None = None, mode: Any = "rescale") -> PipelineConfig:
    """Return the settings of a small model for `Computed`."""
    return PipelineConfig(
        bmn=BmnConfig(channels=3, length=LENGTH, axes=axes, durations=durations),
        matching=MatchingConfig(),
        soft_nms=replace(BMN_PIPELINES["paddle"].soft_nms, picks=400, keep=400),
        mode=mode,
    )


def network(config: PipelineConfig) -> Computed:
    assert config.bmn is not None
    return Computed(config.bmn)


def recordings(*sizes: int) -> list[Features]:
    rng = np.random.default_rng(5)
    return [Features(rng.normal(size=(n, 3)), stride=STRIDE, length=STRIDE) for n in sizes]
