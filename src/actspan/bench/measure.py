"""Time work on one or more threads until the median settles."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from time import perf_counter, process_time

from actspan.bench.memory import peak_memory

__all__ = ["Measured", "Rule", "is_settled", "measure"]

_BLOCKS = 40  # checks of the clock until the limit


@dataclass(frozen=True, slots=True)
class Rule:
    """Rule that stops a measurement: the median has settled, or time is up.

    The median has settled when the medians of all repeats and of the first half of them differ
    by at most `tolerance`, after at least `least` repeats and a tenth of the limit.

    Attributes
    ----------
    limit : float
        Seconds after which the measurement stops, settled or not.
    least : int
        Minimum number of repeats.
    tolerance : float
        Allowed difference, as a share of the median.
    warmup : int
        Runs of each thread before the measurement, which do not count.
    """

    limit: float = 3.0
    least: int = 20
    tolerance: float = 0.02
    warmup: int = 2

    def is_over(self, seconds: Sequence[float], spent: float) -> bool:
        """Check whether to stop, given the seconds of the repeats and the wall time spent."""
        if len(seconds) < self.least:
            return False
        early = spent < self.limit / 10
        return spent >= self.limit or (not early and is_settled(seconds, self.tolerance))


@dataclass(frozen=True, slots=True)
class Measured:
    """Times of repeats.

    Attributes
    ----------
    seconds : tuple of float
        Wall time of every repeat, in order.
    settled : bool
        True if the median had settled at the end.
    cpu_seconds : float
        Processor time of all repeats.
    peak_memory : int, optional
        Peak anonymous memory of the process, bytes, from a separate run; None if not known.
    streams : int
        Repeats that ran at the same time.
    """

    seconds: tuple[float, ...]
    settled: bool
    cpu_seconds: float
    peak_memory: int | None
    streams: int

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """Repeats per second, over all streams."""
        return self.streams / self.median

    @property
    def undisturbed_rate(self) -> float:
        """Repeats per second of processor time, which other programs do not lower."""
        return self.streams * len(self.seconds) / self.cpu_seconds


def is_settled(seconds: Sequence[float], tolerance: float) -> bool:
    """Check that the medians of the first half and of all differ by at most `tolerance`."""
    if len(seconds) < 2:
        return False
    whole = statistics.median(seconds)
    return abs(statistics.median(seconds[: len(seconds) // 2]) - whole) <= tolerance * whole


def measure(
    work: Callable[[int], object], *, streams: int = 1, rule: Rule | None = None
) -> Measured:
    """Time `work` in a loop on each of `streams` threads.

    Parameters
    ----------
    work : callable
        Called with the number of the repeat, from 0, so that it can vary its input.
    streams : int
        Threads that call it at the same time.
    rule : Rule, optional
    """
    rule = rule or Rule()
    barrier = Barrier(streams)  # No thread may run alone, so they start together.

    def loop(stream: int, first: int, calls: int) -> list[float]:
        taken = []
        barrier.wait()
        for number in range(first + stream, first + stream + calls * streams, streams):
            began = perf_counter()
            work(number)
            taken.append(perf_counter() - began)
        return taken

    with ThreadPoolExecutor(streams) as pool:

        def block(first: int, calls: int) -> list[float]:
            tasks = [pool.submit(loop, stream, first, calls) for stream in range(streams)]
            columns = [task.result() for task in tasks]
            return [seconds for row in zip(*columns, strict=True) for seconds in row]

        block(0, rule.warmup)
        seconds: list[float] = []
        spent = cpu = 0.0
        calls = 1
        while not rule.is_over(seconds, spent):
            began, used = perf_counter(), process_time()
            seconds += block(len(seconds), calls)
            spent += perf_counter() - began
            cpu += process_time() - used
            calls = max(1, int(rule.limit / _BLOCKS / max(statistics.median(seconds), 1e-9)))
        peak = peak_memory(lambda: block(0, 1))
    return Measured(tuple(seconds), is_settled(seconds, rule.tolerance), cpu, peak, streams)
