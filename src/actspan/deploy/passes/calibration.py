"""Real inputs of TEM and PEM from a dataset folder, for the calibration of int8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from actspan.config.stages import PipelineConfig
from actspan.core.errors import ExportError
from actspan.core.problems import Skipped, skipped_line
from actspan.core.types import Float32
from actspan.core.wording import listed
from actspan.data.cells import fit_to_cells, pad_window, plan_windows
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.deploy.passes.contract import Sample, Shapes
from actspan.model.bundle import Bundle
from actspan.model.nets import FORMS, Net
from actspan.pipeline.bsn_steps import find_candidates
from actspan.pipeline.outcomes import ScoredVideo
from actspan.runtime.opening import open_session

VIDEOS = 128  # more videos hardly change the ranges, and did not change the measured accuracy
_WINDOWS = 4  # per long recording
_BATCH = 16  # videos per call, if the network takes any number

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatasetCalibration:
    """Inputs of one network from a dataset folder.

    TEM and BMN get features, (B, C, T); PEM gets features of candidates, (N, 32) or (B, N, 32) as
    published, and needs a bundle that has a TEM.
    """

    dataset: Path  # a dataset folder; its training videos are used, or all if there are none
    net: Net  # the network that the inputs are for
    # Defines how features are rescaled. PEM needs one with an exported TEM, because features of
    # candidates are computed from its output.
    bundle: Bundle | None = None
    videos: int = VIDEOS  # number of videos, spread evenly over the dataset

    def __post_init__(self) -> None:
        if self.net == "pem" and (self.bundle is None or "tem.onnx" not in self.bundle.files):
            raise ExportError(
                "PEM is calibrated on proposals, which need an exported TEM: give the "
                "bundle that has both (--bundle BUNDLE), after actspan export BUNDLE"
            )

    def sample(self, shapes: Shapes) -> Sample:
        """Return real inputs of the network; see `Calibration.sample`.

        Raise DataError if the dataset cannot be used, ExportError if the network has other inputs.
        """
        ranks = (3,) if FORMS[self.net].sees_video else (2, 3)
        name, shape = next(iter(shapes.items()), ("", ()))
        if len(shapes) != 1 or len(shape) not in ranks:
            requested = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            wanted = " or ".join("(B, C, T)" if rank == 3 else "(N, 32)" for rank in ranks)
            raise ExportError(
                f"calibration supports networks with one input, {wanted}; this one has {requested}"
            )
        config = PipelineConfig() if self.bundle is None else self.bundle.config
        if self.bundle is None or FORMS[self.net].sees_video:
            batch, channels, length = shape
            dataset, notes = self._videos(config, channels)
            cells = [c for c, _ in _cells(dataset, config, length)]
            return Sample([{name: video} for video in _batches(cells, batch or _BATCH)], notes)
        rows: list[Float32] = []  # of each video, (N, 32)
        with open_session(self.bundle.file("tem.onnx"), backend="onnxruntime") as session:
            batch, channels, length = session.input_shapes["video"]
            dataset, notes = self._videos(config, channels)
            for video, count in _cells(dataset, config, length):
                repeated = np.repeat(video[None], batch or 1, axis=0)
                output = session.run({"video": repeated})["output"][0, :, :count]
                scored = ScoredVideo.of_output(output, 1.0)
                _, features = find_candidates([scored], [None], config)
                if shape[-2] is not None:  # cut or padded with zeros, as the staged path does
                    features = pad_window(features[: shape[-2]], shape[-2])
                rows.append(features)
        if len(shape) == 2:
            return Sample([{name: features} for features in rows], notes)
        if shape[-2] is None:
            repeats = shape[0] or 1
            return Sample([{name: np.repeat(r[None], repeats, axis=0)} for r in rows], notes)
        return Sample([{name: batch} for batch in _batches(rows, shape[0] or _BATCH)], notes)

    def _videos(
        self, config: PipelineConfig, channels: int | None
    ) -> tuple[Dataset, tuple[str, ...]]:
        """Return videos spread evenly over the dataset, and a line about skipped ones."""
        dataset = Dataset.load(self.dataset)
        dataset.require_fit(config)
        if any(video.subset == "training" for video in dataset.videos):
            dataset = dataset.subset("training")
        dataset = dataset.select(_spread(dataset.videos, self.videos))
        dataset = check_dataset(dataset, channels=channels, on_error="skip")
        skipped = [problem for problem in dataset.problems if problem.skipped is Skipped.VIDEO]
        reasons = listed(dict.fromkeys(problem.problem for problem in skipped))
        return dataset, (f"{self.dataset}: {skipped_line(skipped)}: {reasons}",) if skipped else ()


def _cells(
    dataset: Dataset, config: PipelineConfig, length: int | None
) -> Iterator[tuple[Float32, int]]:
    """Yield (C, T) per video or window, and the number of cells without padding."""
    length = length or config.cells
    for video in dataset.videos:
        if config.mode == "rescale":
            yield fit_to_cells(dataset.read(video.id), length, dataset.edge).T, length
            continue
        recording = dataset.open(video.id)
        for window in _spread(list(plan_windows(len(recording), length)), _WINDOWS):
            values = recording.rows(window.first, window.last).values
            yield pad_window(values, length).T, len(values)


def _spread(items: Sequence[T], count: int) -> Sequence[T]:
    """Return at most `count` of the items, at equal distances."""
    return items[:: -(-len(items) // count)] if items else items


def _batches(rows: list[Float32], size: int) -> Iterator[Float32]:
    """Yield stacks of exactly `size`; fill the last one with the first rows."""
    for begin in range(0, len(rows), size):
        part = rows[begin : begin + size]
        yield np.stack([*part, *(rows[i % len(rows)] for i in range(size - len(part)))])
