"""Steps before and after PEM: boundary scores to inputs, and dumps to the result file."""

from __future__ import annotations

import shutil
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from actspan.core.errors import StageError
from actspan.core.files import atomic_folder
from actspan.core.problems import Problem
from actspan.core.types import Float64, Proposals, RaggedProposals
from actspan.data.result_writers import result_writer
from actspan.data.results import RESULT_FILE
from actspan.data.scores import read_scores_csv
from actspan.deploy.staged.dumps import Dumps, check_dumps, settle
from actspan.deploy.staged.stage import Stage
from actspan.deploy.staged.table import TABLE, Item, Table, TableWriter
from actspan.deploy.staged.work import (
    Done,
    OnError,
    Report,
    Tally,
    in_parallel,
    make_folders,
    write_array,
    write_csv,
    write_npy,
)
from actspan.pipeline.recordings import Recordings
from actspan.pipeline.steps import final_proposals, find_candidates
from actspan.proposals.bsp import bsp_features
from actspan.proposals.candidates import fuse

_SIDES = ("xmin", "xmax", "xmin_score", "xmax_score")  # float64, N values per file


def write_pem_inputs(
    stage: Stage, *, lean: bool = False, on_error: OnError = "fail", report: Report | None = None
) -> Done:
    """Make PEM's inputs, candidates and BSP features, from TEM's results.

    Parameters
    ----------
    lean : bool
        Leave out files that no later step reads: `proposals/` and `bsp/`.

    Raises
    ------
    DatasetError
        TEM results are missing or damaged and `on_error` is "fail", or no video is left.
    StageError
        The stage is incomplete; nothing is written.
    """
    before = stage.table("tem-result")
    problems = [p for p in in_parallel(partial(_look_at_scores, stage), before.items) if p]
    items = settle(before.items, problems, on_error)
    tally = Tally("pem-inputs", sum(item.ends_video for item in items), report)
    with atomic_folder(stage.path / "pem") as folder:
        make_folders(folder, "input", *_SIDES, *(() if lean else ("proposals", "bsp")))
        work = partial(_write_input, stage, folder, lean, _items_before(stage))
        with TableWriter(folder, before.sha256) as table:
            for item in in_parallel(work, items):
                table.add(item)
                tally.count(item)
    return tally.done(stage.path / "pem", problems)


def _scores_file(stage: Stage, item: Item) -> Path:
    return stage.path / "tem-result" / f"{item.name}.csv"


def _look_at_scores(stage: Stage, item: Item) -> Problem | None:
    path = _scores_file(stage, item)
    remedy = "take TEM's dumps in again: actspan staged tem-outputs"
    try:
        what = "" if zlib.crc32(path.read_bytes()) == item.crc32 else "changed since it was written"
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    return Problem(item.video, str(path), what, remedy) if what else None


def _items_before(stage: Stage) -> dict[str, Item]:
    """Return the previous inputs of PEM; dumps of unchanged inputs are not stale."""
    try:
        return {item.name: item for item in Table.read(stage.path / "pem" / TABLE).items}
    except StageError:
        return {}


def _write_input(
    stage: Stage, folder: Path, lean: bool, known: Mapping[str, Item], item: Item
) -> Item:
    config = stage.config
    scores = read_scores_csv(_scores_file(stage, item))
    (found,) = find_candidates([scores], [item.window], config.pgm)
    bsp = bsp_features(scores, found, config.bsp)  # (N, 32)
    padded = np.zeros(stage.shape("pem"), dtype=np.float32)
    padded[: len(found)] = bsp
    data = write_array(folder / "input" / f"{item.name}.bin", padded)
    columns = _columns(found)
    for side, values in columns.items():
        write_array(folder / side / f"{item.name}.bin", values)
    if not lean:
        write_npy(folder / "bsp" / f"{item.name}.npy", bsp)
        write_csv(folder / "proposals" / f"{item.name}.csv", {**columns, "score": found.score})
    made = replace(item, crc32=zlib.crc32(data), rows=len(found), since=time.time())
    was = known.get(made.name)
    return made if was is None or was.crc32 != made.crc32 else replace(made, since=was.since)


def _columns(found: Proposals) -> dict[str, Float64]:
    assert found.start_score is not None
    assert found.end_score is not None
    values = (found.start, found.end, found.start_score, found.end_score)
    return dict(zip(_SIDES, values, strict=True))


def take_pem_outputs(
    stage: Stage,
    dumps: Dumps,
    *,
    out: Path | None = None,
    lean: bool = False,
    on_error: OnError = "fail",
    report: Report | None = None,
) -> Done:
    """Turn PEM's dumps into PEM results and, by Soft-NMS, into the result file.

    Parameters
    ----------
    out : Path, optional
        The result file. Default: `result.json` in the stage.
    lean : bool
        Leave out `pem-result/`.

    Raises
    ------
    DatasetError
        Dumps are missing, superfluous, damaged, stale or mixed up, or candidates are missing, and
        `on_error` is "fail", or no video is left.
    StageError
        The stage is incomplete, or the result file's folder does not exist; nothing is written.
    """
    out = stage.path / RESULT_FILE if out is None else out
    if not out.parent.is_dir():
        raise StageError(f"{out}: the folder {out.parent} does not exist")
    before = stage.table("pem")
    problems = [p for p in map(partial(_look_at_candidates, stage), before.items) if p]
    problems += check_dumps(stage, "pem", before, dumps, report)
    items = settle(before.items, problems, on_error)
    tally = Tally("pem-outputs", sum(item.ends_video for item in items), report)
    target = stage.path / "pem-result"
    if lean:  # an older folder would not belong to this result
        shutil.rmtree(target, ignore_errors=True)
    with nullcontext() if lean else atomic_folder(target) as folder, result_writer(out) as result:
        answers = in_parallel(partial(_answer, stage, dumps, folder), items)
        for item, proposals in _whole_videos(answers, stage):
            tally.count(item)
            if proposals is not None:
                result.add(item.video, proposals)
    return tally.done(out, problems)


def _candidate_files(stage: Stage, item: Item) -> list[Path]:
    return [stage.path / "pem" / side / f"{item.name}.bin" for side in _SIDES]


def _look_at_candidates(stage: Stage, item: Item) -> Problem | None:
    remedy = "make PEM's inputs again: actspan staged pem-inputs"
    for path in _candidate_files(stage, item):
        try:
            size = path.stat().st_size
        except OSError as error:
            return Problem(item.video, str(path), f"cannot be read: {error.strerror}", remedy)
        if size != 8 * item.rows:
            what = f"{size} bytes, {8 * item.rows} expected"
            return Problem(item.video, str(path), what, remedy)
    return None


def _answer(stage: Stage, dumps: Dumps, folder: Path | None, item: Item) -> tuple[Item, Proposals]:
    """Return a video's final proposals, or a window's candidates with their final scores."""
    start, end, start_score, end_score = (
        np.fromfile(path, dtype=np.float64) for path in _candidate_files(stage, item)
    )
    found = Proposals(start, end, start_score * end_score, start_score, end_score)
    confidence = dumps.read(item)[: item.rows]
    if folder is not None:
        write_csv(folder / f"{item.name}.csv", {**_columns(found), "iou_score": confidence})
    if item.window is None:
        alone = RaggedProposals.of([found])
        (best,) = final_proposals(alone, confidence, [item.seconds], stage.config.soft_nms)
        return item, best
    return item, found.with_score(fuse(found, confidence))


def _whole_videos(
    answers: Iterator[tuple[Item, Proposals]], stage: Stage
) -> Iterator[tuple[Item, Proposals | None]]:
    """Join the windows of recordings; yield None before the last window."""
    recordings = Recordings(stage.config)
    for item, found in answers:
        if item.window is None:
            yield item, found
        else:
            yield item, recordings.take(item.window, item.seconds, found)
