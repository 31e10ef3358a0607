"""Run `actspan bench`: time a model end to end and stage by stage, and check its output."""

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

from actspan.bench import machine
from actspan.bench.bench_request import BenchRequest
from actspan.bench.material import Material, open_material
from actspan.bench.result import Accuracy, BenchResult, Stage
from actspan.bench.stage_timer import StageTimer, run_pem_half, run_tem_half
from actspan.core.errors import BenchError
from actspan.core.parallel import chunked
from actspan.core.problems import dataset_notes, skipped_line
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Proposals
from actspan.core.wording import counted
from actspan.data.result_files import read_result
from actspan.data.result_writers import write_result
from actspan.deploy.verify.differences import CheckpointSession, compare_outputs, compare_proposals
from actspan.deploy.verify.variants import LIMITS
from actspan.evaluation.recall import evaluate_recall
from actspan.jobs.run import write_result_file
from actspan.model.weights import NETS, Net
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import Piece
from actspan.pipeline.stages import Batch, Steps, suppression_of_recordings, table
from actspan.pipeline.steps import pieces_of

__all__ = ["run_benchmark"]

_CHECKED = 16  # videos whose output is compared with the checkpoint's
_CHECKED_ROWS: Mapping[Net, int] = {"tem": 512, "pem": 100_000}  # outputs compared one by one
_HELD = 64  # least number of videos or windows whose intermediate data stay in memory
_LONGEST = 512  # ... and the largest, where a recording has more windows
_WHOLE = 3  # least repeats of the whole set
_LATENCY = 200  # repeats, enough for a 99th percentile
_FEW = 4  # batches per stream; with fewer, streams idle at the end


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
        timer = StageTimer(request, material.variant, progress)
        bench = _Bench(request, material, timer, pool, folder)
        load, cores = machine.load_average(), machine.core_count()
        product = partial(machine.measure_products, machine.FIXED, cores, timer.rule())
        limits = partial(
            machine.measure_roof, config.tem, max(request.batches), cores, timer.rule(least=10)
        )
        timer.announce("noise")
        before = product()
        timer.announce("roof")
        lower = limits()
        workload = bench.run()
        timer.announce("roof")
        highest = machine.highest(lower, limits())
        timer.announce("noise")
        measured_on = machine.capture_environment(
            before, product(), machine.flops_of(machine.FIXED), load
        )
        timer.announce("done")
    stages = [
        machine.with_cost(stage, machine.sample_costs(config, workload, stage.batch or 1), highest)
        for stage in timer.stages
    ]
    return BenchResult(
        stages=tuple(stages),
        environment=measured_on,
        roof=highest,
        material=material.description,
        command=request.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=(
            *_notes(request, material, bench.samples),
            *timer.notes(),
            *machine.noise_notes(measured_on),
        ),
    )


def _notes(request: BenchRequest, material: Material, samples: int) -> Iterator[str]:
    cores, most = machine.core_count(), max(request.batches)
    yield from material.dataset.notes
    yield from dataset_notes(material.dataset.problems)
    if material.bundle.config.mode == "window":
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
    if what := skipped_line(material.dataset.problems):
        yield what


class _Bench:
    """Measurements of a model on videos."""

    def __init__(
        self,
        request: BenchRequest,
        material: Material,
        timer: StageTimer,
        pool: ThreadPoolExecutor,
        folder: Path,
    ) -> None:
        self._request, self._material, self._timer, self._pool = request, material, timer, pool
        self._config = material.bundle.config
        self._result, self._scratch = folder / "result.json", folder / "scratch.json"
        self._steps = Steps(self._config, material.sessions, material.dataset.edge)
        self._pieces = list(pieces_of(material.jobs, self._config))
        self._truth = [video for video in material.dataset.videos if len(video.segments)]
        self.samples = len(self._pieces)
        if self.samples < max(request.batches):
            raise BenchError(
                f"a batch of {max(request.batches)} needs as many videos or windows, and there are "
                f"only {self.samples}: take a smaller --batch, or more --videos"
            )
        self._held = _first_pieces(self._pieces, max(_HELD, 2 * max(request.batches)))

    def run(self) -> machine.Workload:
        """Measure everything and return the average sizes of samples."""
        self._timer.announce("checkpoint")
        differences, reference = self._run_checkpoint()
        for size in self._request.batches:
            held = [self._steps.walk(part) for part in chunked(self._held, size)]
            full = [batch for batch in held if len(batch.pieces) == size]
            for step in table(self._steps, full):
                self._timer.time(step.name, step.scope, size, step.work)
            self._time_whole(held, size)
            found = read_result(self._result)
            accuracy = self._accuracy(differences, reference, found)
            self._timer.stages = [_with_accuracy(s, size, accuracy) for s in self._timer.stages]
        self._time_latency(held)
        self._time_files(found)
        return self._workload(held, found)

    def _run_checkpoint(self) -> tuple[dict[str, float], dict[str, Proposals]]:
        """Compute the weights in double precision on the first videos.

        Return the largest difference of each session's outputs from them, and the proposals.
        """
        material = self._material
        exact = {
            net: CheckpointSession(material.bundle, net, remember=_CHECKED_ROWS[net])
            for net in NETS
        }
        pipeline = Pipeline(
            exact["tem"],
            exact["pem"],
            self._config,
            threads=self._request.streams,
            edge=material.dataset.edge,
        )
        with pipeline:
            outcomes = pipeline.run(material.jobs[:_CHECKED])
            proposals = {o.id: o.proposals for o in outcomes if o.proposals is not None}
        differences: dict[str, float] = {
            net: compare_outputs(exact[net].calls, session).max
            for net, session in material.sessions.items()
        }
        return differences, proposals

    def _accuracy(
        self,
        differences: Mapping[str, float],
        reference: Mapping[str, Proposals],
        found: Mapping[str, Proposals],
    ) -> dict[str, Accuracy]:
        """Compare outputs and proposals with the limits of the precision."""
        limits, of = LIMITS[self._material.variant.precision], f"{len(reference)} videos"
        same = compare_proposals(reference, found)
        recall = None
        if (
            self._request.dataset is not None and self._truth
        ):  # those of synthetic videos are random
            recall = evaluate_recall(self._truth, found, subset=None).summary()
        accuracy: dict[str, Accuracy] = {
            net: Accuracy(
                max_difference=difference,
                of=of,
                broken=tuple(limits.broken({net: difference}, same=1.0)),
            )
            for net, difference in differences.items()
        }
        accuracy["bsn"] = Accuracy(
            recall=recall,
            max_difference=max(differences.values()),
            same=same.same,
            of=of,
            broken=tuple(limits.broken(differences, same.settled)),
        )
        return accuracy

    def _time_whole(self, held: Sequence[Batch], size: int) -> None:
        """Time the pipeline end to end, then its halves, each with its own threads."""
        pool, streams, steps = self._pool, self._request.streams, self._steps
        pipeline, jobs = self._material.pipeline, self._material.jobs
        rounds = -(-self.samples // len(self._held))

        def whole(number: int) -> None:
            write_result_file(pipeline.run(jobs, batch=size), self._result)

        def tem_half(number: int) -> None:
            run_tem_half(pool, streams, steps, self._pieces, size)

        def pem_half(number: int) -> None:
            run_pem_half(pool, streams, steps, held, rounds, self._scratch)

        for name, work, samples in (
            ("bsn", whole, self.samples),
            ("tem", tem_half, self.samples),
            ("pem", pem_half, rounds * len(self._held)),
        ):
            self._timer.time(
                name, "end-to-end", size, work, samples=samples, streams=1, least=_WHOLE
            )

    def _time_latency(self, held: Sequence[Batch]) -> None:
        """Time one video at a time, from features in memory to proposals."""
        features = [item for batch in held for item in batch.features]
        propose = self._material.pipeline.propose

        def work(number: int) -> object:
            return propose(features[number % len(features)])

        self._timer.time("latency", "step", 1, work, streams=1, least=_LATENCY)

    def _time_files(self, found: Mapping[str, Proposals]) -> None:
        """Time the work that is done once for all videos; a batch is the whole set."""
        time = partial(self._timer.time, scope="step", streams=1, least=_WHOLE)
        if self._config.mode == "window":
            held = [self._steps.walk(part) for part in chunked(self._held, _HELD)]
            suppress = suppression_of_recordings(self._config, held)
            time("soft-nms", batch=len(self._held), work=suppress)
        time("write", batch=self.samples, work=lambda _: write_result(self._scratch, found))
        if self._truth:
            evaluate = partial(evaluate_recall, self._truth, self._result, subset=None)
            time("evaluate", batch=self.samples, work=lambda _: evaluate())

    def _workload(self, held: Sequence[Batch], found: Mapping[str, Proposals]) -> machine.Workload:
        opened = self._material.dataset.open
        return machine.Workload(
            snippets=fmean(len(item) for batch in held for item in batch.features),
            read_bytes=fmean(
                opened(piece.id).values.dtype.itemsize * item.values.size
                for batch in held
                for piece, item in zip(batch.pieces, batch.features, strict=True)
            ),
            candidates=fmean(len(c) for batch in held for c in batch.candidates),
            proposals=sum(map(len, found.values())) / self.samples,
            result_bytes=self._result.stat().st_size / self.samples,
        )


def _first_pieces(pieces: Sequence[Piece], count: int) -> list[Piece]:
    """Return the first pieces, at least `count` if available, up to the end of a recording."""
    for number, piece in enumerate(pieces[:_LONGEST], start=1):
        if number >= count and (piece.window is None or piece.window.is_final):
            return list(pieces[:number])
    return list(pieces[:_LONGEST])


def _with_accuracy(stage: Stage, batch: int, accuracy: Mapping[str, Accuracy]) -> Stage:
    """Add the accuracy of its outputs to a network, or of the proposals to the whole."""
    scope = "end-to-end" if stage.name == "bsn" else "interface"
    if stage.name not in accuracy or (stage.scope, stage.batch) != (scope, batch):
        return stage
    return msgspec.structs.replace(stage, accuracy=accuracy[stage.name])
