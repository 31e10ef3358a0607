"""Timing of the stages of a benchmark, and the halves of the pipeline around each network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from itertools import chain
from pathlib import Path

from actspan.bench.bench_request import BenchRequest
from actspan.bench.result import BatchesPerSecond, Stage, Timing, samples_of
from actspan.bench.timing import Rule, measure
from actspan.core.parallel import chunked, map_ordered
from actspan.core.progress import Progress
from actspan.deploy.verify.variants import Variant
from actspan.jobs.run import write_result_file
from actspan.pipeline.outcomes import Outcome, Piece
from actspan.pipeline.recordings import Recordings
from actspan.pipeline.stages import Batch, Scope, Steps

__all__ = ["StageTimer", "run_pem_half", "run_tem_half"]

_OF_NETWORKS = ("tem", "pem", "bsn", "latency")  # stages that depend on backend and precision


class StageTimer:
    """A timer that reports progress and records `stages`."""

    def __init__(self, request: BenchRequest, variant: Variant, progress: Progress) -> None:
        self._request, self._variant, self._progress = request, variant, progress
        self._total = 9 * len(request.batches) + 8
        self._done = 0
        self.stages: list[Stage] = []

    def announce(self, what: str) -> None:
        """Report which work starts now."""
        self._progress(what, min(self._done, self._total), self._total)
        self._done += 1

    def rule(self, least: int = 20) -> Rule:
        """Return the rule that ends a measurement after at least this many repeats."""
        return Rule(limit=self._request.seconds, least=least)

    def time(
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
        request = self._request
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
            backend=self._variant.backend if has_networks else "",
            precision=self._variant.precision if has_networks else "",
            threads=request.threads if has_networks else 1,
            streams=1 if alone else request.streams,
            cpu_seconds=measured.cpu_seconds * share,
            peak_memory_bytes=measured.peak_memory,
        )
        self.stages.append(stage)

    def notes(self) -> Iterator[str]:
        """Yield a note if measurements did not settle."""
        rule = self.rule()
        moving = sum(s.settled is False for s in self.stages)
        if moving:
            yield (
                f"the median of {moving} of {len(self.stages)} measurements had not settled to "
                f"{rule.tolerance:.0%} within {rule.limit:g} s; repeat on a quiet machine, or with "
                "more --seconds"
            )


def run_tem_half(
    pool: Executor, streams: int, steps: Steps, pieces: Sequence[Piece], batch: int
) -> None:
    """Run from features on disk to candidates with BSP features, and discard them."""

    def work(chunk: Sequence[Piece]) -> None:
        features = steps.load(chunk)
        steps.candidates(chunk, features, steps.tem(steps.rescale(features)))

    for _ in map_ordered(pool, work, chunked(pieces, batch), ahead=2 * streams):
        pass


def run_pem_half(
    pool: Executor, streams: int, steps: Steps, batches: Sequence[Batch], rounds: int, path: Path
) -> None:
    """Run from BSP features in memory to a result file, `rounds` times over the same batches."""
    windows = steps.config.mode == "window"

    def work(task: tuple[int, Batch]) -> list[Outcome]:
        number, batch = task
        confidence = steps.pem(batch.rows)
        proposals = None if windows else steps.suppress(batch, confidence)
        outcomes = batch.outcomes(confidence, proposals)
        return [replace(outcome, id=f"{number}-{outcome.id}") for outcome in outcomes]

    tasks = ((number, batch) for number in range(rounds) for batch in batches)
    outcomes = chain.from_iterable(map_ordered(pool, work, tasks, ahead=2 * streams))
    if windows:  # the proposals of a recording are added at its last window
        write_result_file(map(Recordings(steps.config).add, outcomes), path)
    else:
        write_result_file(outcomes, path)
