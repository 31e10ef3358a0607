"""Results of benchmarks as typed JSON, the same for ActSpan and for logs of other tools.

Samples per second and batches per second are two types. A type checker refuses one for the other,
and a stage in which the two disagree is refused.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NewType, Self

import msgspec

from actspan.bench.machine import Environment, Roof
from actspan.core.errors import BenchError
from actspan.core.files import NOT_JSON, atomic_file
from actspan.pipeline.stages import Scope

__all__ = [
    "FORMAT",
    "Accuracy",
    "BatchesPerSecond",
    "BenchResult",
    "Cost",
    "Environment",
    "Roof",
    "SamplesPerSecond",
    "Stage",
    "Timing",
    "batches_of",
    "decode_result",
    "samples_of",
    "write_result",
]

FORMAT: Final = "actspan-bench-1"

SamplesPerSecond = NewType("SamplesPerSecond", float)
BatchesPerSecond = NewType("BatchesPerSecond", float)

# interface: the runtime's call alone; end-to-end: everything, in wall time; step: any other step


def samples_of(rate: BatchesPerSecond, batch: int) -> SamplesPerSecond:
    """Convert batches per second to samples per second."""
    return SamplesPerSecond(rate * batch)


def batches_of(rate: SamplesPerSecond, batch: int) -> BatchesPerSecond:
    """Convert samples per second to batches per second."""
    return BatchesPerSecond(rate / batch)


class Timing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds per batch over repeats; None where a tool does not report a value.

    Attributes
    ----------
    repeats : int, optional
        Number of timed batches.
    min, mean, median, p90, p99, max : float, optional
        Seconds.
    """

    repeats: int | None = None
    min: float | None = None
    mean: float | None = None
    median: float | None = None
    p90: float | None = None
    p99: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        for name in ("min", "mean", "median", "p90", "p99", "max"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}: seconds are finite and not negative")

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """Compute statistics of seconds, at least one; percentiles are measured values."""
        ordered = sorted(seconds)
        return cls(
            repeats=len(ordered),
            min=ordered[0],
            mean=statistics.fmean(ordered),
            median=statistics.median(ordered),
            p90=_percentile(ordered, 90),
            p99=_percentile(ordered, 99),
            max=ordered[-1],
        )


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the smallest value that at least `percent` of all values do not exceed."""
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Accuracy of the answers of a timed run.

    Attributes
    ----------
    recall : mapping of str to float, optional
        AR@AN and AUC in percent.
    max_difference : float, optional
        Largest absolute difference of an output from the checkpoint's.
    same : float, optional
        Share of the checkpoint's proposals with the same segment at the same rank, in [0, 1].
    of : str
        Description of the data, for people.
    broken : tuple of str
        Limits of the precision that are exceeded; if there are any, the speed is void.
    """

    recall: Mapping[str, float] | None = None
    max_difference: float | None = None
    same: float | None = None
    of: str = ""
    broken: tuple[str, ...] = ()


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lowest cost of a sample, and the share of the possible rate that was reached.

    Attributes
    ----------
    flops : float
        Floating-point operations per sample.
    bytes : float
        Bytes per sample moved to or from memory if nothing is moved twice.
    share : float, optional
        Measured rate divided by the rate that the machine's roof allows.
    """

    flops: float
    bytes: float
    share: float | None = None


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A timed stage at one batch size.

    Attributes
    ----------
    name : str
        `tem`, `pem`, `bsn` (all of it), or a step: `read`, `rescale`, `candidates` (with BSP
        features), `soft-nms`, `write`, `evaluate`, `latency`.
    scope : Scope
        Work that the figures include.
    batch : int, optional
        Samples (videos) per batch; None where a log does not state it.
    samples_per_second, batches_per_second : float, optional
        If both are given, they differ by the factor `batch`. In results of ActSpan: streams x
        batch / median seconds.
    seconds : Timing, optional
        Seconds per batch.
    settled : bool, optional
        True if the median had settled at the end of the measurement.
    backend, precision : str
        Names from `actspan backends`; empty if not known.
    threads, streams : int, optional
        Threads that share a call, and calls at the same time.
    cpu_seconds : float, optional
        Processor time of all threads in all repeats.
    peak_memory_bytes : int, optional
        Peak anonymous memory of the process.
    accuracy : Accuracy, optional
    cost : Cost, optional
    """

    name: str
    scope: Scope
    batch: int | None = None
    samples_per_second: SamplesPerSecond | None = None
    batches_per_second: BatchesPerSecond | None = None
    seconds: Timing | None = None
    settled: bool | None = None
    backend: str = ""
    precision: str = ""
    threads: int | None = None
    streams: int | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    accuracy: Accuracy | None = None
    cost: Cost | None = None

    def __post_init__(self) -> None:
        samples, batches = self.samples_per_second, self.batches_per_second
        for unit, rate in (("samples", samples), ("batches", batches)):
            if rate is not None and not 0 < rate < math.inf:
                raise ValueError(f"{self.name}: {unit}_per_second is {rate}: it must be positive")
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"{self.name}: batch is {self.batch}: it must be at least 1")
        if samples is None or batches is None:
            return
        if self.batch is None or not math.isclose(
            samples, samples_of(batches, self.batch), rel_tol=1e-6
        ):
            raise ValueError(
                f"{self.name}: {samples} samples/s are not {batches} batches/s of {self.batch}"
            )


class BenchResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A benchmark's result on disk.

    Attributes
    ----------
    stages : tuple of Stage
    environment : Environment, optional
    roof : Roof, optional
    material : str
        Description of the model and the videos, which says what is made up.
    command : str
        Command line that repeats the benchmark.
    created : str
        Date and time, ISO 8601.
    notes : tuple of str
        Remarks on measurements that did not settle, and on noise.
    format : str
        Always `FORMAT`.
    """

    stages: tuple[Stage, ...]
    environment: Environment | None = None
    roof: Roof | None = None
    material: str = ""
    command: str = ""
    created: str = ""
    notes: tuple[str, ...] = ()
    format: Literal["actspan-bench-1"] = FORMAT


def decode_result(content: str, *, where: str) -> BenchResult:
    """Decode a result from JSON.

    Raises
    ------
    BenchError
        The content is not a valid result; names `where` and the key.
    """
    try:
        return msgspec.json.decode(content, type=BenchResult)
    except NOT_JSON as error:  # ValidationError is one
        raise BenchError(f"{where}: not a result of actspan bench: {error}") from error


def write_result(result: BenchResult, path: Path) -> None:
    """Write a result as JSON, atomically."""
    with atomic_file(path) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
