"""Steps of the host around PEM: TEM's dumps to boundary scores and PEM's inputs; candidates."""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from actspan.config.base import OnError
from actspan.core.errors import StageError
from actspan.core.folders import atomic_folder
from actspan.core.problems import Problem
from actspan.core.progress import Progress, no_progress
from actspan.core.segments import Proposals
from actspan.core.types import Float32
from actspan.data.scores import read_cells_csv
from actspan.deploy.staged.dumps import Dumps, check_dumps
from actspan.deploy.staged.stage import TABLE, Item, Stage, Table
from actspan.deploy.staged.step_files import (
    PROPOSAL_COLUMNS,
    StepReport,
    begin_step,
    in_parallel,
    make_folders,
    proposal_columns,
    size_problem,
    write_array,
    write_csv,
    write_items,
)
from actspan.deploy.staged.video_inputs import cell_edges
from actspan.model.nets import output_shapes
from actspan.pipeline.bsn_steps import find_candidates
from actspan.pipeline.outcomes import ScoredVideo


def write_tem_results(
    stage: Stage, dumps: Dumps, on_error: OnError = "fail", progress: Progress = no_progress
) -> StepReport:
    """Convert TEM's dumps to boundary scores, one CSV per input, with positions and curves if any.

    Raise DatasetError if dumps are missing, superfluous, damaged, stale or mixed up, and `on_error`
    is "fail", or no video is left, StageError if the stage is incomplete; nothing is written then.
    """
    before, out = stage.table("tem"), stage.path / "tem-result"
    problems = check_dumps(stage, "tem", before, dumps, progress)
    items, report = begin_step("tem-outputs", before, problems, out, on_error, progress)
    with atomic_folder(out) as folder:
        work = partial(_write_scores, folder, dumps, _outputs(stage))
        write_items(folder, work, items, report, before.sha256)
    return report


def _outputs(stage: Stage) -> int:
    """Return the number of values that TEM gives per cell."""
    return output_shapes(stage.config, "tem")["output"][0]


def _learnt_columns(outputs: int) -> list[str]:
    """Return the names of TEM's outputs after the boundary scores."""
    if outputs == 3:
        return []
    return ["start_position", "end_position", *(f"curve_{k}" for k in range(1, outputs - 4))]


def _write_scores(folder: Path, dumps: Dumps, outputs: int, item: Item) -> Item:
    """Write the CSV of an input from its dump, (outputs, T)."""
    output = dumps.read(item).reshape(outputs, -1)[:, : item.rows]
    xmin, xmax = cell_edges(item.rows)
    action, start, end, *learnt = output
    columns = {"action": action, "start": start, "end": end, "xmin": xmin, "xmax": xmax}
    columns |= zip(_learnt_columns(outputs), learnt, strict=True)
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
        make_folders(folder, "input", *PROPOSAL_COLUMNS, *(() if lean else ("proposals", "bsp")))
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
    cells = read_cells_csv(_scores_file(stage, item), _learnt_columns(_outputs(stage)))
    video = ScoredVideo.of_output(cells, item.seconds)
    (candidates,), bsp = find_candidates([video], [item.window], config)  # (N, 32), as published
    padded = np.zeros(stage.shape("pem"), dtype=np.float32)
    padded[: len(candidates)] = bsp
    data = write_array(folder / "input" / f"{item.name}.bin", padded)
    columns = proposal_columns(candidates)
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


def _candidate_files(stage: Stage, item: Item) -> list[Path]:
    return [stage.path / "pem" / side / f"{item.name}.bin" for side in PROPOSAL_COLUMNS]


def candidate_problem(stage: Stage, item: Item) -> Problem | None:
    """Return the problem of the candidates of an input of PEM; None if they can be used."""
    remedy = "make PEM's inputs again: actspan staged pem-inputs"
    problems = (size_problem(item, f, 8 * item.rows, remedy) for f in _candidate_files(stage, item))
    return next(filter(None, problems), None)


def read_pem_candidates(
    stage: Stage, dumps: Dumps, folder: Path | None, item: Item
) -> tuple[Proposals, Float32]:
    """Return the candidates of an input and PEM's scores of them, (N,).

    They are also written to `folder`, if there is one.
    """
    start, end, start_score, end_score = (
        np.fromfile(path, dtype=np.float64) for path in _candidate_files(stage, item)
    )
    candidates = Proposals(
        start, end, start_score * end_score, start_score, end_score, unit="fraction"
    )
    confidence = dumps.read(item)[: item.rows]
    if folder is not None:
        write_csv(
            folder / f"{item.name}.csv", {**proposal_columns(candidates), "iou_score": confidence}
        )
    return candidates, confidence
