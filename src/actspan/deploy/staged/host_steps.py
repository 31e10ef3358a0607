"""Steps of the host: features to TEM's inputs, dumps to PEM's inputs, and dumps to the result."""

from __future__ import annotations

import io
import shutil
import time
import zlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from actspan.config.base import OnError
from actspan.config.stages import Edge, PipelineConfig
from actspan.core.errors import StageError
from actspan.core.files import atomic_folder
from actspan.core.problems import Problem
from actspan.core.progress import Progress, no_progress
from actspan.core.ragged import RaggedProposals
from actspan.core.segments import Proposals
from actspan.core.types import Features, Float64
from actspan.data.dataset import Dataset
from actspan.data.result_files import RESULT_FILE
from actspan.data.result_writers import result_writer
from actspan.data.scores import read_scores_csv
from actspan.deploy.deploy_requests import TemRequest
from actspan.deploy.staged.dumps import (
    Dumps,
    StepReport,
    begin_step,
    check_dumps,
    in_parallel,
    make_folders,
    size_problem,
    write_array,
    write_csv,
    write_items,
)
from actspan.deploy.staged.label_free_files import (
    LABEL_FREE,
    add_label_free,
    label_free_problem,
    write_label_free,
)
from actspan.deploy.staged.stage import (
    LONGEST_NAME,
    TABLE,
    DatasetRecord,
    Item,
    Stage,
    Table,
    check_new_stage,
    input_name,
    record_model,
    write_stage_file,
)
from actspan.jobs.feature_source import inputs_from_features
from actspan.model.bundle import Bundle
from actspan.pipeline.bsn_steps import find_candidates
from actspan.pipeline.outcomes import Piece, Recordings
from actspan.pipeline.steps import final_proposals, pieces_of, video_input
from actspan.proposals.bsp import bsp_features
from actspan.proposals.candidates import rank

_SIDES = ("xmin", "xmax", "xmin_score", "xmax_score")  # float64, N values per file


def write_tem_inputs(request: TemRequest, progress: Progress = no_progress) -> StepReport:
    """Start a stage: write TEM's inputs and anchors of every video of a dataset.

    Raises
    ------
    DatasetError
        The dataset has problems and `on_error` is "fail".
    StageError, BundleError, DataError
        The target exists, or a part is missing, damaged or does not fit; nothing is written.
    """
    check_new_stage(request.out, overwrite=request.overwrite)
    bundle = Bundle.load(request.model)
    record_model(bundle)
    dataset = Dataset.load(request.dataset).subset(request.subset, bundle.set_apart)
    dataset = _without_long_names(dataset)
    dataset, jobs = inputs_from_features(dataset, bundle, request.on_error, progress)
    edge, out = dataset.edge, request.out / "tem"
    problems, notes = tuple(dataset.problems), tuple(dataset.notes)
    report = StepReport("tem-inputs", len(dataset), out, progress, problems, notes)
    with atomic_folder(request.out) as stage:
        folder = stage / "tem"
        sides = () if request.lean else ("xmin", "xmax")
        added = (LABEL_FREE,) if bundle.config.fusion.label_free else ()
        make_folders(folder, "input", *sides, *added)
        work = partial(_write_tem_input, folder, bundle.config, edge, request.lean)
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


def _write_tem_input(
    folder: Path, config: PipelineConfig, edge: Edge, lean: bool, piece: Piece
) -> Item:
    features = piece.load()
    assert isinstance(features, Features)
    name = input_name(piece.id, piece.window)
    values = video_input(features, config, edge)
    data = write_array(folder / "input" / f"{name}.bin", values.T)
    rows = len(features) if config.mode == "window" else len(values)
    if config.fusion.label_free:
        write_label_free(folder / LABEL_FREE / f"{name}.bin", features, piece.window)
    if not lean:
        for side, anchors in zip(("xmin", "xmax"), _anchors(rows), strict=True):
            write_array(folder / side / f"{name}.bin", anchors)
    return Item(piece.id, features.seconds, rows, zlib.crc32(data), time.time(), piece.window)


def _anchors(cells: int) -> tuple[Float64, Float64]:
    """Return starts and ends of cells, fractions of the span: t * tgap and (t + 1) * tgap."""
    tgap = 1.0 / cells
    edges: Float64 = tgap * np.arange(cells + 1, dtype=np.float64)
    return edges[:-1], edges[1:]


def write_tem_results(
    stage: Stage, dumps: Dumps, on_error: OnError = "fail", progress: Progress = no_progress
) -> StepReport:
    """Convert TEM's dumps to boundary scores, one CSV per input.

    Raise DatasetError if dumps are missing, superfluous, damaged, stale or mixed up, and `on_error`
    is "fail", or no video is left, StageError if the stage is incomplete; nothing is written then.
    """
    before, out = stage.table("tem"), stage.path / "tem-result"
    problems = check_dumps(stage, "tem", before, dumps, progress)
    items, report = begin_step("tem-outputs", before, problems, out, on_error, progress)
    with atomic_folder(out) as folder:
        write_items(folder, partial(_write_scores, folder, dumps), items, report, before.sha256)
    return report


def _write_scores(folder: Path, dumps: Dumps, item: Item) -> Item:
    action, start, end = dumps.read(item).reshape(3, -1)[:, : item.rows]
    xmin, xmax = _anchors(item.rows)
    columns = {"action": action, "start": start, "end": end, "xmin": xmin, "xmax": xmax}
    data = write_csv(folder / f"{item.name}.csv", columns)
    return msgspec.structs.replace(item, crc32=zlib.crc32(data))


def write_pem_inputs(
    stage: Stage,
    *,
    lean: bool = False,
    on_error: OnError = "fail",
    progress: Progress = no_progress,
) -> StepReport:
    """Make PEM's inputs, candidates and BSP features, from TEM's results.

    `lean` leaves out files that no later step reads: `proposals/` and `bsp/`. Raise DatasetError if
    TEM results are missing or damaged and `on_error` is "fail", or no video is left, StageError if
    the stage is incomplete; nothing is written then.
    """
    before, out = stage.table("tem-result"), stage.path / "pem"
    problems = [p for p in in_parallel(partial(_scores_problem, stage), before.items) if p]
    items, report = begin_step("pem-inputs", before, problems, out, on_error, progress)
    try:  # dumps of inputs that stay the same are not stale
        known = {item.name: item for item in Table.read(out / TABLE).items}
    except StageError:
        known = {}
    with atomic_folder(out) as folder:
        make_folders(folder, "input", *_SIDES, *(() if lean else ("proposals", "bsp")))
        work = partial(_write_pem_input, stage, folder, lean, known)
        write_items(folder, work, items, report, before.sha256)
    return report


def _scores_file(stage: Stage, item: Item) -> Path:
    return stage.path / "tem-result" / f"{item.name}.csv"


def _scores_problem(stage: Stage, item: Item) -> Problem | None:
    path = _scores_file(stage, item)
    remedy = "convert TEM's dumps again: actspan staged tem-outputs"
    try:
        what = "" if zlib.crc32(path.read_bytes()) == item.crc32 else "changed since it was written"
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    return Problem(item.video, str(path), what, remedy) if what else None


def _write_pem_input(
    stage: Stage, folder: Path, lean: bool, known: Mapping[str, Item], item: Item
) -> Item:
    config = stage.config
    scores = read_scores_csv(_scores_file(stage, item))
    (candidates,) = find_candidates([scores], [item.window], config.pgm)
    bsp = bsp_features(scores, candidates, config.bsp)  # (N, 32)
    padded = np.zeros(stage.shape("pem"), dtype=np.float32)
    padded[: len(candidates)] = bsp
    data = write_array(folder / "input" / f"{item.name}.bin", padded)
    columns = _columns(candidates)
    for side, values in columns.items():
        write_array(folder / side / f"{item.name}.bin", values)
    if not lean:
        stream = io.BytesIO()  # NumPy's own writing to a file hides the reason of a failure
        np.lib.format.write_array(stream, np.ascontiguousarray(bsp), allow_pickle=False)
        (folder / "bsp" / f"{item.name}.npy").write_bytes(stream.getbuffer())
        write_csv(folder / "proposals" / f"{item.name}.csv", {**columns, "score": candidates.score})
    crc32, was = zlib.crc32(data), known.get(item.name)
    since = was.since if was is not None and was.crc32 == crc32 else time.time()
    return msgspec.structs.replace(item, crc32=crc32, rows=len(candidates), since=since)


def _columns(proposals: Proposals) -> dict[str, Float64]:
    assert proposals.start_score is not None
    assert proposals.end_score is not None
    values = (proposals.start, proposals.end, proposals.start_score, proposals.end_score)
    return dict(zip(_SIDES, values, strict=True))


def write_pem_results(
    stage: Stage,
    dumps: Dumps,
    *,
    out: Path | None = None,
    lean: bool = False,
    on_error: OnError = "fail",
    progress: Progress = no_progress,
) -> StepReport:
    """Turn PEM's dumps into PEM results and, by Soft-NMS, into the result file.

    `out` is the result file, by default `result.json` in the stage; `lean` leaves out
    `pem-result/`. Raise as `write_tem_results`, and if candidates are missing, or the folder of the
    result file does not exist.
    """
    out = stage.path / RESULT_FILE if out is None else out
    if not out.parent.is_dir():
        raise StageError(f"{out}: the folder {out.parent} does not exist")
    before = stage.table("pem")
    problems = [p for item in before.items if (p := _candidate_problem(stage, item))]
    problems += check_dumps(stage, "pem", before, dumps, progress)
    items, report = begin_step("pem-outputs", before, problems, out, on_error, progress)
    target, recordings = stage.path / "pem-result", Recordings(stage.config)
    if lean:  # an older folder would not belong to this result
        shutil.rmtree(target, ignore_errors=True)
    with nullcontext() if lean else atomic_folder(target) as folder, result_writer(out) as result:
        for item, proposals in in_parallel(partial(_rate_item, stage, dumps, folder), items):
            report.count(item)
            whole: Proposals | None = proposals
            if item.window is not None:  # None before the last window of a recording
                whole = recordings.add_candidates(item.window, item.seconds, proposals)
            if whole is not None:
                result.add(item.video, whole)
    return report


def _candidate_files(stage: Stage, item: Item) -> list[Path]:
    return [stage.path / "pem" / side / f"{item.name}.bin" for side in _SIDES]


def _candidate_problem(stage: Stage, item: Item) -> Problem | None:
    remedy = "make PEM's inputs again: actspan staged pem-inputs"
    problems = (size_problem(item, f, 8 * item.rows, remedy) for f in _candidate_files(stage, item))
    problem = next(filter(None, problems), None)
    if problem is None and stage.config.fusion.label_free:
        return label_free_problem(stage, item)
    return problem


def _rate_item(
    stage: Stage, dumps: Dumps, folder: Path | None, item: Item
) -> tuple[Item, Proposals]:
    """Return a video's final proposals, or a window's candidates with their final scores."""
    start, end, start_score, end_score = (
        np.fromfile(path, dtype=np.float64) for path in _candidate_files(stage, item)
    )
    candidates = Proposals(
        start, end, start_score * end_score, start_score, end_score, unit="fraction"
    )
    confidence = dumps.read(item)[: item.rows]
    if folder is not None:
        write_csv(folder / f"{item.name}.csv", {**_columns(candidates), "iou_score": confidence})
    if stage.config.fusion.label_free:
        candidates, confidence = add_label_free(stage, item, candidates, confidence)
    if item.window is not None:
        return item, candidates.with_score(rank(candidates, confidence, stage.config))
    alone = RaggedProposals.of([candidates])
    (best,) = final_proposals(alone, confidence, [item.seconds], stage.config)
    return item, best
