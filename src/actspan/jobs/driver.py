"""The main job: read, compute, commit, and hand the results to the sinks, in order.

source      lists and opens videos            source.py, score_source.py, video_source.py
engine      computes shards of videos         here, or ray_engine.py
checkpoint  saves the plan and each shard     checkpoint.py
sinks       receive the results in order      sinks.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from time import perf_counter
from typing import Protocol

from actspan.core.errors import ConfigError, ResultError
from actspan.core.files import name_disk_errors
from actspan.core.problems import Problem, raise_nothing_left
from actspan.core.progress import Progress, no_progress
from actspan.jobs.checkpoint import PLAN_FILE, Checkpoint, Saved, locked_storage
from actspan.jobs.origin import (
    check_target,
    find_unfinished,
    finished_result,
    finished_run,
    new_plan,
    resume,
    run_info,
)
from actspan.jobs.propose_request import ProposeRequest, Summary
from actspan.jobs.score_source import ScoreSource
from actspan.jobs.shard_format import Result
from actspan.jobs.sinks import ResultSink, RunSink, Sink
from actspan.jobs.source import FeatureSource, Source
from actspan.model.bundle import Bundle
from actspan.pipeline.classifier import ClassifiedLabels
from actspan.pipeline.core import Pipeline
from actspan.pipeline.labels import Labeller, open_classifier, read_labels
from actspan.pipeline.outcomes import Failure, Outcome, StageClock


def propose(
    request: ProposeRequest,
    progress: Progress = no_progress,
    *,
    engine: EngineMaker | None = None,
    sinks: Sequence[Sink] = (),
) -> Summary:
    """Find the proposals of every video of a source, and write them.

    Results are saved shard by shard. A job that was killed at any moment is resumed with
    `request.resume`, and gives the same bytes.

    Parameters
    ----------
    engine : callable, optional
        Makes the engine that computes the shards; `LocalEngine` by default.
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
        check_target(request, source.protected)
        storage = stack.enter_context(locked_storage(request))
        unfinished = None
        if storage is not None and storage.contains(PLAN_FILE):
            unfinished = find_unfinished(storage, request)
        workers = stack.enter_context((engine or LocalEngine)(request, bundle, source))
        source.bundle = Bundle.load(request.model)  # now with the ONNX files that were missing
        make_labeller = _open_labels(source, stack) if request.labels.wanted else None
        checksum = finished_result(request) if request.resume and unfinished is None else None
        if unfinished is None:
            source.check(progress)
            checkpoint, saved = Checkpoint.start(storage, new_plan(source)), Saved()
        else:
            checkpoint, saved = unfinished, resume(unfinished, source, progress)
        labels = None if make_labeller is None else make_labeller()
        if request.writes_run:
            sinks = [*sinks, RunSink(request, labels, partial(run_info, source))]
        elif request.out is not None:
            sinks = [*sinks, ResultSink(request, labels, checksum)]
        try:
            summary = _run(source, workers, checkpoint, saved, sinks, progress)
            for sink in sinks:
                sink.publish(summary)
        except BaseException as error:
            checkpoint.note_saved_shards(error, new=unfinished is None)
            raise
        checkpoint.discard()
    return summary


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


def _run(
    source: Source,
    engine: Engine,
    checkpoint: Checkpoint,
    saved: Saved,
    sinks: Sequence[Sink],
    progress: Progress,
) -> Summary:
    """Pass the results of all shards to the sinks, in order, and count them."""
    plan, begin, problems = checkpoint.plan, perf_counter(), list(source.problems)
    videos, proposals, video_seconds = 0, 0, 0.0
    with ExitStack() as stack:
        for number, result in enumerate(_in_order(checkpoint, saved, engine, progress)):
            if number == 0:
                for sink in sinks:
                    stack.enter_context(sink).start(source)
            if isinstance(result, Problem):
                problems.append(result)
                continue
            outcome = source.request.selection.apply(result)
            for sink in sinks:
                sink.add(outcome)
            if outcome.proposals is not None:
                videos += 1
                proposals += len(outcome.proposals)
                video_seconds += source.end(outcome.id)
                if not source.is_decoded:
                    progress("propose", videos, len(plan.videos))
        if not videos:
            raise_nothing_left(problems, len(plan.videos))
        for sink in sinks:
            sink.close()
    kept = sum(len(plan.ids(number)) for number in saved.shards)
    return Summary(
        out=source.request.out,
        videos=videos,
        proposals=proposals,
        detections=sum(sink.detections for sink in sinks),
        seconds=perf_counter() - begin,
        stages=engine.clock.shares(),
        problems=tuple(problems),
        notes=(*source.notes, *engine.clock.warnings(source.config.mode)),
        kept=kept - len(saved.skipped),
        video_seconds=video_seconds,
    )


def _in_order(
    checkpoint: Checkpoint, saved: Saved, engine: Engine, progress: Progress
) -> Iterator[Result]:
    """Compute the missing shards, commit each, and yield the results of all shards in order."""
    shards = range(len(checkpoint.plan))
    missing = [number for number in shards if number not in saved.shards]
    computed = engine.run(checkpoint, missing, progress)
    ready: dict[int, Iterable[Result] | None] = dict.fromkeys(saved.shards)  # None: to be read
    for turn in shards:
        while turn not in ready:
            number, results = next(computed)
            ready[number] = None if results is None else checkpoint.commit(number, results)
        results = ready.pop(turn)
        yield from checkpoint.read(turn) if results is None else results


class Engine(Protocol):
    """Computation of shards, whose bytes do not depend on the engine."""

    @property
    def clock(self) -> StageClock:
        """Time of the stages, and number of videos with flat scores."""
        ...

    def run(
        self, checkpoint: Checkpoint, missing: Sequence[int], progress: Progress
    ) -> Iterator[tuple[int, Iterable[Result] | None]]:
        """Compute missing shards; yield the number and results of each, in any order.

        Results are computed while they are consumed, which must end before the next shard. They
        are None if a worker has committed the shard already. Raises DataError if a video cannot be
        read and none may be skipped.
        """
        ...


# An engine is made before the source is checked, so that both can happen in parallel.
EngineMaker = Callable[[ProposeRequest, Bundle, Source], AbstractContextManager[Engine]]


class LocalEngine(AbstractContextManager[Engine]):
    """Engine that computes shards one after the other, on all threads.

    The videos of all shards pass through the pipeline in one stream, so that no thread waits where
    one shard ends and the next begins. A shard depends only on the plan and the model, so its bytes
    are the same wherever it is computed.
    """

    def __init__(self, request: ProposeRequest, bundle: Bundle, source: Source) -> None:
        self._source = source
        # A decoder takes most of the time, so batching the networks would save nothing.
        decoded = source.is_decoded
        self._pipeline = Pipeline.load(
            bundle,
            backend=request.backend,
            threads=1 if decoded else request.threads,
            edge=source.edge,
            tem=request.scores is None,
        )
        self._batch = 1 if decoded else request.batch
        self._ahead = 0 if decoded else 2 * self._pipeline.threads

    def __exit__(self, *details: object) -> None:
        self._pipeline.close()

    @property
    def clock(self) -> StageClock:
        """Time of the stages, and number of videos with flat scores."""
        return self._pipeline.clock

    def run(
        self, checkpoint: Checkpoint, missing: Sequence[int], progress: Progress
    ) -> Iterator[tuple[int, Iterable[Result]]]:
        """Compute shards in order; see `Engine.run`."""
        plan = checkpoint.plan
        videos = (video for number in missing for video in plan.ids(number))
        pieces = self._source.pieces(videos, progress)
        results = self._pipeline.attempt(pieces, batch=self._batch, ahead=self._ahead)
        for number in missing:
            yield number, self._shard(plan.ids(number), results)

    def _shard(
        self, videos: Iterable[str], results: Iterator[Outcome | Failure]
    ) -> Iterator[Result]:
        """Yield the results of these videos, and take no more from the stream."""
        for video in videos:
            done = False
            while not done:
                result = next(results, None)
                if result is None or result.id != video:
                    raise ResultError(f"video {video!r}: no result was computed")
                done = isinstance(result, Failure) or result.proposals is not None
                if done and (note := self._source.ending_note(video)) is not None:
                    yield note
                if isinstance(result, Failure):
                    yield self._source.skip_or_raise(result)
                else:
                    yield result
