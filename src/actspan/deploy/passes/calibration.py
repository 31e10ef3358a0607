"""Real inputs of TEM and PEM from a dataset folder, for the calibration of int8."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from actspan.config.stages import PipelineConfig, TemConfig
from actspan.core.errors import ExportError
from actspan.core.problems import Skipped, skipped_line
from actspan.core.types import BoundaryScores, Float32
from actspan.core.wording import listed
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.data.recording import pad_window, plan_windows
from actspan.data.rescale import fit_to_cells
from actspan.deploy.passes.contract import Calibration, Sample, Shapes
from actspan.model.bundle import Bundle
from actspan.model.weights import Net
from actspan.proposals.bsp import bsp_features
from actspan.proposals.candidates import generate_proposals
from actspan.runtime.opening import open_session

__all__ = ["VIDEOS", "PemCalibration", "TemCalibration", "calibration_for"]

VIDEOS = 128  # more videos hardly change the ranges, and did not change the measured accuracy
_WINDOWS = 4  # per long recording
_BATCH = 16  # videos per call, if the network takes any number


T = TypeVar("T")


def calibration_for(
    dataset: Path, net: Net, *, bundle: Bundle | None = None, videos: int = VIDEOS
) -> Calibration:
    """Return the inputs of one network from a dataset folder.

    Parameters
    ----------
    dataset : Path
        A dataset folder; its training videos are used, or all if there are none.
    net : "tem" or "pem"
        The network that the inputs are for.
    bundle : Bundle, optional
        Defines how features are rescaled. For PEM its TEM is needed, because BSP features are
        computed from boundary scores.
    videos : int
        Number of videos, spread evenly over the dataset.

    Raises
    ------
    ExportError
        PEM's inputs are requested without a bundle that has a TEM.
    DataError
        The dataset cannot be used.
    """
    config = PipelineConfig() if bundle is None else bundle.config
    if net == "tem":
        return TemCalibration(dataset, config, videos)
    if bundle is None or not bundle.has_tem or "tem.onnx" not in bundle.files:
        raise ExportError(
            "PEM is calibrated on proposals, which take an exported TEM to find: give the bundle "
            "that has both (--bundle BUNDLE), after actspan export BUNDLE"
        )
    return PemCalibration(dataset, bundle, videos)


@dataclass(frozen=True, slots=True)
class TemCalibration:
    """Features in the form of TEM's input, (B, C, T).

    Attributes
    ----------
    dataset : Path
    config : PipelineConfig
        Defines how features become cells; its T is used if the network's length is free.
    videos : int
    """

    dataset: Path
    config: PipelineConfig = field(default_factory=PipelineConfig)
    videos: int = VIDEOS

    def sample(self, shapes: Shapes) -> Sample:
        """Return real inputs of TEM; see `Calibration.sample`."""
        name, (batch, channels, length) = _single_input(shapes, ranks=(3,))
        dataset, notes = _some_videos(self.dataset, self.config, self.videos, channels)
        cells = [c for c, _ in _cells(dataset, self.config, length)]
        return Sample([{name: video} for video in _batches(cells, batch or _BATCH)], notes)


@dataclass(frozen=True, slots=True)
class PemCalibration:
    """BSP features of proposals from TEM and PGM, (N, 32) or (B, N, 32).

    Attributes
    ----------
    dataset : Path
    bundle : Bundle
        A bundle with an exported TEM.
    videos : int
    """

    dataset: Path
    bundle: Bundle
    videos: int = VIDEOS

    def sample(self, shapes: Shapes) -> Sample:
        """Return real inputs of PEM; see `Calibration.sample`."""
        name, shape = _single_input(shapes, ranks=(2, 3))
        config, found = self.bundle.config, []
        with open_session(self.bundle.file("tem.onnx"), backend="onnxruntime") as session:
            batch, channels, length = session.input_shapes["video"]
            dataset, notes = _some_videos(self.dataset, config, self.videos, channels)
            for cells, count in _cells(dataset, config, length):
                video = np.repeat(cells[None], batch or 1, axis=0)
                output = session.run({"video": video})["output"][0, :, :count]
                found.append(_features(output, config))
        rows = [_with_rows(features, shape[-2]) for features in found]
        return Sample([{name: array} for array in _proposals(rows, shape)], notes)


def _proposals(rows: list[Float32], shape: tuple[int | None, ...]) -> Iterable[Float32]:
    """Return the rows of videos, each (N, 32), in the shape that a network takes."""
    if len(shape) == 2:
        return rows
    if shape[-2] is None:
        return (np.repeat(features[None], shape[0] or 1, axis=0) for features in rows)
    return _batches(rows, shape[0] or _BATCH)


def _features(output: Float32, config: PipelineConfig) -> Float32:
    """Return BSP features of the candidates in TEM's output, (3, T)."""
    scores = BoundaryScores.from_array(output)
    return bsp_features(
        scores, generate_proposals(scores, config.pgm)[: config.pgm.keep], config.bsp
    )


def _single_input(shapes: Shapes, *, ranks: tuple[int, ...]) -> tuple[str, tuple[int | None, ...]]:
    if len(shapes) == 1:
        (name, shape) = next(iter(shapes.items()))
        if len(shape) in ranks:
            return name, shape
    given = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    wanted = " or ".join("(B, C, T)" if rank == 3 else "(N, 32)" for rank in ranks)
    raise ExportError(f"calibration knows networks with one input, {wanted}; this one has {given}")


def _some_videos(
    path: Path, config: PipelineConfig, videos: int, channels: int | None
) -> tuple[Dataset, tuple[str, ...]]:
    """Return videos spread evenly over a dataset, and a line about skipped ones."""
    dataset = Dataset.load(path)
    dataset.require_fit(config)
    if any(video.subset == "training" for video in dataset.videos):
        dataset = dataset.subset("training")
    dataset = dataset.select(_spread(dataset.videos, videos))
    dataset = check_dataset(dataset, channels=channels, on_error="skip")
    found = [problem for problem in dataset.problems if problem.skipped is Skipped.VIDEO]
    reasons = listed(dict.fromkeys(problem.problem for problem in found))
    return dataset, (f"{path}: {skipped_line(found)}: {reasons}",) if found else ()


def _cells(
    dataset: Dataset, config: PipelineConfig, length: int | None
) -> Iterator[tuple[Float32, int]]:
    """Yield (C, T) per video or window, and the number of cells without padding."""
    length = length or (config.tem or TemConfig()).length
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


def _with_rows(features: Float32, rows: int | None) -> Float32:
    """Return features cut or padded with zeros to `rows`, as the staged path does."""
    if rows is None:
        return features
    filled = np.zeros((rows, features.shape[1]), dtype=np.float32)
    filled[: len(features)] = features[:rows]
    return filled
