"""`actspan bench`: time a model on videos, end to end and stage by stage, and check its answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import msgspec

from actspan.bench import environment, roofline
from actspan.bench.answers import Checkpoint
from actspan.bench.clock import Clock
from actspan.bench.measure import Measured
from actspan.bench.result import Accuracy, BenchResult, Roof, Stage
from actspan.bench.roofline import Workload
from actspan.bench.setup import Report, Request, Setup, prepare
from actspan.bench.whole import pem_half, run_all, tem_half
from actspan.core.errors import BenchError
from actspan.core.parallel import chunked
from actspan.core.problems import dataset_notes, skipped_line
from actspan.core.types import Proposals
from actspan.core.wording import counted
from actspan.data.dataset import Dataset
from actspan.data.results import read_result, write_result
from actspan.evaluation.recall import evaluate_recall
from actspan.pipeline.outcomes import Piece
from actspan.pipeline.stages import Batch, Steps, suppression_of_recordings, table
from actspan.pipeline.steps import pieces_of

__all__ = ["run_benchmark"]

JUDGED = 16  # videos whose answers are compared with the checkpoint's
_HELD = 64  # least number of videos or windows whose intermediate data stay in memory
_LONGEST = 512  # ... and the largest, where a recording has more windows
_WHOLE = 3  # least repeats of the whole set
_LATENCY = 200  # repeats, enough for a 99th percentile
_FEW = 4  # batches per stream; with fewer, streams idle at the end


def run_benchmark(request: Request, report: Report | None = None) -> BenchResult:
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
    roofline.require_limits()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="actspan-bench-")))
        setup = stack.enter_context(prepare(request, folder, report))
        pool = stack.enter_context(ThreadPoolExecutor(request.streams))
        clock = Clock(request, setup.variant, report, total=9 * len(request.batches) + 8)
        bench = _Bench(request, setup, clock, pool, folder)
        load = environment.load_average()
        before, lower = _noise(clock), _roof(clock, setup, request)
        work = bench.run()
        roof = roofline.highest(lower, _roof(clock, setup, request))
        measured_on = environment.capture_environment(
            before, _noise(clock), roofline.flops_of(roofline.FIXED), load
        )
        clock.tell("done")
    notes = (
        *_notes(request, setup, bench.samples),
        *clock.notes(),
        *environment.noise_notes(measured_on),
    )
    costs = {b: roofline.sample_costs(setup.bundle.config, work, b) for b in _batches(clock)}
    return BenchResult(
        stages=tuple(roofline.with_cost(s, costs[s.batch or 1], roof) for s in clock.stages),
        environment=measured_on,
        roof=roof,
        material=setup.material,
        command=request.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=notes,
    )


def _noise(clock: Clock) -> Measured:
    """Time the fixed product, which shows noise and drift of the machine."""
    clock.tell("noise")
    return roofline.measure_products(roofline.FIXED, environment.core_count(), clock.rule())


def _roof(clock: Clock, setup: Setup, request: Request) -> Roof:
    clock.tell("roof")
    assert setup.bundle.config.tem is not None
    batch, cores = max(request.batches), environment.core_count()
    return roofline.measure_roof(setup.bundle.config.tem, batch, cores, clock.rule(least=10))


def _batches(clock: Clock) -> set[int]:
    return {stage.batch or 1 for stage in clock.stages}


def _notes(request: Request, setup: Setup, samples: int) -> Iterator[str]:
    cores, most = environment.core_count(), max(request.batches)
    yield from setup.dataset.notes
    yield from dataset_notes(setup.dataset.problems)
    if setup.bundle.config.mode == "window":
        yield "samples are windows, not recordings"
    if samples < _FEW * most * request.streams:
        yield (
            f"{samples} samples are few for batches of {most} on "
            f"{counted(request.streams, 'stream')}: end to end, some have nothing to do at "
            "the end; take more --videos"
        )
    if request.threads * request.streams != cores:
        yield (
            f"{counted(request.streams, 'stream')} x {counted(request.threads, 'thread')} on "
            f"{cores} cores; the roof is that of all cores"
        )
    if what := skipped_line(setup.dataset.problems):
        yield what


class _Bench:
    """Measurements of a model on videos."""

    def __init__(
        self, request: Request, setup: Setup, clock: Clock, pool: ThreadPoolExecutor, folder: Path
    ) -> None:
        self._request, self._setup, self._clock, self._pool = request, setup, clock, pool
        self._result, self._scratch = folder / "result.json", folder / "scratch.json"
        self._steps = Steps(setup.bundle.config, setup.sessions, setup.dataset.edge)
        self._pieces = list(pieces_of(setup.jobs, setup.bundle.config))
        self.samples = len(self._pieces)
        if self.samples < max(request.batches):
            raise BenchError(
                f"a batch of {max(request.batches)} needs as many videos or windows, and there are "
                f"only {self.samples}: take a smaller --batch, or more --videos"
            )
        self._held = _held(self._pieces, max(_HELD, 2 * max(request.batches)))

    def run(self) -> Workload:
        """Measure everything and return the average sizes of samples."""
        request, setup = self._request, self._setup
        self._clock.tell("checkpoint")
        checkpoint = Checkpoint.ask(
            setup.bundle,
            setup.jobs[:JUDGED],
            edge=setup.dataset.edge,
            threads=request.streams,
        )
        outputs = checkpoint.compare_networks(setup.sessions)
        for size in request.batches:
            held = [self._steps.walk(part) for part in chunked(self._held, size)]
            self._time_steps(held, size)
            self._time_whole(held, size)
            found = read_result(self._result)
            judged = checkpoint.judge(outputs, found, setup.variant.precision, self._recall(found))
            self._clock.stages = [_with_accuracy(s, size, judged) for s in self._clock.stages]
        self._time_latency(held)
        self._time_files(found)
        return self._workload(held, found)

    def _time_steps(self, held: Sequence[Batch], size: int) -> None:
        full = [batch for batch in held if len(batch.pieces) == size]
        for step in table(self._steps, full):
            self._clock.time(step.name, step.scope, size, step.work)

    def _time_whole(self, held: Sequence[Batch], size: int) -> None:
        """Time the pipeline end to end, then its halves, each with its own threads."""
        streams, time = self._request.streams, partial(self._clock.time, at_once=1, least=_WHOLE)
        rounds = -(-self.samples // len(self._held))
        time(
            "bsn",
            "end-to-end",
            size,
            lambda _: run_all(self._setup.pipeline, self._setup.jobs, size, self._result),
            samples=self.samples,
        )
        time(
            "tem",
            "end-to-end",
            size,
            lambda _: tem_half(self._pool, streams, self._steps, self._pieces, size),
            samples=self.samples,
        )
        time(
            "pem",
            "end-to-end",
            size,
            lambda _: pem_half(self._pool, streams, self._steps, held, rounds, self._scratch),
            samples=rounds * len(self._held),
        )

    def _time_latency(self, held: Sequence[Batch]) -> None:
        """Time one video at a time, from features in memory to proposals."""
        features = [item for batch in held for item in batch.features]
        propose = self._setup.pipeline.propose
        self._clock.time(
            "latency",
            "step",
            1,
            lambda n: propose(features[n % len(features)]),
            at_once=1,
            least=_LATENCY,
        )

    def _time_files(self, found: Mapping[str, Proposals]) -> None:
        """Time the work that is done once for all videos; a batch is the whole set."""
        whole, time = self.samples, partial(self._clock.time, at_once=1, least=_WHOLE)
        if self._setup.bundle.config.mode == "window":
            held = [self._steps.walk(part) for part in chunked(self._held, _HELD)]
            work = suppression_of_recordings(self._setup.bundle.config, held)
            time("soft-nms", "step", len(self._held), work)
        time("write", "step", whole, lambda _: write_result(self._scratch, found))
        truth = [video for video in self._setup.dataset.videos if len(video.segments)]
        if truth:
            judge = partial(evaluate_recall, truth, self._result, subset=None)
            time("evaluate", "step", whole, lambda _: judge())

    def _recall(self, found: Mapping[str, Proposals]) -> Mapping[str, float] | None:
        """Return the recall on a dataset with ground truth; None for made-up features."""
        truth = [video for video in self._setup.dataset.videos if len(video.segments)]
        if self._request.dataset is None or not truth:
            return None
        return evaluate_recall(truth, found, subset=None).summary()

    def _workload(self, held: Sequence[Batch], found: Mapping[str, Proposals]) -> Workload:
        return Workload(
            snippets=fmean(len(item) for batch in held for item in batch.features),
            read_bytes=fmean(
                _itemsize(self._setup.dataset, piece) * item.values.size
                for batch in held
                for piece, item in zip(batch.pieces, batch.features, strict=True)
            ),
            candidates=fmean(len(c) for batch in held for c in batch.candidates),
            proposals=sum(map(len, found.values())) / self.samples,
            result_bytes=self._result.stat().st_size / self.samples,
        )


def _held(pieces: Sequence[Piece], count: int) -> list[Piece]:
    """Return the first pieces, at least `count` if available, up to the end of a recording."""
    for number, piece in enumerate(pieces[:_LONGEST], start=1):
        if number >= count and (piece.window is None or piece.window.is_final):
            return list(pieces[:number])
    return list(pieces[:_LONGEST])


def _itemsize(dataset: Dataset, piece: Piece) -> int:
    """Return the bytes of a stored value."""
    return dataset.open(piece.id).values.dtype.itemsize


def _with_accuracy(stage: Stage, batch: int, judged: Mapping[str, Accuracy]) -> Stage:
    """Add the accuracy of its outputs to a network, or of the answers to the whole."""
    scope = "end-to-end" if stage.name == "bsn" else "interface"
    if stage.name not in judged or (stage.scope, stage.batch) != (scope, batch):
        return stage
    return msgspec.structs.replace(stage, accuracy=judged[stage.name])
