"""Timing of work, recorded as stages of a result."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from actspan.bench.measure import Measured, Rule, measure
from actspan.bench.result import BatchesPerSecond, Stage, Timing, samples_of
from actspan.bench.setup import Report, Request
from actspan.deploy.verify.variants import Variant
from actspan.pipeline.stages import Scope

__all__ = ["Clock"]

_OF_NETWORKS = ("tem", "pem", "bsn", "latency")  # stages that depend on backend and precision


class Clock:
    """A timer that reports progress and records the stages.

    Parameters
    ----------
    request : Request
    variant : Variant
    report : callable, optional
    total : int
        Number of progress reports to come.
    """

    def __init__(
        self, request: Request, variant: Variant, report: Report | None, total: int
    ) -> None:
        self._request, self._variant = request, variant
        self._report, self._total, self._told = report, total, 0
        self.stages: list[Stage] = []

    def tell(self, what: str) -> None:
        """Report which work starts now."""
        if self._report is not None:
            self._report(what, min(self._told, self._total), self._total)
        self._told += 1

    def rule(self, least: int = 20) -> Rule:
        """Return the rule that ends a measurement."""
        return Rule(limit=self._request.seconds, least=least)

    def time(
        self,
        name: str,
        scope: Scope,
        batch: int,
        work: Callable[[int], object],
        *,
        samples: int | None = None,
        at_once: int | None = None,
        least: int = 20,
    ) -> None:
        """Time `work` and record it as a stage.

        Parameters
        ----------
        batch : int
            Batch size of the stage.
        samples : int, optional
            Samples that one call of `work` processes. Default: `batch`.
        at_once : int, optional
            Threads that call `work`; 1 for work that has its own threads. Default: the streams of
            the request.
        least : int
            Minimum number of repeats.
        """
        self.tell(f"{name}, batch {batch}")
        streams = self._request.streams
        measured = measure(work, streams=at_once or streams, rule=self.rule(least))
        self.stages.append(self._stage(name, scope, batch, measured, samples or batch))

    def _stage(
        self, name: str, scope: Scope, batch: int, measured: Measured, samples: int
    ) -> Stage:
        share = batch / samples  # of a batch in one repeat
        rate = BatchesPerSecond(measured.rate / share)
        has_networks = name in _OF_NETWORKS
        alone = measured.streams == 1 and scope != "end-to-end"
        return Stage(
            name=name,
            scope=scope,
            batch=batch,
            samples_per_second=samples_of(rate, batch),
            batches_per_second=rate,
            seconds=Timing.of([s * share for s in measured.seconds]),
            settled=measured.settled,
            backend=self._variant.backend if has_networks else "",
            precision=self._variant.precision if has_networks else "",
            threads=self._request.threads if has_networks else 1,
            streams=1 if alone else self._request.streams,
            cpu_seconds=measured.cpu_seconds * share,
            peak_memory_bytes=measured.peak_memory,
        )

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
