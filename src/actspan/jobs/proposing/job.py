"""The whole job, shard by shard: from a dataset and a bundle to a run or a result file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from time import perf_counter

from actspan.core.errors import BundleError, ResultError
from actspan.core.files import folder_name_error, name_disk_errors
from actspan.core.problems import Problem, raise_nothing_left
from actspan.core.wording import quoted, suggestion
from actspan.data.dataset import Dataset
from actspan.data.result_writers import ANSWER_SUFFIXES, check_answer_target
from actspan.data.scores import ScoreFiles
from actspan.jobs.proposing.engine import Engine, EngineMaker, LocalEngine
from actspan.jobs.proposing.inputs import check_features, check_scores
from actspan.jobs.proposing.origin import made_from, run_info
from actspan.jobs.proposing.output import Output
from actspan.jobs.proposing.request import Report, Request, Summary
from actspan.jobs.proposing.unfinished import (
    finished_result,
    finished_run,
    go_on,
    nothing_lost,
    unfinished_run,
)
from actspan.jobs.proposing.work import DatasetWork, open_scores, stamps
from actspan.jobs.run import check_run_target
from actspan.jobs.shards.compute import in_order
from actspan.jobs.shards.plan import SHARD_SIZES, Plan
from actspan.jobs.shards.records import Result
from actspan.jobs.shards.store import ShardStore, Survey
from actspan.model.bundle import Bundle
from actspan.pipeline.classifier import ClassifiedLabels
from actspan.pipeline.labels import Labeller
from actspan.pipeline.outcomes import Outcome


def propose_dataset(
    request: Request, report: Report | None = None, *, engine: EngineMaker = LocalEngine
) -> Summary:
    """Find the proposals of every video of a dataset, and write them.

    Results are saved shard by shard. A job that was killed at any moment is resumed with
    `request.resume`, and gives the same bytes.

    Parameters
    ----------
    report : callable, optional
        Called with the progress.
    engine : callable
        Makes the engine that computes the shards.

    Raises
    ------
    DatasetError
        The dataset has problems and `on_error` is "fail".
    BundleError, DataError, BackendError
        A part is missing, damaged, or does not fit. Finished shards stay, and a note on the
        exception says so.
    """
    with name_disk_errors(request.out):
        return _propose(request, report, engine)


def _propose(request: Request, report: Report | None, engine: EngineMaker) -> Summary:
    bundle = Bundle.load(request.model)
    if request.scores is None and not bundle.has_tem:
        raise BundleError(
            f"{bundle.path}: holds no TEM, which features need; add one: actspan convert TEM "
            f"--out {quoted(bundle.path)}, or give boundary scores that were computed elsewhere: "
            "--scores"
        )
    if request.resume and (finished := finished_run(request, bundle)):
        return finished
    _check_target(request)
    with ExitStack() as stack:
        unfinished = stack.enter_context(unfinished_run(request))
        dataset = Dataset.load(request.dataset).subset(request.subset, bundle.set_apart)
        given, lacking = request.labels.read(dataset.videos.ids, request.on_error)
        dataset = replace(dataset, problems=(*dataset.problems, *lacking))
        workers = stack.enter_context(engine(request, bundle, dataset.edge))
        bundle = Bundle.load(request.model)  # now with the ONNX files that were missing
        scores = stack.enter_context(open_scores(request))
        opening = request.labels.open_classifier(bundle, features=request.scores is None)
        classifier = stack.enter_context(opening)
        store, survey, new = unfinished.store, Survey(), not request.resume
        checksum = finished_result(request, unfinished)
        if store is None or new:
            plan, work = _plan(request, bundle, dataset, scores, report)
            store, new = unfinished.start(plan), True
        else:
            work, survey = go_on(request, store, bundle, scores, report)
        labels: Labeller | None = given
        if classifier is not None:
            labels = ClassifiedLabels(work.dataset, classifier, request.labels.top)
        with nothing_lost(store, new=new):
            making = _Making(request, bundle, store, work, survey, workers, report)
            summary = making.finish(Output(request, labels, checksum))
        store.discard()
    return summary


def _check_target(request: Request) -> None:
    out = request.out
    if request.writes_run:
        meant = suggestion(out.suffix, ANSWER_SUFFIXES) if out.suffix else ""
        fault = folder_name_error(out, "a run") or (f"{out}: a run is a folder" if meant else "")
        if fault:
            files = ", ".join(ANSWER_SUFFIXES)
            raise ResultError(f"{fault}; the result alone is a file in {files}{meant}")
        check_run_target(out, replace=request.overwrite)
    else:
        check_answer_target(out, request.inputs, replace=request.overwrite)


def _plan(
    request: Request,
    bundle: Bundle,
    dataset: Dataset,
    scores: ScoreFiles | None,
    report: Report | None,
) -> tuple[Plan, DatasetWork]:
    """Check all inputs and make the plan of the run."""
    seconds: dict[str, float] = {}
    if scores is None:
        dataset = check_features(dataset, bundle, request.on_error, report)
    else:
        dataset, seconds = check_scores(dataset, bundle, scores, request.on_error)
    videos = dataset.videos.ids
    mode = bundle.config.mode
    plan = Plan(
        made_from=made_from(request, bundle),
        keeps=request.keeps,
        videos=videos,
        shard_size=request.shard_size or SHARD_SIZES[mode],
        stamps=stamps(dataset, videos),
        seconds=tuple(seconds[video] for video in videos) if seconds else (),
        spec=dataset.spec,
        problems=dataset.problems,
        notes=dataset.notes,
    )
    return plan, DatasetWork(dataset, mode == "window", request.on_error, scores, seconds)


class _Making:
    """The results of all shards on their way to the files, counted and reported."""

    def __init__(
        self,
        request: Request,
        bundle: Bundle,
        store: ShardStore,
        work: DatasetWork,
        survey: Survey,
        workers: Engine,
        report: Report | None,
    ) -> None:
        self._request, self._bundle, self._store, self._work = request, bundle, store, work
        self._survey, self._workers, self._report = survey, workers, report
        self._videos = self._proposals = 0
        self._lost: list[Problem] = []
        self._begin = perf_counter()

    def finish(self, output: Output) -> Summary:
        """Compute missing shards, write all results, and return the summary."""
        if self._request.writes_run:
            info = partial(run_info, self._request, self._bundle)
            detections = output.write_run(self._outcomes(), lambda n: info(self._summary(n)))
        else:
            detections = output.write_result(self._outcomes())
        return self._summary(detections)

    def _outcomes(self) -> Iterator[Outcome]:
        for result in self._results():
            if isinstance(result, Problem):
                self._lost.append(result)
                continue
            yield result
            if result.proposals is None:
                continue
            self._videos += 1
            self._proposals += len(result.proposals)
            if self._report:
                self._report("propose", self._videos, len(self._store.plan.videos))
        if not self._videos:
            raise_nothing_left(self._problems(), len(self._store.plan.videos))

    def _results(self) -> Iterator[Result]:
        plan, done = self._store.plan, self._survey.done
        missing = [number for number in range(len(plan)) if number not in done]
        finished = self._workers.run(self._store, missing, self._work)
        for number in in_order(plan, done, finished):
            yield from self._store.read(number)

    def _problems(self) -> tuple[Problem, ...]:
        return (*self._work.dataset.problems, *self._lost)

    def _summary(self, detections: int) -> Summary:
        plan = self._store.plan
        kept = sum(len(plan.ids(number)) for number in self._survey.done)
        return Summary(
            out=self._request.out,
            videos=self._videos,
            proposals=self._proposals,
            detections=detections,
            seconds=perf_counter() - self._begin,
            stages=self._workers.clock.shares(),
            problems=self._problems(),
            notes=(
                *self._work.dataset.notes,
                *self._workers.clock.warnings(self._bundle.config.mode),
            ),
            kept=kept - len(self._survey.lost),
        )
