"""Run `actspan bench`: time a model end to end and stage by stage, and check its output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from actspan.bench import machine
from actspan.bench.costs import Workload, products_of
from actspan.bench.material import Material, Reference, open_material, with_accuracy
from actspan.bench.records import (
    WHOLE,
    BatchesPerSecond,
    BenchRequest,
    BenchResult,
    Scope,
    Stage,
    Timing,
    samples_of,
)
from actspan.bench.roof import TOO_NOISY, RoofProcess
from actspan.bench.timing import Rule, measure
from actspan.config.stages import TemConfig
from actspan.core.errors import BenchError
from actspan.core.machine import core_count, load_average
from actspan.core.parallel import chunked, map_ordered
from actspan.core.problems import dataset_notes, skipped_line
from actspan.core.progress import Progress, no_progress
from actspan.core.ragged import RaggedProposals
from actspan.core.segments import Proposals
from actspan.core.temporary import temporary_folder
from actspan.core.types import Float32
from actspan.core.wording import counted
from actspan.data.result_files import read_result
from actspan.data.result_writers import write_result
from actspan.evaluation.recall import evaluate_recall
from actspan.jobs.sinks import write_result_file
from actspan.model.nets import NETS
from actspan.pipeline.bsn_steps import BsnSteps
from actspan.pipeline.kinds import steps_of
from actspan.pipeline.label_free_steps import with_label_free
from actspan.pipeline.outcomes import Outcome, Piece, Recordings, StageClock
from actspan.pipeline.steps import Batch, pieces_of

_LEAST_KEPT = 64  # least number of videos or windows whose intermediate data stay in memory
_MOST_KEPT = 512  # ... and the largest, where a recording has more windows
_WHOLE_REPEATS = 3  # least repeats of the whole set
_LATENCY_REPEATS = 200  # repeats, enough for a 99th percentile
_FEW_BATCHES = 4  # batches per stream; with fewer, streams idle at the end
_OF_NETWORKS = (*NETS, *WHOLE, "latency")  # stages that depend on backend and precision


def run_benchmark(request: BenchRequest, progress: Progress = no_progress) -> BenchResult:
    """Measure a model on videos: end to end, every stage, latency, and accuracy.

    Raises BenchError if a batch needs more videos than there are, and the errors of `Bundle.load`,
    `Dataset.load` and `Pipeline.load`.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        material = stack.enter_context(open_material(request, folder, progress))
        pool = stack.enter_context(ThreadPoolExecutor(request.streams))
        config = material.bundle.config
        shapes = products_of(config.video_network or TemConfig(), max(request.batches))
        arithmetic = stack.enter_context(RoofProcess(shapes))
        fixed = stack.enter_context(RoofProcess(machine.FIXED))
        bench = _Bench(request, material, pool, folder, progress, arithmetic)
        load = load_average()
        limits = partial(machine.measure_machine, fixed, config, bench.rule, bench.announce)
        before, lower = limits()
        workload = bench.run()
        after, higher = limits()
        measured_on = machine.capture_environment(fixed.flops, before, after, load)
        bench.announce("done")
    roof = machine.roof_of(arithmetic, lower, higher)
    calm = map(arithmetic.was_calm, bench.parts)
    return BenchResult(
        stages=tuple(
            machine.with_cost(stage, config, workload, roof, calm=c)
            for stage, c in zip(bench.stages, calm, strict=True)
        ),
        environment=measured_on,
        roof=roof,
        material=material.description,
        command=request.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=(*bench.notes(), *machine.noise_notes(measured_on)),
    )


class _TimedWork(NamedTuple):
    """Work to be timed as a stage."""

    name: str
    scope: Scope
    call: Callable[[int], object]  # called with the number of the repeat
    samples: int | None = None  # that one call processes; a batch by default
    streams: int | None = None  # calls at the same time; those of the request by default
    least: int = 20  # repeats


class _Bench:
    """Measurements of a model on videos.

    `stages` has those that are done, `parts` the rounds of the roof that alternated with each.
    """

    def __init__(
        self,
        request: BenchRequest,
        material: Material,
        pool: ThreadPoolExecutor,
        folder: Path,
        progress: Progress,
        arithmetic: RoofProcess,
    ) -> None:
        self._request, self._material, self._pool = request, material, pool
        self._arithmetic = arithmetic
        self._progress, self._announced = progress, 0
        self.rule = Rule(limit=request.seconds)
        self._config = material.bundle.config
        self._result, self._scratch = folder / "result.json", folder / "scratch.json"
        sessions = material.sessions
        self._steps = steps_of(self._config, sessions, material.dataset.edge)
        self._pieces = list(pieces_of(material.inputs, self._config))
        self._truth = [video for video in material.dataset.videos if len(video.segments)]
        most = max(request.batches)
        if len(self._pieces) < most:
            raise BenchError(
                f"a batch of {most} needs as many videos or windows, and there are only "
                f"{len(self._pieces)}: take a smaller --batch, or more --videos"
            )
        self._kept = _first_pieces(self._pieces, max(_LEAST_KEPT, 2 * most))
        self.stages: list[Stage] = []
        self.parts: list[slice] = []

    def announce(self, what: str) -> None:
        """Report which work starts now."""
        total = 9 * len(self._request.batches) + 8
        self._progress(what, min(self._announced, total), total)
        self._announced += 1

    def run(self) -> Workload:
        """Measure everything and return the average sizes of samples."""
        self.announce("checkpoint")
        reference = Reference.of(self._material, self._request.streams)
        for size in self._request.batches:
            kept = self._walk(size)
            self._time(size, self._single_steps([b for b in kept if len(b.pieces) == size]))
            self._time(size, self._whole(size))
            self._time(size, self._halves(size, kept))
            proposals, recall = read_result(self._result), None
            # The instances of synthetic videos are random.
            if self._request.dataset is not None and self._truth:
                recall = evaluate_recall(self._truth, proposals, subset=None).summary()
            accuracy = reference.accuracy(proposals, self._material.variant.precision, recall)
            self.stages = [with_accuracy(stage, size, accuracy) for stage in self.stages]
        self._time(None, self._rest(kept, proposals))
        written = self._result.stat().st_size
        return machine.workload_of(
            self._material.dataset, kept, proposals, written, len(self._pieces)
        )

    def _walk(self, size: int) -> list[Batch]:
        """Run the kept pieces in batches through all stages except Soft-NMS; keep all output."""
        parts, steps = chunked(self._kept, size), self._steps
        return [steps.walk(part, steps.load(part), StageClock()) for part in parts]

    def _time(self, size: int | None, works: Iterable[_TimedWork]) -> None:
        """Time each work and record it as a stage of batches of this size, or of its samples."""
        request, variant = self._request, self._material.variant
        for work in works:
            batch = size or work.samples
            assert batch is not None
            self.announce(f"{work.name}, batch {batch}")
            rule, first = replace(self.rule, least=work.least), len(self._arithmetic.rounds)
            measured = measure(
                work.call,
                streams=work.streams or request.streams,
                rule=rule,
                between=self._arithmetic.round,
            )
            self.parts.append(slice(first, len(self._arithmetic.rounds)))
            share = batch / (work.samples or batch)  # of a batch in one repeat
            rate = BatchesPerSecond(measured.rate / share)
            has_networks = work.name in _OF_NETWORKS
            is_single = measured.streams == 1 and work.scope != "end-to-end"
            stage = Stage(
                name=work.name,
                scope=work.scope,
                batch=batch,
                samples_per_second=samples_of(rate, batch),
                batches_per_second=rate,
                seconds=Timing.of([s * share for s in measured.seconds]),
                settled=measured.settled,
                backend=variant.backend if has_networks else "",
                precision=variant.precision if has_networks else "",
                threads=request.threads if has_networks else 1,
                streams=1 if is_single else request.streams,
                cpu_seconds=measured.cpu_seconds * share,
                peak_memory_bytes=measured.peak_memory,
            )
            self.stages.append(stage)

    def _single_steps(self, batches: Sequence[Batch]) -> Iterator[_TimedWork]:
        """Yield every stage that workers run on a batch, with real input; batches take turns."""
        steps = self._steps

        def in_turn(name: str, scope: Scope, calls: Sequence[Callable[[], object]]) -> _TimedWork:
            return _TimedWork(name, scope, lambda n: calls[n % len(calls)]())

        yield in_turn("read", "step", [partial(steps.load, b.pieces) for b in batches])
        of_each = [steps.single_steps(b.pieces, b.features) for b in batches]
        for same in zip(*of_each, strict=True):
            scope: Scope = "interface" if same[0].is_network else "step"
            yield in_turn(same[0].name, scope, [step.call for step in same])
        if self._config.mode != "window":
            calls = [partial(steps.outcomes, b, b.confidence) for b in batches]
            yield in_turn("soft-nms", "step", calls)

    def _whole(self, size: int) -> Iterator[_TimedWork]:
        """Yield the pipeline end to end."""
        pipeline, inputs = self._material.pipeline, self._material.inputs

        def run_pipeline(_: int) -> None:
            write_result_file(pipeline.run(inputs, batch=size), self._result)

        options: Any = {"samples": len(self._pieces), "streams": 1, "least": _WHOLE_REPEATS}
        yield _TimedWork(
            "bsn" if self._config.bmn is None else "pipeline", "end-to-end", run_pipeline, **options
        )

    def _halves(self, size: int, kept: Sequence[Batch]) -> Iterator[_TimedWork]:
        """Yield the halves of BSN, which have their own threads; nothing for other models."""
        steps = self._steps
        if not isinstance(steps, BsnSteps):
            return
        rounds = -(-len(self._pieces) // len(self._kept))
        half = partial(map_ordered, self._pool, ahead=2 * self._request.streams)

        def find_candidates(chunk: Sequence[Piece]) -> None:
            features = steps.load(chunk)
            steps.candidates(chunk, steps.scored(steps.tem(steps.rescale(features)), features))

        def tem_half(_: int) -> None:  # from features on disk to BSP features, which are dropped
            list(half(find_candidates, chunked(self._pieces, size)))

        found = [steps.candidates(batch.pieces, batch.scored) for batch in kept]

        def rank(task: tuple[int, Batch, tuple[RaggedProposals, Float32]]) -> list[Outcome]:
            number, batch, (candidates, rows) = task
            candidates, confidence = with_label_free(
                batch.pieces, batch.features, candidates, steps.pem(rows), self._config.fusion
            )
            outcomes = steps.outcomes(replace(batch, candidates=candidates), confidence)
            return [replace(outcome, id=f"{number}-{outcome.id}") for outcome in outcomes]

        def pem_half(_: int) -> None:  # from BSP features in memory to a result file
            both = list(zip(kept, found, strict=True))
            tasks = ((number, *pair) for number in range(rounds) for pair in both)
            outcomes: Iterable[Outcome] = chain.from_iterable(half(rank, tasks))
            if self._config.mode == "window":  # proposals are added at a recording's last window
                outcomes = map(Recordings(self._config).add, outcomes)
            write_result_file(outcomes, self._scratch)

        work = partial(_TimedWork, scope="end-to-end", streams=1, least=_WHOLE_REPEATS)
        yield work("tem", call=tem_half, samples=len(self._pieces))
        yield work("pem", call=pem_half, samples=rounds * len(self._kept))

    def _rest(
        self, kept: Sequence[Batch], proposals: Mapping[str, Proposals]
    ) -> Iterator[_TimedWork]:
        """Yield the latency of a video, and the work that is done once for many videos."""
        work = partial(_TimedWork, scope="step", streams=1, least=_WHOLE_REPEATS)
        items = [item for batch in kept for item in batch.features]
        propose = self._material.pipeline.propose
        yield work(
            "latency",
            call=lambda n: propose(items[n % len(items)]),
            samples=1,
            least=_LATENCY_REPEATS,
        )
        if self._config.mode == "window":  # over all windows of each recording
            outcomes = [
                o for b in self._walk(_LEAST_KEPT) for o in self._steps.outcomes(b, b.confidence)
            ]
            yield work(
                "soft-nms",
                call=lambda _: list(map(Recordings(self._config).add, outcomes)),
                samples=len(self._kept),
            )
        samples = len(self._pieces)
        yield work("write", call=lambda _: write_result(self._scratch, proposals), samples=samples)
        if self._truth:
            evaluate = partial(evaluate_recall, self._truth, self._result, subset=None)
            yield work("evaluate", call=lambda _: evaluate(), samples=samples)

    def notes(self) -> Iterator[str]:
        """Yield remarks about the material and the measurements."""
        request, dataset, rule = self._request, self._material.dataset, self.rule
        cores, most, samples = core_count(), max(request.batches), len(self._pieces)
        streams = counted(request.streams, "stream")
        yield from dataset.notes
        yield from dataset_notes(dataset.problems)
        if self._config.mode == "window":
            yield "samples are windows, not recordings"
        if samples < _FEW_BATCHES * most * request.streams:
            yield (
                f"{samples} samples are few for batches of {most} on {streams}: end to end, some "
                "have nothing to do at the end; take more --videos"
            )
        if request.threads * request.streams != cores:
            yield (
                f"{streams} x {counted(request.threads, 'thread')} on {cores} cores; the roof is "
                "that of all cores"
            )
        if what := skipped_line(dataset.problems):
            yield what
        if noisy := len(self.parts) - sum(map(self._arithmetic.was_calm, self.parts)):
            yield (
                f"{TOO_NOISY}: others used the machine during {noisy} of "
                f"{len(self.parts)} measurements, so their shares of the roof are left out"
            )
        if moving := sum(stage.settled is False for stage in self.stages):
            yield (
                f"the median of {moving} of {len(self.stages)} measurements had not settled to "
                f"{rule.tolerance:.0%} within {rule.limit:g} s; repeat on a quiet machine, or with "
                "more --seconds"
            )


def _first_pieces(pieces: Sequence[Piece], count: int) -> Sequence[Piece]:
    """Return the first pieces, at least `count` if available, up to the end of a recording."""
    for number, piece in enumerate(pieces[:_MOST_KEPT], start=1):
        if number >= count and (piece.window is None or piece.window.is_final):
            return pieces[:number]
    return pieces[:_MOST_KEPT]
