"""The main job: read, compute, commit, and hand the results to the sinks, in order.

source      lists and opens videos            dataset_source.py, video_source.py
engine      computes shards of videos         engine.py, ray_engine.py
checkpoint  saves the plan and each shard     checkpoint.py
sinks       receive the results in order      sinks.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from actspan.core.errors import ConfigError, ResultError
from actspan.core.files import folder_name_error, name_disk_errors
from actspan.core.problems import Problem, raise_nothing_left
from actspan.core.progress import Progress, no_progress
from actspan.core.storage import Storage
from actspan.core.wording import suggestion
from actspan.data.data_requests import ANSWER_SUFFIXES
from actspan.data.result_writers import check_answer_target
from actspan.jobs.checkpoint import Checkpoint, Plan, Saved, locked_storage
from actspan.jobs.dataset_source import FeatureSource, ScoreSource
from actspan.jobs.engine import Engine, EngineMaker, LocalEngine
from actspan.jobs.origin import (
    answer_inputs,
    find_unfinished,
    finished_result,
    finished_run,
    resume,
    run_info,
)
from actspan.jobs.propose_request import ProposeRequest, Summary
from actspan.jobs.run import check_run_target
from actspan.jobs.shard_format import Result
from actspan.jobs.sinks import ResultSink, RunSink, Sink
from actspan.jobs.source import Source
from actspan.model.bundle import Bundle
from actspan.pipeline.classifier import ClassifiedLabels
from actspan.pipeline.labels import Labeller, open_classifier, read_labels


def propose(
    request: ProposeRequest,
    progress: Progress = no_progress,
    *,
    engine: EngineMaker = LocalEngine,
    sinks: Sequence[Sink] = (),
) -> Summary:
    """Find the proposals of every video of a source, and write them.

    Results are saved shard by shard. A job that was killed at any moment is resumed with
    `request.resume`, and gives the same bytes.

    Parameters
    ----------
    engine : callable
        Makes the engine that computes the shards.
    sinks : sequence of Sink
        Further receivers of the results, besides the writer of `request.out`.

    Raises
    ------
    DatasetError
        Videos have problems and `on_error` is "fail".
    BundleError, DataError, BackendError
        A part is missing, damaged, or does not fit. Finished shards stay, and a note on the
        exception says so.
    """
    request.check()
    with name_disk_errors(request.out or request.model), ExitStack() as stack:
        bundle = Bundle.load(request.model)
        source = open_source(request, bundle)
        stack.callback(source.close)
        if request.resume and (finished := finished_run(source)):
            return finished
        _check_target(request, source.protected)
        storage = stack.enter_context(locked_storage(request))
        unfinished = find_unfinished(storage, request)
        workers = stack.enter_context(engine(request, bundle, source))
        source.bundle = Bundle.load(request.model)  # now with the ONNX files that were missing
        make_labeller = _open_labels(source, stack) if request.labels.wanted else None
        checksum = finished_result(request) if request.resume and unfinished is None else None
        if unfinished is None:
            source.check(progress)
            checkpoint, saved = _start(storage, source), Saved()
        else:
            checkpoint, saved = unfinished, resume(unfinished, source, progress)
        labels = None if make_labeller is None else make_labeller()
        if request.writes_run:
            sinks = [*sinks, RunSink(request, labels, partial(run_info, source))]
        elif request.out is not None:
            sinks = [*sinks, ResultSink(request, labels, checksum)]
        try:
            summary = _run(source, workers, checkpoint, saved, sinks, progress)
        except BaseException as error:
            checkpoint.note_saved_shards(error, new=unfinished is None)
            raise
        checkpoint.discard()
    return summary


def _check_target(request: ProposeRequest, protected: Callable[[], Iterable[Path]]) -> None:
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


def open_source(request: ProposeRequest, bundle: Bundle) -> Source:
    """Open the source of a request; raise if it cannot be opened, or does not fit the bundle."""
    if request.scores is not None:
        return ScoreSource(request, bundle)
    if request.dataset is not None:
        return FeatureSource(request, bundle)
    from actspan.jobs.video_source import LiveSource, VideoSource

    return VideoSource(request, bundle) if request.live is None else LiveSource(request, bundle)


def _open_labels(source: Source, stack: ExitStack) -> Callable[[], Labeller | None]:
    """Open the score file or the classifier; return what makes the labels once the source is ready.

    Problems of a score file are added to those of the source.
    """
    choice = source.request.labels
    if choice.classify and not isinstance(source, FeatureSource):
        raise ConfigError(
            "the classifier needs the features of whole videos, which are not kept here: run "
            "actspan extract, then propose from the dataset"
        )
    labels, problems = read_labels(choice, source.ids, source.request.on_error)
    source.problems += problems
    opening = open_classifier(choice, source.bundle, features=source.request.scores is None)
    classifier = stack.enter_context(opening)

    def make() -> Labeller | None:
        if classifier is None or not isinstance(source, FeatureSource):
            return labels
        return ClassifiedLabels(source.dataset, classifier, choice.top_labels)

    return make


def _start(storage: Storage | None, source: Source) -> Checkpoint:
    """Make the plan of a new job, and save it."""
    request = source.request
    plan = Plan(
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
    return Checkpoint.start(storage, plan)


def _run(
    source: Source,
    engine: Engine,
    checkpoint: Checkpoint,
    saved: Saved,
    sinks: Sequence[Sink],
    progress: Progress,
) -> Summary:
    """Compute the missing shards, commit each, and pass all results to the sinks in order."""
    plan, begin = checkpoint.plan, perf_counter()
    delivery = _Delivery(source, sinks, len(plan.videos), progress, list(source.problems))
    missing = [number for number in range(len(plan)) if number not in saved.shards]
    computed = engine.run(checkpoint, missing, progress)
    ready: dict[int, Iterable[Result] | None] = dict.fromkeys(saved.shards)  # None: to be read
    with ExitStack() as stack:
        for turn in range(len(plan)):
            while turn not in ready:
                number, results = next(computed)
                ready[number] = None if results is None else checkpoint.commit(number, results)
            if turn == 0:
                for sink in sinks:
                    stack.enter_context(sink).start(source)
            results = ready.pop(turn)
            for result in checkpoint.read(turn) if results is None else results:
                delivery.add(result)
        if not delivery.videos:
            raise_nothing_left(delivery.problems, len(plan.videos))
        for sink in sinks:
            sink.close()
    kept = sum(len(plan.ids(number)) for number in saved.shards)
    summary = Summary(
        out=source.request.out,
        videos=delivery.videos,
        proposals=delivery.proposals,
        detections=sum(sink.detections for sink in sinks),
        seconds=perf_counter() - begin,
        stages=engine.clock.shares(),
        problems=tuple(delivery.problems),
        notes=(*source.notes, *engine.clock.warnings(source.config.mode)),
        kept=kept - len(saved.skipped),
        video_seconds=delivery.video_seconds,
    )
    for sink in sinks:
        sink.publish(summary)
    return summary


@dataclass(slots=True)
class _Delivery:
    """Passing of results to the sinks, with counts."""

    source: Source
    sinks: Sequence[Sink]
    total: int
    progress: Progress
    problems: list[Problem]
    videos: int = 0
    proposals: int = 0
    video_seconds: float = 0.0

    def add(self, result: Result) -> None:
        if isinstance(result, Problem):
            self.problems.append(result)
            return
        outcome = self.source.request.selection.apply(result)
        for sink in self.sinks:
            sink.add(outcome)
        if outcome.proposals is not None:
            self.videos += 1
            self.proposals += len(outcome.proposals)
            self.video_seconds += self.source.end(outcome.id)
            if not self.source.is_decoded:
                self.progress("propose", self.videos, self.total)
