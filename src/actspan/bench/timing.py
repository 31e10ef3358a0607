"""Timing: of work until its median settles, and of several contenders in turn; memory.

The speed of a machine drifts during a measurement. `interleave` therefore runs contenders forwards
and backwards in turn, A B C C B A, so that a linear drift affects all equally. `time_pair` does so
with two: a round A B B A gives one ratio, (B + B) / (A + A); the result is the median of the
rounds' ratios, with a bootstrap interval over rounds.
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Barrier, Event, Thread
from time import perf_counter, process_time

import numpy as np

from actspan.core.errors import BenchError
from actspan.core.progress import Progress, no_progress

FEWEST_ROUNDS = 5  # with fewer, the interval is meaningless
_CONFIDENCE = 0.95
_RESAMPLES = 10_000
_LAST_LINES = 5  # of the error output of a failed command
_BLOCKS = 40  # checks of the clock until the limit
_BETWEEN = 15  # calls of `between` until the limit
_SAMPLING = 0.005  # seconds between two samples of the memory


@dataclass(frozen=True, slots=True)
class Rule:
    """Rule that stops a measurement: the median has settled, or time is up.

    The median has settled when the medians of all repeats and of the first half of them differ
    by at most `tolerance`, after at least `least` repeats and a tenth of the limit.
    """

    limit: float = 3.0  # seconds after which the measurement stops, settled or not
    least: int = 20  # repeats
    tolerance: float = 0.02  # share of the median
    warmup: int = 2  # runs of each thread that do not count

    def is_over(self, seconds: Sequence[float], spent: float) -> bool:
        """Check whether to stop, given the seconds of the repeats and the wall time spent."""
        if len(seconds) < self.least or spent < self.limit / 10:
            return False
        return spent >= self.limit or is_settled(seconds, self.tolerance)


@dataclass(frozen=True, slots=True)
class Measured:
    """Times of repeats, in seconds."""

    seconds: tuple[float, ...]  # wall time of every repeat, in order
    settled: bool
    cpu_seconds: float  # of all repeats
    peak_memory: int | None  # bytes, from a separate run; None if not known
    streams: int  # repeats that ran at the same time

    @property
    def rate(self) -> float:
        """Repeats per second, over all streams, by the median."""
        return self.streams / statistics.median(self.seconds)

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
    work: Callable[[int], object],
    *,
    streams: int = 1,
    rule: Rule | None = None,
    between: Callable[[], object] = lambda: None,
) -> Measured:
    """Time `work` in a loop on each of `streams` threads.

    `work` is called with the number of the repeat, from 0, so that it can vary its input. Several
    times before, between and after the repeats, `between` is called.
    """
    rule = rule or Rule()
    barrier = Barrier(streams)  # No thread may run alone, so they start together.

    def loop(stream: int, first: int, calls: int) -> list[float]:
        seconds_per_call = []
        barrier.wait()
        for number in range(first + stream, first + stream + calls * streams, streams):
            began = perf_counter()
            work(number)
            seconds_per_call.append(perf_counter() - began)
        return seconds_per_call

    with ThreadPoolExecutor(streams) as pool:

        def block(first: int, calls: int) -> list[float]:
            tasks = [pool.submit(loop, stream, first, calls) for stream in range(streams)]
            columns = [task.result() for task in tasks]
            return [seconds for row in zip(*columns, strict=True) for seconds in row]

        block(0, rule.warmup)
        seconds: list[float] = []
        spent = cpu = called = 0.0
        calls = 1
        between()
        while not rule.is_over(seconds, spent):
            run = timed(lambda: seconds.extend(block(len(seconds), calls)))  # noqa: B023
            spent, cpu = spent + run.seconds, cpu + run.cpu_seconds
            calls = max(1, int(rule.limit / _BLOCKS / max(statistics.median(seconds), 1e-9)))
            if spent - called > rule.limit / _BETWEEN:
                between()
                called = spent
        between()
        peak = peak_memory(lambda: block(0, 1), children=False)
    return Measured(tuple(seconds), is_settled(seconds, rule.tolerance), cpu, peak, streams)


def anonymous_memory(process: int, *, children: bool = True) -> int:
    """Return RssAnon + RssShmem of a process and its children, bytes; 0 if not known (Linux)."""
    total = 0
    try:
        for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += 1024 * int(line.split()[1])
        tasks = Path(f"/proc/{process}/task").glob("*/children") if children else ()
        lines = [path.read_text(encoding="utf-8") for path in tasks]
    except (FileNotFoundError, ProcessLookupError):
        return total
    return total + sum(anonymous_memory(int(child)) for line in lines for child in line.split())


def peak_memory(
    work: Callable[[], object], process: int | None = None, *, children: bool = True
) -> int | None:
    """Return the peak memory of a process (this one) while `work` ran, bytes, sampled every 5 ms.

    That of its `children` is included. Sampling costs time, so do not time the same run. None where
    the system does not report memory.
    """
    memory = partial(anonymous_memory, process or os.getpid(), children=children)
    seen = [memory()]
    done = Event()

    def watch() -> None:
        while not done.wait(_SAMPLING):
            seen.append(memory())

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    seen.append(memory())
    return max(seen) or None


@dataclass(frozen=True, slots=True)
class Run:
    """Times of one run, seconds: wall time and processor time."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two commands, timed in rounds of A B B A."""

    a: tuple[Run, ...]  # two per round, in order
    b: tuple[Run, ...]
    ratio: float  # time of B / time of A: 1.05 is 5 % slower
    low: float  # bootstrap interval of the ratio
    high: float

    def is_slower(self, limit: float) -> bool:
        """Check that the whole interval says that B is slower than A by more than `limit`."""
        return self.low > 1 + limit


def timed(work: Callable[[], object], *, processes: bool = False) -> Run:
    """Run work once; processor time is that of all threads, or of the `processes` it starts."""
    clock = _children_cpu_seconds if processes else process_time
    used, began = clock(), perf_counter()
    work()
    seconds = perf_counter() - began
    return Run(seconds, clock() - used)


def run_command(command: str) -> Run:
    """Run a command without a shell and discard its output.

    A command that cannot be started or exits with an error is a `BenchError` with its last output.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BenchError(f"command {command!r}: {error}") from error
    if not words:
        raise BenchError("an empty command cannot be timed")

    def work() -> None:
        try:
            done = subprocess.run(  # noqa: S603 the user's own command, and no shell
                words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
            )
        except OSError as error:
            raise BenchError(f"command {command!r} does not start: {error.strerror}") from error
        if done.returncode:
            output = done.stderr.decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
            lines = [f"command {command!r} ended with {done.returncode}:", *output]
            raise BenchError("\n".join(lines))

    return timed(work, processes=True)


def _children_cpu_seconds() -> float:
    """Return the processor time of all children that have ended."""
    try:
        import resource
    except ImportError:  # Windows
        times = os.times()
        return times.children_user + times.children_system
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # finer than os.times, which counts ticks
    return used.ru_utime + used.ru_stime


def interleave(
    contenders: Mapping[str, Callable[[], Run]],
    passes: int,
    *,
    warmup: int = 1,
    progress: Progress = no_progress,
) -> dict[str, list[Run]]:
    """Run all contenders in turn, every second pass backwards; return the runs of each.

    `warmup` passes before do not count.
    """
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for _ in range(warmup):
        for contender in contenders.values():
            contender()
    for number in range(passes):
        for name in list(runs)[:: -1 if number % 2 else 1]:
            runs[name].append(contenders[name]())
        progress("passes", number + 1, passes)
    return runs


def time_pair(
    run_a: Callable[[], Run],
    run_b: Callable[[], Run],
    *,
    rounds: int,
    warmup: int = 1,
    progress: Progress = no_progress,
) -> Pair:
    """Time two callables in rounds of A B B A, at least `FEWEST_ROUNDS`."""
    if rounds < FEWEST_ROUNDS:
        raise BenchError(f"{rounds} rounds are too few: at least {FEWEST_ROUNDS}")
    runs = interleave({"A": run_a, "B": run_b}, 2 * rounds, warmup=warmup, progress=progress)
    seconds = {
        name: np.array([run.seconds for run in timings]).reshape(-1, 2).sum(axis=1)
        for name, timings in runs.items()
    }
    ratios = seconds["B"] / seconds["A"]
    # Percentile bootstrap of the median; the same ratios give the same interval.
    drawn = np.random.default_rng(0).choice(ratios, size=(_RESAMPLES, rounds))
    edges = [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2]
    low, high = np.quantile(np.median(drawn, axis=1), edges)
    ratio = float(np.median(ratios))
    return Pair(tuple(runs["A"]), tuple(runs["B"]), ratio, float(low), float(high))
