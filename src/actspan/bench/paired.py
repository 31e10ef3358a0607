"""Paired timing of two commands, so that drift of the machine cancels.

The speed of a machine drifts during a measurement. In a round the two run as A B B A, so a linear
drift within a round affects both equally. A round gives one ratio, (B + B) / (A + A); the result
is the median of the rounds' ratios, with a bootstrap interval over rounds.
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from actspan.core.errors import BenchError

__all__ = ["FEWEST_ROUNDS", "Pair", "Run", "run_command", "time_pair"]

FEWEST_ROUNDS = 5  # with fewer, the interval is meaningless
CONFIDENCE = 0.95
_RESAMPLES = 10_000
_LAST_LINES = 5  # of the error output of a failed command


@dataclass(frozen=True, slots=True)
class Run:
    """Times of one run, seconds: wall time and processor time."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two commands, timed in rounds of A B B A.

    Attributes
    ----------
    a, b : tuple of Run
        Two runs per round, in order.
    ratio : float
        Time of B divided by time of A: 1.05 is 5 % slower.
    low, high : float
        Bootstrap interval of the ratio.
    """

    a: tuple[Run, ...]
    b: tuple[Run, ...]
    ratio: float
    low: float
    high: float

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return len(self.a) // 2

    def is_slower(self, limit: float) -> bool:
        """Check that the whole interval says that B is slower than A by more than `limit`."""
        return self.low > 1 + limit


def run_command(command: str) -> Run:
    """Run a command without a shell and discard its output.

    Raises
    ------
    BenchError
        The command cannot be parsed or started, or exits with an error; quotes its last output.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BenchError(f"command {command!r}: {error}") from error
    if not words:
        raise BenchError("an empty command cannot be timed")
    before, began = _cpu_seconds(), time.perf_counter()
    try:
        done = subprocess.run(  # noqa: S603 the user's own command, and no shell
            words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
    except OSError as error:
        raise BenchError(f"command {command!r} does not start: {error.strerror}") from error
    run = Run(time.perf_counter() - began, _cpu_seconds() - before)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
        raise BenchError("\n".join([f"command {command!r} ended with {done.returncode}:", *said]))
    return run


def _cpu_seconds() -> float:
    """Return the processor time of all children that have ended."""
    try:
        import resource
    except ImportError:  # Windows
        times = os.times()
        return times.children_user + times.children_system
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # finer than os.times, which counts ticks
    return used.ru_utime + used.ru_stime


def time_pair(
    run_a: Callable[[], Run],
    run_b: Callable[[], Run],
    *,
    rounds: int,
    warmup: int = 1,
    report: Callable[[int], None] = lambda done: None,
) -> Pair:
    """Time two callables in rounds of A B B A.

    Parameters
    ----------
    rounds : int
        At least `FEWEST_ROUNDS`.
    warmup : int
        Runs of each before the first round, not counted.
    report : callable
        Called with the number of finished rounds.

    Raises
    ------
    BenchError
        There are too few rounds, or a run fails.
    """
    if rounds < FEWEST_ROUNDS:
        raise BenchError(f"{rounds} rounds are too few: at least {FEWEST_ROUNDS}")
    for _ in range(warmup):
        run_a()
        run_b()
    a, b = [], []
    for done in range(1, rounds + 1):
        first, second, third, fourth = run_a(), run_b(), run_b(), run_a()
        a += [first, fourth]
        b += [second, third]
        report(done)
    ratios = [
        (b[i].seconds + b[i + 1].seconds) / (a[i].seconds + a[i + 1].seconds)
        for i in range(0, 2 * rounds, 2)
    ]
    return Pair(tuple(a), tuple(b), statistics.median(ratios), *_interval(ratios))


def _interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Compute the percentile bootstrap of the median; the same ratios give the same interval."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(np.asarray(ratios), size=(_RESAMPLES, len(ratios)))
    edges = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.quantile(np.median(drawn, axis=1), edges)
    return float(low), float(high)
