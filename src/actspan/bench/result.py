"""What a benchmark measured, as typed JSON: one form for ours and for the logs of others.

Samples a second and batches a second are two types; a type checker refuses one for the other, and
a stage that states both is refused where they disagree.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NewType, Self

import msgspec

from actspan.bench.machine import Environment, Roof
from actspan.data.decoding import NOT_JSON
from actspan.errors import BenchError
from actspan.files import atomic_file

__all__ = [
    "FORMAT",
    "Accuracy",
    "BatchesPerSecond",
    "BenchResult",
    "Cost",
    "Environment",
    "Roof",
    "SamplesPerSecond",
    "Scope",
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

# interface: the runtime's call alone; end-to-end: everything, as the clock on the wall saw it;
# step: one of the other things that are done
Scope = Literal["interface", "end-to-end", "step"]


def samples_of(rate: BatchesPerSecond, batch: int) -> SamplesPerSecond:
    """Samples a second of whole batches."""
    return SamplesPerSecond(rate * batch)


def batches_of(rate: SamplesPerSecond, batch: int) -> BatchesPerSecond:
    """Whole batches a second."""
    return BatchesPerSecond(rate / batch)


class Timing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds that one batch takes, over repeats; None where a tool does not say.

    Attributes
    ----------
    repeats : int, optional
        How many batches were timed.
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
        """Statistics of measured seconds, at least one; percentiles are of a run that was made."""
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
    """The smallest value that at least `percent` of all do not exceed."""
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was answered while the clock ran: a fast wrong answer is no result.

    Attributes
    ----------
    recall : mapping of str to float, optional
        AR@AN and AUC in percent.
    max_difference : float, optional
        Largest absolute difference of an output from the checkpoint's.
    same : float, optional
        Share of the checkpoint's proposals with the same segment at the same rank, in [0, 1].
    of : str
        What was run on, for people.
    broken : tuple of str
        The limits of its precision that it does not keep; such a speed is worth nothing.
    """

    recall: Mapping[str, float] | None = None
    max_difference: float | None = None
    same: float | None = None
    of: str = ""
    broken: tuple[str, ...] = ()


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sample costs at least, and how near that was come to.

    Attributes
    ----------
    flops : float
        Operations on floating-point numbers.
    bytes : float
        Moved to or from memory if nothing is moved twice.
    share : float, optional
        Measured rate by the rate that the machine's roof allows.
    """

    flops: float
    bytes: float
    share: float | None = None


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that was timed, at one batch size.

    Attributes
    ----------
    name : str
        `tem`, `pem`, `bsn` (all of it), or a step: `read`, `rescale`, `candidates` (with BSP
        features), `soft-nms`, `write`, `evaluate`, `latency`.
    scope : Scope
        What the figures include.
    batch : int, optional
        Samples (videos) in a batch; None where a log does not say.
    samples_per_second, batches_per_second : float, optional
        Kept apart by name; where both are given, they differ by `batch`. Of ours: streams x batch
        / median seconds.
    seconds : Timing, optional
        Of a batch.
    settled : bool, optional
        Whether the median had stopped moving when the clock was stopped.
    backend, precision : str
        As `actspan backends` names them; empty where not known.
    threads, streams : int, optional
        Threads that share a call, and calls at the same time.
    cpu_seconds : float, optional
        Of all threads, in all repeats.
    peak_memory_bytes : int, optional
        Anonymous memory of the process.
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
        The model and the videos, for people; says what is made up.
    command : str
        To repeat it.
    created : str
        Date and time, ISO 8601.
    notes : tuple of str
        What a reader must know: what did not settle, noise.
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
    """A result from JSON.

    Raises
    ------
    BenchError
        It is not one, or says impossible things; names `where` and the key.
    """
    try:
        return msgspec.json.decode(content, type=BenchResult)
    except NOT_JSON as error:  # ValidationError is one
        raise BenchError(f"{where}: not a result of actspan bench: {error}") from error


def write_result(result: BenchResult, path: Path) -> None:
    """Write a result as JSON, whole or not at all."""
    with atomic_file(path) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
