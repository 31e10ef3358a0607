"""The main job: read, compute, commit, and hand the results to the sinks, in order.

source      lists and opens videos            feature_source.py, score_source.py, video_source.py
engine      computes shards of videos         here, or ray_engine.py
checkpoint  saves the plan and each shard     checkpoint.py, resume.py
sinks       receive the results in order      sinks.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Protocol

from actspan.core.errors import ResultError
from actspan.core.files import folder_name_error, name_disk_errors
from actspan.core.folders import is_free
from actspan.core.problems import Problem, raise_nothing_left
from actspan.core.progress import Progress, no_progress
from actspan.core.wording import suggestion
from actspan.data.data_requests import ANSWER_SUFFIXES
from actspan.data.result_writers import check_answer_target
from actspan.jobs.checkpoint import Checkpoint, locked_storage, remove_shards
from actspan.jobs.feature_source import FeatureSource
from actspan.jobs.labelled_results import add_detections, open_labels, select
from actspan.jobs.propose_request import ProposeRequest, Selection, Summary
from actspan.jobs.resume import Saved, find_unfinished, finished_run, resume
from actspan.jobs.run import PLAN_FILE, RUN_FILE
from actspan.jobs.score_source import ScoreSource
from actspan.jobs.shard_format import Result
from actspan.jobs.sinks import Output, Sink
from actspan.jobs.source import Source
from actspan.model.bundle import Bundle
from actspan.model.nets import Net
from actspan.pipeline.classifier import ProposalClassifier, require_classifier
from actspan.pipeline.core import Pipeline
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
        if request.labels.classify:
            require_classifier(bundle)
        source = open_source(request, bundle)
        stack.callback(source.close)
        inputs = (request.model, request.scores, request.labels.labels_from, *source.protected)
        if request.out is not None:
            check_target(request.out, inputs, replace=request.overwrite or request.resume)
        storage = stack.enter_context(locked_storage(request))
        if request.resume and storage is not None and (finished := finished_run(source)):
            remove_shards(storage)
            return finished
        if request.out is not None:  # again: it was perhaps repaired, or just written by another
            check_target(request.out, inputs, replace=request.overwrite)
        unfinished = None
        if storage is not None and PLAN_FILE in storage.names():
            unfinished = find_unfinished(storage, request)
        workers = stack.enter_context((engine or LocalEngine)(request, bundle, source))
        if bundle.nets:
            source.bundle = Bundle.load(request.model)  # with the ONNX files that were missing
        problems = () if request.labels.info() is None else open_labels(source, stack)
        is_new = unfinished is None
        output = Output(request, is_new)
        if unfinished is None:
            checkpoint, saved = Checkpoint.start(storage, source.check(progress, problems)), Saved()
        else:
            checkpoint, saved = unfinished, resume(unfinished, source, progress)
        try:
            summary = _deliver(source, workers, checkpoint, saved, output, sinks, progress)
            output.publish(source, checkpoint.plan, summary)
        except BaseException as error:
            checkpoint.note_saved_shards(error, new=is_new)
            raise
        if storage is not None:
            remove_shards(storage)
    return summary


def _deliver(
    source: Source,
    engine: Engine,
    checkpoint: Checkpoint,
    saved: Saved,
    output: Output,
    sinks: Sequence[Sink],
    progress: Progress,
) -> Summary:
    """Compute the missing shards, hand all results on in order, and count them."""
    plan, started = checkpoint.plan, perf_counter()
    problems = [*plan.problems, *saved.problems]
    videos, proposals, video_seconds = 0, 0, 0.0
    write: Callable[[Outcome], None] | None = None
    for sink in sinks:
        sink.start(source)
    results = _in_order(checkpoint, saved, engine, progress)
    if source.request.selection != Selection():
        results = select(results, source.request.selection)
    if source.request.labels.info() is not None:
        results = add_detections(results, source)
    with ExitStack() as files:
        for result in results:
            if isinstance(result, Problem):
                problems.append(result)
                continue
            proposed = result.proposals  # None of a window that is not the last of its recording
            if proposed is not None:
                videos += 1
                proposals += len(proposed)
                video_seconds += source.ends.get(result.id, 0.0)
            for sink in sinks:
                sink.add(result)
            write = write or files.enter_context(output.opened())  # not before there is a result
            write(result)
            if proposed is not None and not source.is_decoded:
                progress("propose", videos, len(plan.videos))
        if not videos:
            raise_nothing_left(problems, len(plan.videos))
    kept = sum(len(plan.shards[number]) for number in saved.shards)
    return Summary(
        out=source.request.out,
        videos=videos,
        proposals=proposals,
        detections=output.detections,
        seconds=perf_counter() - started,
        stages=engine.clock.shares(),
        problems=tuple(problems),
        notes=(*source.bundle.notes, *plan.notes, *engine.clock.warnings(source.config.mode)),
        kept=kept - len(saved.skipped),
        video_seconds=video_seconds,
    )


def _in_order(
    checkpoint: Checkpoint, saved: Saved, engine: Engine, progress: Progress
) -> Iterator[Result]:
    """Compute the missing shards, commit each, and yield the results of all shards in order."""
    shards = range(len(checkpoint.plan.shards))
    missing = [number for number in shards if number not in saved.shards]
    computed = engine.run(checkpoint, missing, progress)
    ready: dict[int, Iterable[Result] | None] = dict.fromkeys(saved.shards)  # None: to be read
    for next_shard in shards:
        while next_shard not in ready:
            number, results = next(computed)
            ready[number] = None if results is None else checkpoint.commit(number, results)
        results = ready.pop(next_shard)
        yield from checkpoint.read(next_shard) if results is None else results


class Engine(Protocol):
    """Computation of shards, whose bytes do not depend on the engine."""

    clock: StageClock  # time of the stages, and number of videos with flat scores

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
        # A decoder takes most of the time, so batching the networks would save nothing.
        decoded = source.is_decoded
        self._source, self._batch = source, 1 if decoded else request.batch
        self._top = request.labels.top_labels
        self._classifier: ProposalClassifier | None = None
        if decoded and request.labels.classify:
            self._classifier = ProposalClassifier.open(bundle)
            source.labeller = self._classifier.labeller(source.features, self._top)
        without: Sequence[Net] = () if request.scores is None else ("tem",)
        self._pipeline = Pipeline.load(
            bundle,
            backend=request.backend,
            threads=1 if decoded else request.threads,
            edge=source.edge,
            without=without,
            config=source.config,
        )
        self._ahead = 0 if decoded else 2 * self._pipeline.threads
        self.clock = self._pipeline.clock

    def __exit__(self, *details: object) -> None:
        self._pipeline.close()
        if self._classifier is not None:
            self._classifier.close()

    def run(
        self, checkpoint: Checkpoint, missing: Sequence[int], progress: Progress
    ) -> Iterator[tuple[int, Iterable[Result]]]:
        """Compute shards in order; see `Engine.run`."""
        shards = checkpoint.plan.shards
        pieces = self._source.pieces((v for number in missing for v in shards[number]), progress)
        results = self._pipeline.attempt(pieces, batch=self._batch, ahead=self._ahead)
        for number in missing:
            yield number, self._shard(shards[number], results)

    def _shard(
        self, videos: Iterable[str], results: Iterator[Outcome | Failure]
    ) -> Iterator[Result]:
        """Yield the results of these videos, and take no more from the stream."""
        source = self._source
        for video in videos:
            done = False
            while not done:
                result = next(results, None)
                if result is None or result.id != video:
                    raise ResultError(f"video {video!r}: no result was computed")
                done = isinstance(result, Failure) or result.proposals is not None
                if done and video in source.ending_notes:
                    yield source.ending_notes[video]
                if isinstance(result, Failure):
                    yield source.skip_or_raise(result)
                elif self._classifier is None:
                    yield result
                else:
                    yield self._labelled(result, self._classifier)

    def _labelled(self, outcome: Outcome, classifier: ProposalClassifier) -> Outcome:
        """Return the outcome of a decoded video with labels, while its features are known."""
        if outcome.proposals is None:
            return outcome
        features = self._source.features(outcome.id)
        labels = classifier.best_labels(features, outcome.proposals, top=self._top)
        return replace(outcome, labels=labels)


def open_source(request: ProposeRequest, bundle: Bundle) -> Source:
    """Open the source of a request; raise if it cannot be opened, or does not fit the bundle."""
    if request.dataset is not None:
        kind = FeatureSource if request.scores is None else ScoreSource
        return kind(request, bundle)
    from actspan.jobs.video_source import LiveSource, VideoSource

    return VideoSource(request, bundle) if request.live is None else LiveSource(request, bundle)


def check_target(out: Path, inputs: Iterable[Path | None] = (), *, replace: bool = False) -> None:
    """Raise ResultError if results cannot be written to `out`, or would replace other files.

    A run folder must be new, empty, or a run that may be replaced.
    """
    if out.suffix.lower() in ANSWER_SUFFIXES:
        sources = [path for path in inputs if path is not None]
        check_answer_target(out, sources, replace=replace)
        return
    if out.suffix:
        suggested = suggestion(out.suffix, ANSWER_SUFFIXES)
        fault = folder_name_error(out, "a run") or (
            f"{out}: a run is a folder" if suggested else ""
        )
        if fault:
            suffixes = ", ".join(ANSWER_SUFFIXES)
            raise ResultError(f"{fault}; the result alone is a file in {suffixes}{suggested}")
    if not out.exists() or is_free(out):
        return
    if not (out / RUN_FILE).is_file():
        raise ResultError(f"{out}: already exists and is not a run: choose another folder")
    if not replace:
        raise ResultError(f"{out}: a run already exists: choose another folder, or use --force")
