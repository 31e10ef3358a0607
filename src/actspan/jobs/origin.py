"""Everything that an answer depends on, compared when a job is resumed and kept in `run.toml`."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from actspan.config.base import to_dict
from actspan.core.errors import FeatureError, ResultError
from actspan.core.files import folder_name_error, sha256
from actspan.core.problems import Problem, Skipped
from actspan.core.progress import Progress
from actspan.core.storage import Storage
from actspan.core.wording import counted, suggestion
from actspan.data.data_requests import ANSWER_SUFFIXES
from actspan.data.remote import url_of
from actspan.data.result_writers import check_answer_target
from actspan.jobs.checkpoint import Checkpoint, Plan, Saved, digest, locked_storage, remove_shards
from actspan.jobs.propose_request import ProposeRequest, Selection, Summary
from actspan.jobs.run import RUN_FILE, Run
from actspan.jobs.source import Source, checksum

PACKAGES = ("actspan", "numpy", "numba", "onnxruntime")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def answer_inputs(source: Source) -> dict[str, dict[str, str]]:
    """Return the inputs, by kind, that must be unchanged when a job is resumed."""
    request, bundle = source.request, source.bundle
    config = msgspec.json.encode(to_dict(bundle.config))
    files = {name: record.sha256 for name, record in bundle.files.items()}
    settings = {
        "subset": str(request.subset),
        "backend": request.backend,
        "labels": str(request.labels.info()),
    }
    given = {"scores": request.scores, "label scores": request.labels.labels_from}
    return {
        "bundle": files | {"settings": hashlib.sha256(config).hexdigest()},
        "dataset": source.checksums(),
        "settings": settings | {name: checksum(path) for name, path in given.items() if path},
        "versions": versions(),
    }


def origin(source: Source) -> str:
    """Return the SHA-256 of all inputs, without files that are derived from the weights.

    Runs with the same origin have the same answers.
    """
    inputs = answer_inputs(source)
    bundle = inputs["bundle"].items()
    weights = {k: v for k, v in bundle if k == "settings" or k.endswith(".safetensors")}
    selection = source.request.selection
    chosen = [] if selection == Selection() else [selection.top, selection.min_score]
    keeps = "run" if source.request.writes_run else "result"
    return digest([{**inputs, "bundle": weights}, keeps, *chosen])


def run_info(source: Source, summary: Summary) -> dict[str, Any]:
    """Return the content of `run.toml`."""
    request, bundle = source.request, source.bundle
    selection = request.selection
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "videos": summary.videos,
        "proposals": summary.proposals,
        "detections": summary.detections,
        "origin": origin(source),
        "bundle": {
            "path": str(url_of(bundle.path) or bundle.path.resolve()),
            "files": {name: record.sha256 for name, record in bundle.files.items()},
            "set_apart": list(bundle.set_apart) or None,
        },
        "dataset": {**source.record(), "assumptions": list(summary.notes)},
        "backend": request.backend,
        "versions": versions(),
        "pipeline": to_dict(bundle.config),
        "labels": request.labels.info(),
        "selection": None if selection == Selection() else msgspec.structs.asdict(selection),
        "timing": {
            "seconds": round(summary.seconds, 3),
            "videos_per_second": round(summary.rate, 1),
            "stages": {stage: round(share, 4) for stage, share in summary.stages.items()},
        },
        "skipped": [problem.record for problem in summary.problems if problem.is_error],
    }


def new_plan(source: Source) -> Plan:
    """Return the plan of a new job."""
    request = source.request
    return Plan(
        inputs=answer_inputs(source),
        keeps="run" if request.writes_run else "result",
        videos=source.ids,
        shard_size=request.shard_size or source.shard_size,
        stamps=source.stamps(source.ids),
        seconds=source.seconds,
        spec=source.spec,
        problems=source.problems,
        notes=source.notes,
    )


def find_unfinished(storage: Storage, request: ProposeRequest) -> Checkpoint | None:
    """Return the unfinished job in a storage if it is to be resumed, not replaced.

    Raises ResultError if the request says neither to resume nor to replace it, or its plan is
    damaged.
    """
    try:
        found = Checkpoint.find(storage)
    except ResultError:
        if request.overwrite and not request.resume:
            return None
        raise
    if found is None or request.resume:
        return found
    if request.overwrite:
        return None
    done, shards = len(found.committed()), len(found.plan)
    raise ResultError(
        f"{found.name}: an unfinished run, {done} of {counted(shards, 'shard')} done: resume it "
        "with --resume, or start again with --force"
    )


def resume(checkpoint: Checkpoint, source: Source, progress: Progress) -> Saved:
    """Prepare a source to resume a job where it stopped; return what is saved.

    Raises
    ------
    ResultError
        The job was started with different inputs; names them.
    DatasetError
        Videos that remain to be computed have problems, and `on_error` is "fail".
    """
    plan = checkpoint.plan
    differences = plan.differences(answer_inputs(source))
    if source.request.writes_run and plan.keeps == "result":
        differences.append("out was a result file, is a run folder")
    if differences:
        raise ResultError(
            f"{checkpoint.name}: cannot be resumed: it was started with different inputs: "
            f"{'; '.join(differences)}. Use the same inputs, or start again: --force without "
            "--resume"
        )
    saved = checkpoint.verify()
    missing = (v for n in range(len(plan)) if n not in saved.shards for v in plan.ids(n))
    source.restore(plan, missing, progress)
    source.problems += tuple(_changes(checkpoint, source, saved))
    return saved


def _changes(checkpoint: Checkpoint, source: Source, saved: Saved) -> Iterable[Problem]:
    """Yield notes about files that changed after their results were saved, and damaged shards."""
    plan = checkpoint.plan
    done = {v for number in saved.shards for v in plan.ids(number)} - saved.skipped
    changed = [
        video
        for video, was, now in zip(
            plan.videos, plan.stamps, source.stamps(plan.videos), strict=False
        )
        if video in done and now is not None and now != was
    ]
    if changed and source.request.on_error == "fail":
        what = "videos" if source.paths else "features"
        raise FeatureError(
            f"{source.folder or source.file(changed[0])}: {what} of "
            f"{counted(len(changed), 'video')} changed since results were computed from them "
            f"({changed[0]!r} first): start again with --force without --resume, or keep those "
            "results: --on-error skip"
        )
    remedy = "start again if the new ones are right: --force"
    for video in changed:
        what = "changed after its result"
        yield Problem(video, source.file(video), what, remedy, Skipped.NOTHING)
    if saved.damaged:
        what = counted(saved.damaged, "damaged shard")
        place = str(source.request.partial)
        yield Problem("", place, what, "computed again", Skipped.NOTHING)


def finished_run(source: Source) -> Summary | None:
    """Return the summary of a complete run with the same origin; remove its leftover shards.

    Raises ResultError if the run is damaged.
    """
    request = source.request
    out = request.out
    if out is None or not request.writes_run or not (out / RUN_FILE).is_file():
        return None
    info = Run.load(out).info
    if info.get("origin") != origin(source):
        return None
    for name, expected in info["files"].items():
        path = out / name
        if not path.is_file() or sha256(path) != expected:
            raise ResultError(f"{path}: damaged; make the run again: --force without --resume")
    with locked_storage(request) as storage:
        if storage is not None:
            remove_shards(storage)
    figures = (info["videos"], info["proposals"], info["detections"])
    return Summary(out, *figures, 0.0, {}, (), (), kept=info["videos"])


def finished_result(request: ProposeRequest) -> str | None:
    """Return the checksum of a complete result file that is resumed, else None.

    A result file does not record its inputs, so it must be computed again to see whether it is the
    same.
    """
    out = request.out
    if out is None or request.writes_run or request.overwrite or not out.is_file():
        return None
    return sha256(out)


def check_target(request: ProposeRequest, protected: Callable[[], Iterable[Path]]) -> None:
    """Raise ResultError if results cannot be written to `out`, or would replace `protected`."""
    out = request.out
    if out is None:
        return
    if not request.writes_run:
        given = (request.model, request.scores, request.labels.labels_from)
        files = [*protected(), *(path for path in given if path is not None)]
        check_answer_target(out, files, replace=request.overwrite)
        return
    if out.suffix:
        meant = suggestion(out.suffix, ANSWER_SUFFIXES)
        fault = folder_name_error(out, "a run") or (f"{out}: a run is a folder" if meant else "")
        if fault:
            suffixes = ", ".join(ANSWER_SUFFIXES)
            raise ResultError(f"{fault}; the result alone is a file in {suffixes}{meant}")
    check_run_target(out, replace=request.overwrite)


def check_run_target(path: Path, *, replace: bool = False) -> None:
    """Raise ResultError unless `path` is new, an empty folder, or a run that may be replaced."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / RUN_FILE).is_file():
        raise ResultError(f"{path}: exists and is not a run, so it is left alone: choose another")
    if not replace:
        raise ResultError(f"{path}: there is a run already: choose another folder, or use --force")
