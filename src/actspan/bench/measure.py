"""Time a piece of work until its median settles, from as many threads as shall run it at once."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from time import perf_counter, process_time

from actspan.bench.memory import peak_memory

__all__ = ["Measured", "Rule", "is_settled", "measure"]

_BLOCKS = 40  # looks at the clock until the limit


@dataclass(frozen=True, slots=True)
class Rule:
    """When to stop: the median has settled, or time is up.

    The median has settled when that of all repeats so far and that of the first half of them
    differ by at most `tolerance`, after at least `least` repeats and a tenth of the limit.

    Attributes
    ----------
    limit : float
        Seconds after which there is an end, settled or not.
    least : int
        Repeats that are made in any case.
    tolerance : float
        Share of the median.
    warmup : int
        Runs of each thread before that, which do not count.
    """

    limit: float = 3.0
    least: int = 20
    tolerance: float = 0.02
    warmup: int = 2

    def is_over(self, seconds: Sequence[float], spent: float) -> bool:
        """Whether to stop after repeats of so many seconds, `spent` by the clock on the wall."""
        if len(seconds) < self.least:
            return False
        early = spent < self.limit / 10
        return spent >= self.limit or (not early and is_settled(seconds, self.tolerance))


@dataclass(frozen=True, slots=True)
class Measured:
    """What repeats took.

    Attributes
    ----------
    seconds : tuple of float
        Of every repeat, in the order they were made.
    settled : bool
        Whether the median had settled at the end.
    cpu_seconds : float
        Of all processors, in all repeats.
    peak_memory : int, optional
        Anonymous memory of the process, bytes, in a run of its own; None where not known.
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
        """Of the seconds."""
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """Repeats a second, of all streams together."""
        return self.streams / self.median

    @property
    def undisturbed_rate(self) -> float:
        """The same by processor time: if nobody else had used the machine."""
        return self.streams * len(self.seconds) / self.cpu_seconds


def is_settled(seconds: Sequence[float], tolerance: float) -> bool:
    """Whether the median of the first half is that of all, but for `tolerance` of it."""
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
        Called with the number of the repeat, from 0: to take other input each time.
    streams : int
        Threads that call it at the same time.
    rule : Rule, optional
    """
    rule = rule or Rule()
    barrier = Barrier(streams)  # so that no thread has the machine to itself

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
