"""The roof of arithmetic: matrix products with the best kernel of NumPy's BLAS.

Variables such as OPENBLAS_CORETYPE pin a kernel when a process starts, and may halve its rate. The
products therefore run in a process of its own, without these variables. It computes one round
whenever it is asked, so that rounds can alternate with what is measured.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict
from functools import partial
from typing import IO, Any, NamedTuple, Self

import numpy as np

from actspan.bench.timing import Run, timed
from actspan.core.errors import BenchError, require
from actspan.core.machine import core_count, cpu_flags

Shape = tuple[int, int, int, int]  # (g, m, k, n): g products of (m, k) @ (k, n)

TOO_NOISY = "too noisy: repeat"
_PINS = ("OPENBLAS_", "GOTO_", "MKL_", "BLIS_", "NVPL_BLAS_", "VECLIB_", "OMP_", "KMP_")
_TRIALS = 5  # rounds of each kernel before one is chosen
_NEAR = 1.05  # of the minimum; that many seconds reach it
_CALM = 1.1  # of the minimum; a median below it says that most rounds were undisturbed
_FULL = 0.95  # share of the cores that the products had in undisturbed rounds
_FEWEST = 3  # rounds that must reach the minimum


class AtBest(NamedTuple):
    """Minimum and median of rounds, in seconds, and whether the rounds reached their best."""

    minimum: float
    median: float
    is_reached: bool

    def times(self, factor: float) -> Self:
        """Return the times of another amount of work, such as of one video instead of many."""
        return self._replace(minimum=factor * self.minimum, median=factor * self.median)


def at_best(runs: Sequence[Run]) -> AtBest:
    """Return the minimum and the median of rounds.

    They reached their best if at least three of them, and a tenth, are within 5 % of the minimum.
    """
    seconds = [run.seconds for run in runs]
    minimum = min(seconds)
    near = sum(value <= _NEAR * minimum for value in seconds)
    is_reached = near >= max(_FEWEST, len(seconds) / 10)
    return AtBest(minimum, statistics.median(seconds), is_reached)


def had_the_cores(runs: Sequence[Run], cores: int) -> bool:
    """Check that rounds which fill `cores` had them for themselves where they were fastest."""
    limit = _NEAR * min(run.seconds for run in runs)
    shares = [run.cpu_seconds / (run.seconds * cores) for run in runs if run.seconds <= limit]
    return statistics.median(shares) >= _FULL


def was_calm(rounds: Sequence[Run], every: Sequence[Run], cores: int) -> bool:
    """Check that the machine was at its best during these `rounds` of all `every` of the roof."""
    if len(rounds) < _FEWEST:
        return False
    limit = _CALM * min(run.seconds for run in every)
    median = statistics.median(run.seconds for run in rounds)
    return median <= limit and had_the_cores(rounds, cores)


def matrix_products(shapes: Sequence[Shape]) -> Callable[[int], object]:
    """Return a function that computes these products in float32; it ignores its argument."""
    rng = np.random.default_rng(0)
    pairs = [
        (rng.random((g, m, k), dtype=np.float32), rng.random((g, k, n), dtype=np.float32))
        for g, m, k, n in shapes
    ]

    def run(number: int) -> object:
        return [np.matmul(a, b) for a, b in pairs]

    return run


def flops_of(shapes: Sequence[Shape]) -> float:
    """Count the multiplications and additions of the products."""
    return float(sum(2 * g * m * k * n for g, m, k, n in shapes))


class RoofProcess(AbstractContextManager["RoofProcess"]):
    """Matrix products on every core, one BLAS thread each, in a process without pinned kernels.

    Parameters
    ----------
    shapes : sequence of Shape
        Products of a round, which every core computes.
    instructions : "" or "avx2"
        The widest vector instructions that the BLAS may use; by default those of the processor.

    Attributes
    ----------
    kernel : str
        Name of the kernel that the BLAS used: the fastest of its own choice and of that for the
        widest instructions.
    cores : int
        Cores that compute in a round.
    rounds : list of Run
        All rounds so far.
    """

    def __init__(self, shapes: Sequence[Shape], instructions: str = "") -> None:
        require("threadpoolctl", extra="bench", purpose="the roof of matrix products")
        self.cores = core_count()
        self.flops = flops_of(shapes) * self.cores  # of a round
        self.rounds: list[Run] = []
        workers: dict[str, _Worker] = {}
        try:
            for pinned in _pins_of(instructions):
                worker = _Worker(shapes, self.cores, pinned)
                if workers.setdefault(worker.kernel, worker) is not worker:
                    worker.close()
            trials = {name: [w.round() for _ in range(_TRIALS)] for name, w in workers.items()}
            self.kernel = min(trials, key=lambda name: min(run.seconds for run in trials[name]))
            self._worker = workers.pop(self.kernel)
        finally:
            for worker in workers.values():
                worker.close()

    def __exit__(self, *details: object) -> None:
        self._worker.close()

    def round(self) -> Run:
        """Compute the products once on every core; return the time."""
        self.rounds.append(self._worker.round())
        return self.rounds[-1]

    @property
    def gflops(self) -> float:
        """Operations per second of the fastest round, in units of 1e9."""
        return self.flops / at_best(self.rounds).minimum / 1e9

    @property
    def is_reached(self) -> bool:
        """Return whether rounds reached the best of the machine, with all cores for themselves."""
        return at_best(self.rounds).is_reached and had_the_cores(self.rounds, self.cores)

    def was_calm(self, part: slice = slice(None)) -> bool:
        """Check that the machine was at its best during a part of the rounds."""
        return self.is_reached and was_calm(self.rounds[part], self.rounds, self.cores)


def _pins_of(instructions: str) -> Iterator[dict[str, str]]:
    """Yield variables that choose a kernel: none, and OpenBLAS's for the widest instructions."""
    flags = cpu_flags()
    if instructions == "avx2":
        yield {"OPENBLAS_CORETYPE": "Haswell", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
        return
    yield {}
    if "avx512f" in flags:
        yield {"OPENBLAS_CORETYPE": "SkylakeX"}
    elif "avx2" in flags:
        yield {"OPENBLAS_CORETYPE": "Haswell"}


def free_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without those that pin kernels or threads of a BLAS."""
    return {name: value for name, value in environment.items() if not name.startswith(_PINS)}


class _Worker:
    """A process that computes a round per line of its input."""

    def __init__(self, shapes: Sequence[Shape], cores: int, pinned: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 this module, by this interpreter
            [sys.executable, "-m", __name__],
            env={**free_environment(os.environ), **pinned},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.kernel = str(self._ask({"shapes": shapes, "cores": cores})["kernel"])
        except BaseException:
            self.close()
            raise

    def round(self) -> Run:
        return Run(**self._ask({}))

    def _ask(self, question: Mapping[str, object]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # no answer follows
            _write_line(self._process.stdin, question)
        answer = self._process.stdout.readline()
        if not answer:
            raise BenchError("the process that measures matrix products ended; see its message")
        return dict(json.loads(answer))

    def close(self) -> None:
        self._process.communicate()  # closes its input, which ends it


def serve() -> None:
    """Read the products from the first line of input, then compute them once per line."""
    control = require("threadpoolctl", extra="bench", purpose="the roof of matrix products")
    given = json.loads(sys.stdin.readline())
    run, cores = matrix_products(given["shapes"]), given["cores"]
    with control.threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(cores) as pool:
        compute = partial(_on_every_core, pool, run, cores)
        compute()
        _write_line(sys.stdout, {"kernel": _kernel_name(control)})
        for _ in sys.stdin:
            taken = timed(compute)
            _write_line(sys.stdout, asdict(taken))


def _write_line(stream: IO[str], value: Mapping[str, object]) -> None:
    stream.write(json.dumps(value) + "\n")
    stream.flush()


def _on_every_core(pool: ThreadPoolExecutor, run: Callable[[int], object], cores: int) -> None:
    list(pool.map(run, range(cores)))


def _kernel_name(control: Any) -> str:
    """Return library and kernel of NumPy's BLAS, such as "openblas SkylakeX"."""
    for library in control.threadpool_info():
        if library["user_api"] == "blas":
            return " ".join(filter(None, (library["internal_api"], library.get("architecture"))))
    return "BLAS"


if __name__ == "__main__":
    serve()
