"""Resuming of an interrupted job: its saved shards, and a comparison of its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from actspan.config.base import NOT_JSON
from actspan.core.errors import ChangedInputsError, FeatureError, ResultError, ShardError
from actspan.core.files import read_bytes
from actspan.core.limits import DOCUMENT
from actspan.core.problems import Problem, Skipped
from actspan.core.progress import Progress
from actspan.core.storage import Storage
from actspan.core.wording import counted
from actspan.data.run_info import require_checksum
from actspan.jobs.checkpoint import Checkpoint, FileStamp, differences, digest
from actspan.jobs.propose_request import ProposeRequest, Selection, Summary
from actspan.jobs.run import INPUTS, RUN_FILE, Run
from actspan.jobs.source import Source


@dataclass(frozen=True, slots=True)
class Saved:
    """Results of an earlier process: intact shards, and videos in them that could not be read.

    `problems` are notes about damaged shards, and about files that changed later.
    """

    shards: frozenset[int] = frozenset()
    skipped: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


def find_unfinished(storage: Storage, request: ProposeRequest) -> Checkpoint | None:
    """Return the unfinished job in a storage if it is to be resumed, not replaced.

    Raises ResultError if the request says neither to resume nor to replace it, or its plan is
    damaged.
    """
    try:
        checkpoint = Checkpoint.find(storage)
    except ResultError:
        if request.overwrite and not request.resume:
            return None
        raise
    if checkpoint is None or request.resume:
        return checkpoint
    if request.overwrite:
        return None
    done, shards = len(checkpoint.committed()), len(checkpoint.plan.shards)
    raise ResultError(
        f"{checkpoint.name}: an unfinished run, {done} of {counted(shards, 'shard')} done: resume "
        "it with --resume, or start again with --force"
    )


def resume(checkpoint: Checkpoint, source: Source, progress: Progress) -> Saved:
    """Prepare a source to resume a job where it stopped; return what is saved.

    Damaged shards are removed, so that they are computed again.

    Raises
    ------
    ChangedInputsError
        The job was started with different inputs; names them.
    DatasetError
        Videos that remain to be computed have problems, and `on_error` is "fail".
    """
    plan = checkpoint.plan
    differences = plan.differences(source.inputs())
    if source.request.writes_run and plan.keeps == "result":
        differences.append("out was a result file, is a run folder")
    if differences:
        raise ChangedInputsError(
            f"{checkpoint.name}: cannot be resumed: it was started with different inputs: "
            f"{'; '.join(differences)}. Use the same inputs, or start again: --force without "
            "--resume"
        )
    committed, intact, skipped = checkpoint.committed(), set[int](), set[str]()
    for number in committed:
        try:
            problems = [r for r in checkpoint.read(number) if isinstance(r, Problem)]
        except ShardError:
            checkpoint.remove(number)
        else:
            intact.add(number)
            skipped |= {problem.video for problem in problems if problem.is_error}
    missing = (v for n, videos in enumerate(plan.shards) if n not in intact for v in videos)
    source.restore(plan, missing, progress)
    done = {video for number in intact for video in plan.shards[number]} - skipped
    stamps = zip(plan.videos, plan.stamps, strict=False)
    notes = [*_changes({video: stamp for video, stamp in stamps if video in done}, source)]
    if damaged := len(committed) - len(intact):
        what, folder = counted(damaged, "damaged shard"), str(source.request.partial)
        notes.append(Problem("", folder, what, "computed again", Skipped.NOTHING))
    return Saved(frozenset(intact), frozenset(skipped), tuple(notes))


def _changes(stamps: Mapping[str, FileStamp], source: Source) -> Iterator[Problem]:
    """Yield notes about files that changed, or are gone, since their results were saved.

    `stamps` are those of the videos with results. Raises FeatureError if none may be skipped.
    """
    known = {video: was for video, was in stamps.items() if was is not None}
    now = source.stamps(known)
    changed = [v for (v, was), new in zip(known.items(), now, strict=True) if new != was]
    if changed and source.request.on_error == "fail":
        what = "videos" if source.is_decoded else "features"
        raise FeatureError(
            f"{source.folder or source.file(changed[0])}: {what} of "
            f"{counted(len(changed), 'video')} changed or are gone since results were computed "
            f"from them ({changed[0]!r} first): start again with --force without --resume, or "
            "keep those results: --on-error skip"
        )
    remedy = "start again if the new ones are right: --force"
    for video in changed:
        what = "changed, or is gone, after its result"
        yield Problem(video, source.file(video), what, remedy, Skipped.NOTHING)


class RunInputs(msgspec.Struct, frozen=True):
    """Inputs of a finished run, to compare when it is resumed: the content of `inputs.json`."""

    made_from: dict[str, dict[str, str]]
    stamps: dict[str, FileStamp]  # by video

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file of a run; raise ResultError if it is damaged."""
        try:
            return msgspec.json.decode(read_bytes(path, DOCUMENT), type=cls)
        except (OSError, *NOT_JSON) as error:
            what = "make the run again: --force without --resume"
            raise ResultError(f"{path}: damaged: {error}; {what}") from error


def origin(source: Source) -> str:
    """Return the SHA-256 of all inputs, without files that are derived from the weights.

    Runs with the same origin have the same results.
    """
    inputs: dict[str, Any] = source.inputs()
    bundle = inputs["bundle"].items()
    weights = {k: v for k, v in bundle if k == "settings" or k.endswith(".safetensors")}
    selection = source.request.selection
    chosen = [] if selection == Selection() else [selection.top, selection.min_score]
    keeps = "run" if source.request.writes_run else "result"
    return digest([{**inputs, "bundle": weights}, keeps, *chosen])


def finished_run(source: Source) -> Summary | None:
    """Return the summary of a run that is resumed but complete, and locked.

    None if there is no complete run, or one of other inputs that may be replaced.

    Raises
    ------
    ResultError
        The run is damaged, or was made from other inputs and may not be replaced; names them.
    FeatureError
        Features or videos changed since, and `on_error` is "fail".
    """
    request, out = source.request, source.request.out
    if not request.resume or not request.writes_run or out is None:
        return None
    if not (out / RUN_FILE).is_file():
        return None
    run = Run.load(out)
    is_same = run.info.get("origin") == origin(source)
    if not is_same and (request.overwrite or INPUTS not in run.files):
        return None
    for name in run.files if is_same else (INPUTS,):
        require_checksum(out / name, run.files[name])
    inputs = RunInputs.read(out / INPUTS)
    if not is_same:
        found = differences(inputs.made_from, source.inputs()) or ["selection of proposals"]
        raise ResultError(
            f"{out}: a run already exists, of different inputs: {'; '.join(found)}: use the same "
            "inputs, choose another folder, or replace it: --force"
        )
    notes = tuple(_changes(inputs.stamps, source))
    info = run.info
    figures = (info["videos"], info["proposals"], info["detections"])
    return Summary(out, *figures, 0.0, {}, notes, (), kept=info["videos"])
