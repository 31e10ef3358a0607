"""Last step of a stage: dumps to the result file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Literal

from actspan.config.base import OnError
from actspan.core.errors import StageError
from actspan.core.folders import atomic_folder
from actspan.core.problems import Problem
from actspan.core.progress import Progress, no_progress
from actspan.core.ragged import RaggedProposals
from actspan.core.segments import Proposals
from actspan.core.types import Float32
from actspan.data.result_files import RESULT_FILE
from actspan.data.result_writers import result_writer
from actspan.deploy.staged.bmn_outputs import find_bmn_candidates
from actspan.deploy.staged.dumps import Dumps, check_dumps
from actspan.deploy.staged.host_steps import candidate_problem, read_pem_candidates
from actspan.deploy.staged.label_free_files import add_label_free, label_free_problem
from actspan.deploy.staged.stage import Item, Stage
from actspan.deploy.staged.step_files import StepReport, begin_step, in_parallel
from actspan.pipeline.outcomes import Recordings
from actspan.pipeline.steps import final_proposals
from actspan.proposals.candidates import rank

LastNet = Literal["pem", "bmn"]
FindProblem = Callable[[Stage, Item], Problem | None]

# By network: a function that finds the candidates of an input and their confidence, (N,), and
# writes them into a folder if one is given; and one that returns the problem of other files.
_FIND: Mapping[LastNet, Callable[..., tuple[Proposals, Float32]]] = {
    "pem": read_pem_candidates,
    "bmn": find_bmn_candidates,
}
_CHECKS: Mapping[LastNet, list[FindProblem]] = {"pem": [candidate_problem], "bmn": []}


def write_results(
    stage: Stage,
    net: LastNet,
    dumps: Dumps,
    *,
    out: Path | None = None,
    lean: bool = False,
    on_error: OnError = "fail",
    progress: Progress = no_progress,
) -> StepReport:
    """Turn the dumps of PEM or BMN into its results and, by Soft-NMS, into the result file.

    `out` is the result file, by default `result.json` in the stage; `lean` leaves out the folder of
    the network's results.

    Raise DatasetError if dumps are missing, superfluous, damaged, stale or mixed up, or PEM's
    candidates are missing, and `on_error` is "fail", or no video is left, StageError if the stage
    is incomplete, or the folder of the result file does not exist; nothing is written then.
    """
    out = stage.path / RESULT_FILE if out is None else out
    if not out.parent.is_dir():
        raise StageError(f"{out}: the folder {out.parent} does not exist")
    before = stage.table(net)
    checks = [*_CHECKS[net], *([label_free_problem] if stage.config.fusion.label_free else [])]
    problems = [p for item in before.items if (p := _first_problem(stage, item, checks))]
    problems += check_dumps(stage, net, before, dumps, progress)
    items, report = begin_step(f"{net}-outputs", before, problems, out, on_error, progress)
    target, recordings = stage.path / f"{net}-result", Recordings(stage.config)
    if lean:  # an older folder would not belong to this result
        shutil.rmtree(target, ignore_errors=True)
    with nullcontext() if lean else atomic_folder(target) as folder, result_writer(out) as result:
        rate = partial(_rate_item, stage, partial(_FIND[net], stage, dumps, folder))
        for item, proposals in in_parallel(rate, items):
            report.count(item)
            whole: Proposals | None = proposals
            if item.window is not None:  # None before the last window of a recording
                whole = recordings.add_candidates(item.window, item.seconds, proposals)
            if whole is not None:
                result.add(item.video, whole)
    return report


def _first_problem(stage: Stage, item: Item, checks: Iterable[FindProblem]) -> Problem | None:
    return next(filter(None, (check(stage, item) for check in checks)), None)


def _rate_item(
    stage: Stage, find: Callable[[Item], tuple[Proposals, Float32]], item: Item
) -> tuple[Item, Proposals]:
    """Return a video's final proposals, or a window's candidates with their final scores."""
    candidates, confidence = find(item)
    if stage.config.fusion.label_free:
        candidates, confidence = add_label_free(stage, item, candidates, confidence)
    if item.window is not None:
        return item, candidates.with_score(rank(candidates, confidence, stage.config))
    alone = RaggedProposals.of([candidates])
    (best,) = final_proposals(alone, confidence, [item.seconds], stage.config)
    return item, best
