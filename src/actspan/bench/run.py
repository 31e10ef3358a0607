"""Run `actspan bench`: time a model end to end and stage by stage, and check its output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from actspan.bench import machine
from actspan.bench.bench_request import BenchRequest
from actspan.bench.material import (
    Material,
    Reference,
    open_material,
    with_accuracy,
)
from actspan.bench.result import BatchesPerSecond, BenchResult, Scope, Stage, Timing, samples_of
from actspan.bench.timed_steps import suppression_of_recordings, table, walk
from actspan.bench.timing import Rule, measure
from actspan.core.errors import BenchError
from actspan.core.parallel import chunked, map_ordered
from actspan.core.problems import dataset_notes, skipped_line
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Proposals
from actspan.core.wording import counted
from actspan.data.result_files import read_result
from actspan.data.result_writers import write_result
from actspan.evaluation.recall import evaluate_recall
from actspan.jobs.sinks import write_result_file
from actspan.pipeline.outcomes import Outcome, Piece, Recordings
from actspan.pipeline.steps import Batch, Steps, pieces_of

_HELD = 64  # least number of videos or windows whose intermediate data stay in memory
_LONGEST = 512  # ... and the largest, where a recording has more windows
_WHOLE = 3  # least repeats of the whole set
_LATENCY = 200  # repeats, enough for a 99th percentile
_FEW = 4  # batches per stream; with fewer, streams idle at the end
_OF_NETWORKS = ("tem", "pem", "bsn", "latency")  # stages that depend on backend and precision


def run_benchmark(request: BenchRequest, progress: Progress = no_progress) -> BenchResult:
    """Measure a model on videos: end to end, every stage, latency, and accuracy.

    Raises
    ------
    BundleError, DataError, BackendError
        A part is missing, damaged, or does not fit.
    BenchError
        A batch needs more videos than there are.
    MissingExtraError
        The packages of the extra `bench` are not installed.
    """
    machine.require_limits()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="actspan-bench-")))
        material = stack.enter_context(open_material(request, folder, progress))
        pool = stack.enter_context(ThreadPoolExecutor(request.streams))
        config = material.bundle.config
        assert config.tem is not None
        bench = _Bench(request, material, pool, folder, progress)
        load, cores = machine.load_average(), machine.core_count()
        product = partial(machine.measure_products, machine.FIXED, cores, bench.rule())
        limits = partial(
            machine.measure_roof, config.tem, max(request.batches), cores, bench.rule(least=10)
        )
        bench.announce("noise")
        before = product()
        bench.announce("roof")
        lower = limits()
        workload = bench.run()
        bench.announce("roof")
        highest = machine.highest(lower, limits())
        bench.announce("noise")
        flops = machine.flops_of(machine.FIXED)
        measured_on = machine.capture_environment(before, product(), flops, load)
        bench.announce("done")
    return BenchResult(
        stages=tuple(
            machine.with_cost(s, machine.sample_costs(config, workload, s.batch or 1), highest)
            for s in bench.stages
        ),
        environment=measured_on,
        roof=highest,
        material=material.description,
        command=request.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=(*bench.notes(), *machine.noise_notes(measured_on)),
    )


class _Bench:
    """Measurements of a model on videos; `stages` has those that are done."""

    def __init__(
        self,
        request: BenchRequest,
        material: Material,
        pool: ThreadPoolExecutor,
        folder: Path,
        progress: Progress,
    ) -> None:
        self._request, self._material, self._pool = request, material, pool
        self._progress, self._announced = progress, 0
        self._config = material.bundle.config
        self._result, self._scratch = folder / "result.json", folder / "scratch.json"
        sessions = material.sessions
        self._steps = Steps(self._config, sessions["tem"], sessions["pem"], material.dataset.edge)
        self._pieces = list(pieces_of(material.jobs, self._config))
        self._truth = [video for video in material.dataset.videos if len(video.segments)]
        most = max(request.batches)
        if len(self._pieces) < most:
            raise BenchError(
                f"a batch of {most} needs as many videos or windows, and there are only "
                f"{len(self._pieces)}: take a smaller --batch, or more --videos"
            )
        self._held = _first_pieces(self._pieces, max(_HELD, 2 * most))
        self.stages: list[Stage] = []

    def announce(self, what: str) -> None:
        """Report which work starts now."""
        total = 9 * len(self._request.batches) + 8
        self._progress(what, min(self._announced, total), total)
        self._announced += 1

    def rule(self, least: int = 20) -> Rule:
        """Return the rule that ends a measurement after at least this many repeats."""
        return Rule(limit=self._request.seconds, least=least)

    def run(self) -> machine.Workload:
        """Measure everything and return the average sizes of samples."""
        self.announce("checkpoint")
        reference = Reference.of(self._material, self._request.streams)
        for size in self._request.batches:
            held = walk(self._steps, self._held, size)
            full = [batch for batch in held if len(batch.pieces) == size]
            for step in table(self._steps, full):
                self._time(step.name, step.scope, size, step.work)
            self._time_whole(held, size)
            found, recall = read_result(self._result), None
            # The instances of synthetic videos are random.
            if self._request.dataset is not None and self._truth:
                recall = evaluate_recall(self._truth, found, subset=None).summary()
            accuracy = reference.accuracy(found, self._material.variant.precision, recall)
            self.stages = [with_accuracy(stage, size, accuracy) for stage in self.stages]
        self._time_latency(held)
        self._time_files(found)
        written = self._result.stat().st_size
        return machine.workload_of(self._material.dataset, held, found, written, len(self._pieces))

    def _time(
        self,
        name: str,
        scope: Scope,
        batch: int,
        work: Callable[[int], object],
        *,
        samples: int | None = None,
        streams: int | None = None,
        least: int = 20,
    ) -> None:
        """Time `work` and record it as a stage of this batch size, with at least `least` repeats.

        A call of `work` processes `samples` (`batch` by default). As many threads call it as the
        request has streams, unless `streams` is given: 1 for work that has its own threads.
        """
        self.announce(f"{name}, batch {batch}")
        request, variant = self._request, self._material.variant
        measured = measure(work, streams=streams or request.streams, rule=self.rule(least))
        share = batch / (samples or batch)  # of a batch in one repeat
        rate = BatchesPerSecond(measured.rate / share)
        has_networks = name in _OF_NETWORKS
        alone = measured.streams == 1 and scope != "end-to-end"
        stage = Stage(
            name=name,
            scope=scope,
            batch=batch,
            samples_per_second=samples_of(rate, batch),
            batches_per_second=rate,
            seconds=Timing.of([s * share for s in measured.seconds]),
            settled=measured.settled,
            backend=variant.backend if has_networks else "",
            precision=variant.precision if has_networks else "",
            threads=request.threads if has_networks else 1,
            streams=1 if alone else request.streams,
            cpu_seconds=measured.cpu_seconds * share,
            peak_memory_bytes=measured.peak_memory,
        )
        self.stages.append(stage)

    def _time_whole(self, held: Sequence[Batch], size: int) -> None:
        """Time the pipeline end to end, then its halves, each with its own threads."""
        pipeline, jobs = self._material.pipeline, self._material.jobs
        samples, rounds = len(self._pieces), -(-len(self._pieces) // len(self._held))

        def whole(number: int) -> None:
            write_result_file(pipeline.run(jobs, batch=size), self._result)

        time = partial(self._time, scope="end-to-end", batch=size, streams=1, least=_WHOLE)
        time("bsn", work=whole, samples=samples)
        time("tem", work=lambda _: self._run_tem_half(size), samples=samples)
        pem_half = partial(self._run_pem_half, held, rounds)
        time("pem", work=lambda _: pem_half(), samples=rounds * len(self._held))

    def _run_tem_half(self, size: int) -> None:
        """Run from features on disk to candidates with BSP features, and discard them."""
        steps = self._steps

        def work(chunk: Sequence[Piece]) -> None:
            features = steps.load(chunk)
            steps.candidates(chunk, steps.scored(steps.tem(steps.rescale(features)), features))

        ahead = 2 * self._request.streams
        for _ in map_ordered(self._pool, work, chunked(self._pieces, size), ahead=ahead):
            pass

    def _run_pem_half(self, batches: Sequence[Batch], rounds: int) -> None:
        """Run from BSP features in memory to a result file, `rounds` times over the batches."""
        steps, windows = self._steps, self._config.mode == "window"

        def work(task: tuple[int, Batch]) -> list[Outcome]:
            number, batch = task
            confidence = steps.pem(batch.rows)
            outcomes = steps.outcomes(batch, confidence)
            return [replace(outcome, id=f"{number}-{outcome.id}") for outcome in outcomes]

        tasks = ((number, batch) for number in range(rounds) for batch in batches)
        ahead = 2 * self._request.streams
        outcomes = chain.from_iterable(map_ordered(self._pool, work, tasks, ahead=ahead))
        if windows:  # the proposals of a recording are added at its last window
            write_result_file(map(Recordings(self._config).add, outcomes), self._scratch)
        else:
            write_result_file(outcomes, self._scratch)

    def _time_latency(self, held: Sequence[Batch]) -> None:
        """Time one video at a time, from features in memory to proposals."""
        features = [item for batch in held for item in batch.features]
        propose = self._material.pipeline.propose

        def work(number: int) -> object:
            return propose(features[number % len(features)])

        self._time("latency", "step", 1, work, streams=1, least=_LATENCY)

    def _time_files(self, found: Mapping[str, Proposals]) -> None:
        """Time the work that is done once for all videos; a batch is the whole set."""
        time, samples = (
            partial(self._time, scope="step", streams=1, least=_WHOLE),
            len(self._pieces),
        )
        if self._config.mode == "window":
            held = walk(self._steps, self._held, _HELD)
            suppress = suppression_of_recordings(self._steps, held)
            time("soft-nms", batch=len(self._held), work=suppress)
        time("write", batch=samples, work=lambda _: write_result(self._scratch, found))
        if self._truth:
            evaluate = partial(evaluate_recall, self._truth, self._result, subset=None)
            time("evaluate", batch=samples, work=lambda _: evaluate())

    def notes(self) -> Iterator[str]:
        """Yield remarks about the material and the measurements."""
        request, dataset, rule = self._request, self._material.dataset, self.rule()
        cores, most, samples = machine.core_count(), max(request.batches), len(self._pieces)
        streams = counted(request.streams, "stream")
        yield from dataset.notes
        yield from dataset_notes(dataset.problems)
        if self._config.mode == "window":
            yield "samples are windows, not recordings"
        if samples < _FEW * most * request.streams:
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
        if moving := sum(stage.settled is False for stage in self.stages):
            yield (
                f"the median of {moving} of {len(self.stages)} measurements had not settled to "
                f"{rule.tolerance:.0%} within {rule.limit:g} s; repeat on a quiet machine, or with "
                "more --seconds"
            )


def _first_pieces(pieces: Sequence[Piece], count: int) -> list[Piece]:
    """Return the first pieces, at least `count` if available, up to the end of a recording."""
    for number, piece in enumerate(pieces[:_LONGEST], start=1):
        if number >= count and (piece.window is None or piece.window.is_final):
            return list(pieces[:number])
    return list(pieces[:_LONGEST])
