"""First step of a stage: features to the inputs of TEM or BMN."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from actspan.config.stages import Edge, PipelineConfig
from actspan.core.errors import BundleError
from actspan.core.folders import atomic_folder
from actspan.core.problems import Problem
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Features, Float64
from actspan.data.dataset import Dataset
from actspan.deploy.deploy_requests import StageRequest
from actspan.deploy.staged.label_free_files import LABEL_FREE, write_label_free
from actspan.deploy.staged.stage import (
    LONGEST_NAME,
    DatasetRecord,
    Item,
    check_new_stage,
    input_name,
    record_model,
    write_stage_file,
)
from actspan.deploy.staged.step_files import StepReport, make_folders, write_array, write_items
from actspan.jobs.feature_source import inputs_from_features
from actspan.model.bundle import Bundle
from actspan.model.nets import video_net
from actspan.pipeline.outcomes import Piece
from actspan.pipeline.steps import pieces_of, video_input

_ANCHORS = ("xmin", "xmax")  # float64, T values per file


def write_video_inputs(
    net: Literal["tem", "bmn"],
    request: StageRequest,
    progress: Progress = no_progress,
    *,
    anchors: bool = False,
) -> StepReport:
    """Start a stage: write the inputs of TEM or BMN of every video of a dataset.

    `anchors` adds files with start and end of the cells, which no later step reads.

    Raises
    ------
    DatasetError
        The dataset has problems and `on_error` is "fail".
    StageError, BundleError, DataError
        The target exists, or a part is missing, damaged or does not fit; nothing is written.
    """
    check_new_stage(request.out, overwrite=request.overwrite)
    bundle = Bundle.load(request.model)
    needed = video_net(bundle.config)
    if net != needed:
        raise BundleError(
            f"{bundle.path}: its features are seen by {needed.upper()}, not {net.upper()}; make "
            f"the stage with: actspan staged {needed}-inputs"
        )
    record_model(bundle)
    dataset = Dataset.load(request.dataset).subset(request.subset, bundle.set_apart)
    dataset = _without_long_names(dataset)
    dataset, jobs = inputs_from_features(dataset, bundle, request.on_error, progress)
    edge, out = dataset.edge, request.out / net
    problems, notes = tuple(dataset.problems), tuple(dataset.notes)
    report = StepReport(f"{net}-inputs", len(dataset), out, progress, problems, notes)
    with atomic_folder(request.out) as stage:
        folder = stage / net
        sides = _ANCHORS if anchors else ()
        added = (LABEL_FREE,) if bundle.config.fusion.label_free else ()
        make_folders(folder, "input", *sides, *added)
        work = partial(_write_input, folder, bundle.config, edge, sides)
        write_items(folder, work, pieces_of(jobs, bundle.config), report)
        record = DatasetRecord(
            path=str(request.dataset), videos=report.videos, subset=request.subset
        )
        write_stage_file(stage, bundle, record)
    return report


def _without_long_names(dataset: Dataset) -> Dataset:
    """Leave out videos whose ids are too long for file names, and add problems for them."""
    long = {name for name in dataset.videos.ids if len(input_name(name, None)) > LONGEST_NAME}
    what = f"its id makes a file name of more than {LONGEST_NAME} characters"
    problems = [Problem(name, str(dataset.path), what, "shorten the id") for name in sorted(long)]
    fit = dataset.select(video for video in dataset if video.id not in long)
    return replace(fit, problems=(*dataset.problems, *problems))


def _write_input(
    folder: Path, config: PipelineConfig, edge: Edge, sides: Sequence[str], piece: Piece
) -> Item:
    features = piece.load()
    assert isinstance(features, Features)
    name = input_name(piece.id, piece.window)
    values = video_input(features, config, edge)
    data = write_array(folder / "input" / f"{name}.bin", values.T)
    rows = len(features) if config.mode == "window" else len(values)
    if config.fusion.label_free:
        write_label_free(folder / LABEL_FREE / f"{name}.bin", features, piece.window)
    for side, edges in zip(sides, cell_edges(rows), strict=False):
        write_array(folder / side / f"{name}.bin", edges)
    return Item(piece.id, features.seconds, rows, zlib.crc32(data), time.time(), piece.window)


def cell_edges(cells: int) -> tuple[Float64, Float64]:
    """Return starts and ends of cells, fractions of the span: t * tgap and (t + 1) * tgap."""
    tgap = 1.0 / cells
    edges: Float64 = tgap * np.arange(cells + 1, dtype=np.float64)
    return edges[:-1], edges[1:]
