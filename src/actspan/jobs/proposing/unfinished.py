"""Unfinished runs, and complete runs that are resumed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from actspan.core.errors import ActSpanError, FeatureError, ResultError
from actspan.core.files import sha256
from actspan.core.problems import Problem, Skipped
from actspan.core.wording import counted
from actspan.data.dataset import Dataset
from actspan.data.scores import ScoreFiles
from actspan.jobs.proposing.inputs import check_features
from actspan.jobs.proposing.origin import made_from, origin
from actspan.jobs.proposing.output import OtherResultError
from actspan.jobs.proposing.request import Report, Request, Summary
from actspan.jobs.proposing.work import DatasetWork, stamps
from actspan.jobs.run import RUN_FILE, Run
from actspan.jobs.shards.places import Folder, Place
from actspan.jobs.shards.plan import Plan
from actspan.jobs.shards.store import ShardStore, Survey, clear, open_place
from actspan.model.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An unfinished run: its place, and its shards if it was started before."""

    place: Place
    store: ShardStore | None

    def start(self, plan: Plan) -> ShardStore:
        """Remove any older run and start a new one."""
        clear(self.place)
        return ShardStore.start(self.place, plan)


@contextmanager
def unfinished_run(request: Request) -> Iterator[Unfinished]:
    """Open an unfinished run, locked for this process.

    Raises
    ------
    ResultError
        Another process works on the run, it is damaged, or the request says neither to resume nor
        to replace it.
    """
    home = Folder(request.partial)
    place = home if request.shards is None else open_place(request.shards)
    try:
        home.acquire()
        place.acquire()
        yield Unfinished(place, _find(place, request))
    finally:
        try:
            home.sweep()
            home.remove_if_empty()
        finally:
            place.release()
            home.release()


def _find(place: Place, request: Request) -> ShardStore | None:
    try:
        store = ShardStore.find(place)
    except ResultError:
        if request.overwrite and not request.resume:
            return None
        raise
    if store is None or request.resume or request.overwrite:
        return store
    done, shards = len(store.committed()), len(store.plan)
    raise ResultError(
        f"{place.name}: an unfinished run, {done} of {counted(shards, 'shard')} done: resume it "
        "with --resume, or start again with --force"
    )


def go_on(
    request: Request,
    store: ShardStore,
    bundle: Bundle,
    scores: ScoreFiles | None,
    report: Report | None,
) -> tuple[DatasetWork, Survey]:
    """Resume a run where it stopped.

    Raises
    ------
    ResultError
        The run was started with different inputs; names them.
    DatasetError
        Videos that remain to be computed have problems, and `on_error` is "fail".
    """
    plan = store.plan
    differences = plan.differences(made_from(request, bundle))
    if differences:
        raise ResultError(
            f"{store.place.name}: cannot be resumed, it was made from something else: "
            f"{'; '.join(differences)}. Use what it was made from, or start again: --force without "
            "--resume"
        )
    work = DatasetWork.of(request, plan, bundle, scores)
    survey = store.survey()
    work = replace(work, dataset=_with_notes(work.dataset, plan, survey, request))
    missing = {v for n in range(len(plan)) if n not in survey.done for v in plan.ids(n)}
    if missing and request.on_error == "fail" and scores is None:
        left = [video for video in work.dataset if video.id in missing]
        check_features(work.dataset.select(left), bundle, "fail", report)
    return work, survey


def _with_notes(dataset: Dataset, plan: Plan, survey: Survey, request: Request) -> Dataset:
    """Return the dataset with notes about features that changed after their results were saved."""
    done = {v for number in survey.done for v in plan.ids(number)} - survey.lost
    now = stamps(dataset, plan.videos)
    changed = [
        video
        for video, was, stamp in zip(plan.videos, plan.stamps, now, strict=False)
        if video in done and stamp is not None and stamp != was
    ]
    if changed and request.on_error == "fail":
        raise FeatureError(
            f"{dataset.path}: features of {counted(len(changed), 'video')} changed since results "
            f"came of them ({changed[0]!r} first): start again with --force without --resume, or "
            "keep those results: --on-error skip"
        )
    remedy = "start again if the new ones are right: --force"
    notes = [
        Problem(v, str(dataset.entries[v]), "changed after its result", remedy, Skipped.NOTHING)
        for v in changed
    ]
    if survey.damaged:
        what = counted(survey.damaged, "damaged shard")
        notes.append(Problem("", str(request.partial), what, "computed again", Skipped.NOTHING))
    return replace(dataset, problems=(*dataset.problems, *notes))


@contextmanager
def nothing_lost(store: ShardStore, *, new: bool) -> Iterator[None]:
    """Add a note to any exception that says which shards are saved; discard an empty new run."""
    try:
        yield
    except BaseException as error:
        with suppress(ActSpanError):
            done, plan = store.committed(), store.plan
            if (new and not done) or isinstance(error, OtherResultError):
                store.discard()
            else:
                videos = sum(len(plan.ids(number)) for number in done)
                error.add_note(
                    f"nothing lost: {len(done)} of {counted(len(plan), 'shard')} ({videos:,} of "
                    f"{counted(len(plan.videos), 'video')}) are in {store.place.name}; the same "
                    "command with --resume completes it"
                )
        raise


def finished_run(request: Request, bundle: Bundle) -> Summary | None:
    """Return the summary of a complete run with the same origin; remove its leftover shards.

    Raises
    ------
    ResultError
        The run is damaged.
    """
    if not request.writes_run or not (request.out / RUN_FILE).is_file():
        return None
    info = Run.load(request.out).info
    if info.get("origin") != origin(request, bundle):
        return None
    for name, checksum in info["files"].items():
        path = request.out / name
        if not path.is_file() or sha256(path) != checksum:
            raise ResultError(f"{path}: damaged; make the run again: --force without --resume")
    with unfinished_run(request) as unfinished:
        clear(unfinished.place)
    figures = (info["videos"], info["proposals"], info["detections"])
    return Summary(request.out, *figures, 0.0, {}, (), (), kept=info["videos"])


def finished_result(request: Request, unfinished: Unfinished) -> str | None:
    """Return the checksum of a complete result file that is resumed, else None.

    A result file does not record its inputs, so it must be computed again to see whether it is the
    same.
    """
    resumes = request.resume and not (request.overwrite or request.writes_run)
    if not resumes or unfinished.store is not None or not request.out.is_file():
        return None
    return sha256(request.out)
