"""Steps of the host before and after TEM: features to inputs, and dumps to boundary scores."""

from __future__ import annotations

import time
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from actspan.config.base import OnError
from actspan.config.stages import Edge, PipelineConfig
from actspan.core.errors import StageError
from actspan.core.files import atomic_folder, folder_name_error
from actspan.core.problems import Problem
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Features, Float64
from actspan.data.dataset import Dataset
from actspan.deploy.deploy_requests import TemRequest
from actspan.deploy.staged.dumps import (
    Dumps,
    StepReport,
    check_dumps,
    make_folders,
    without_problems,
    write_array,
    write_csv,
    write_items,
)
from actspan.deploy.staged.stage import (
    LONGEST_NAME,
    STAGE_FILE,
    DatasetRecord,
    Item,
    Stage,
    input_name,
    record_model,
    write_stage_file,
)
from actspan.jobs.source import inputs_from_features
from actspan.model.bundle import Bundle
from actspan.pipeline.outcomes import Piece
from actspan.pipeline.steps import pieces_of, tem_input


def write_tem_inputs(request: TemRequest, progress: Progress = no_progress) -> StepReport:
    """Start a stage: write TEM's inputs and anchors of every video of a dataset.

    Raises
    ------
    DatasetError
        The dataset has problems and `on_error` is "fail".
    StageError, BundleError, DataError
        The target exists, or a part is missing, damaged or does not fit; nothing is written.
    """
    _check_target(request)
    bundle = Bundle.load(request.model)
    record_model(bundle)
    dataset = Dataset.load(request.dataset).subset(request.subset, bundle.set_apart)
    dataset = _without_long_names(dataset)
    dataset, jobs = inputs_from_features(dataset, bundle, request.on_error, progress)
    edge, out = dataset.edge, request.out / "tem"
    report = StepReport(
        "tem-inputs", len(dataset), out, progress, tuple(dataset.problems), tuple(dataset.notes)
    )
    with atomic_folder(request.out) as stage:
        folder = stage / "tem"
        make_folders(folder, "input", *(() if request.lean else ("xmin", "xmax")))
        work = partial(_write_tem_input, folder, bundle.config, edge, request.lean)
        write_items(folder, work, pieces_of(jobs, bundle.config), report)
        record = DatasetRecord(
            path=str(request.dataset), videos=report.videos, subset=request.subset
        )
        write_stage_file(stage, bundle, record)
    return report


def _check_target(request: TemRequest) -> None:
    path = request.out
    if fault := folder_name_error(path, "a stage"):
        raise StageError(fault)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / STAGE_FILE).is_file():
        raise StageError(f"{path}: exists and is not a stage, so it is left alone: choose another")
    if not request.overwrite:
        raise StageError(
            f"{path}: there is a stage already: choose another folder, or replace it and the "
            "dumps in it: --force"
        )


def _without_long_names(dataset: Dataset) -> Dataset:
    """Leave out videos whose ids are too long for file names, and add problems for them."""
    long = {name for name in dataset.videos.ids if len(input_name(name, None)) > LONGEST_NAME}
    what = f"its id makes a file name of more than {LONGEST_NAME} characters"
    problems = [Problem(name, str(dataset.path), what, "shorten the id") for name in sorted(long)]
    fit = dataset.select(video for video in dataset if video.id not in long)
    return replace(fit, problems=(*dataset.problems, *problems))


def _write_tem_input(
    folder: Path, config: PipelineConfig, edge: Edge, lean: bool, piece: Piece
) -> Item:
    features = piece.load()
    assert isinstance(features, Features)
    name = input_name(piece.id, piece.window)
    values = tem_input(features, config, edge)
    data = write_array(folder / "input" / f"{name}.bin", values.T)
    rows = len(features) if config.mode == "window" else len(values)
    if not lean:
        for side, anchors in zip(("xmin", "xmax"), _anchors(rows), strict=True):
            write_array(folder / side / f"{name}.bin", anchors)
    return Item(piece.id, features.seconds, rows, zlib.crc32(data), time.time(), piece.window)


def _anchors(cells: int) -> tuple[Float64, Float64]:
    """Return starts and ends of cells, fractions of the span: t * tgap and (t + 1) * tgap."""
    tgap = 1.0 / cells
    edges: Float64 = tgap * np.arange(cells + 1, dtype=np.float64)
    return edges[:-1], edges[1:]


def take_tem_outputs(
    stage: Stage, dumps: Dumps, on_error: OnError = "fail", progress: Progress = no_progress
) -> StepReport:
    """Convert TEM's dumps to boundary scores, one CSV per input.

    Raises
    ------
    DatasetError, StageError
        Dumps are missing, superfluous, damaged, stale or mixed up, and `on_error` is "fail", or no
        video is left; the stage is incomplete; nothing is written.
    """
    before = stage.table("tem")
    problems = check_dumps(stage, "tem", before, dumps, progress)
    items = without_problems(before.items, problems, on_error)
    out, videos = stage.path / "tem-result", sum(item.ends_video for item in items)
    report = StepReport("tem-outputs", videos, out, progress, tuple(problems))
    with atomic_folder(out) as folder:
        write_items(folder, partial(_write_scores, folder, dumps), items, report, before.sha256)
    return report


def _write_scores(folder: Path, dumps: Dumps, item: Item) -> Item:
    action, start, end = dumps.read(item).reshape(3, -1)[:, : item.rows]
    xmin, xmax = _anchors(item.rows)
    columns = {"action": action, "start": start, "end": end, "xmin": xmin, "xmax": xmax}
    data = write_csv(folder / f"{item.name}.csv", columns)
    return msgspec.structs.replace(item, crc32=zlib.crc32(data))
