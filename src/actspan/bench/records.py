"""Request of a benchmark, and results as typed JSON, the same for logs of other tools.

Samples per second and batches per second are two types. A type checker refuses one for the other,
and a stage in which the two disagree is refused.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, NewType, Self

import msgspec

from actspan.config.base import (
    NOT_JSON,
    Bounds,
    Config,
    ExistingBundle,
    ExistingFolder,
    OnError,
    Positive,
    Seconds,
    doc,
)
from actspan.core.errors import BenchError
from actspan.core.files import atomic_file

FORMAT: Final = "actspan-bench-1"
WHOLE = ("bsn", "pipeline")  # names of all stages together, of BSN and of other models
CHANNELS, LENGTH = 400, 100  # of published networks

SamplesPerSecond = NewType("SamplesPerSecond", float)
BatchesPerSecond = NewType("BatchesPerSecond", float)
Scope = Literal["interface", "end-to-end", "step"]


def samples_of(rate: BatchesPerSecond, batch: int) -> SamplesPerSecond:
    """Convert batches per second to samples per second."""
    return SamplesPerSecond(rate * batch)


class BenchRequest(Config, frozen=True, kw_only=True):
    """Request of `run_benchmark`; `command` is the command line that repeats it."""

    model: Annotated[
        ExistingBundle | None,
        doc(
            "A bundle: a folder, an archive, a URL or hf://OWNER/NAME. [default: synthetic "
            "networks of published sizes]",
            group="Model",
        ),
    ] = None
    dataset: Annotated[
        ExistingFolder | None, doc("A dataset folder. [default: synthetic features]", group="Input")
    ] = None
    subset: Annotated[
        str | None,
        doc(
            "Use only the videos of this subset: validation, ... [default: all]",
            "NAME",
            group="Input",
        ),
    ] = None
    videos: Annotated[
        Positive | None,
        doc("Use at most N videos. [default: all, or 128 synthetic ones]", group="Input"),
    ] = None
    batches: Annotated[
        tuple[Positive, ...], doc("Videos per batch; may be repeated.", group="Speed")
    ] = (1, 16)
    backend: Annotated[
        str,
        doc("Inference runtime, with its precision; see actspan backends.", "NAME", group="Speed"),
    ] = "auto"
    variant: Annotated[
        str,
        doc("Variant of the graphs of the bundle: fp16 uses tem.fp16.onnx.", "NAME", group="Model"),
    ] = ""
    threads: Annotated[Positive, doc("Threads per call.", group="Speed")] = 1
    streams: Annotated[
        Positive, doc("Calls that run at the same time. [default: cores / threads]", group="Speed")
    ] = 1
    seconds: Annotated[
        Seconds,
        doc(
            "Longest time per measurement; it ends earlier when its median settles.",
            "SECONDS",
            group="Speed",
        ),
    ] = 3.0
    channels: Annotated[Positive, doc("Channels of synthetic networks.", group="Model")] = CHANNELS
    length: Annotated[int, Bounds(2), doc("Cells of synthetic networks.", group="Model")] = LENGTH
    snippets: Annotated[
        Positive | None,
        doc("Snippets of synthetic videos. [default: as many as cells]", group="Input"),
    ] = None
    on_error: Annotated[
        OnError, doc("Stop at problems in the dataset, or skip what cannot be used.", group="Input")
    ] = "fail"
    command: str = ""


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Machine and software of a measurement."""

    cpu: str
    cores: int  # that the process may use
    system: str
    cpu_flags: tuple[str, ...] = ()  # instruction sets that matter for speed: avx2, amx_tile, ...
    variables: Mapping[str, str] = msgspec.field(default_factory=dict)  # OMP_NUM_THREADS, ...
    versions: Mapping[str, str] = msgspec.field(default_factory=dict)  # of Python and libraries
    load_average: float | None = None  # of the last minute before the start
    sgemm_gflops: float | None = None  # rate of a fixed matrix product before all measurements
    sgemm_spread: float | None = None  # standard deviation of its times over their mean
    sgemm_after_gflops: float | None = None


class Roof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Highest rates of the machine, measured on all cores."""

    gflops: float  # matrix products of TEM's sizes in single precision
    kernel: str = ""  # of the BLAS that computed them
    gigabytes_per_second: float  # read and written by copies of large arrays
    cache_gigabytes_per_second: float  # by repeated copies of the size of a video's features


class Timing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds per batch over repeats; None where a tool does not report a value."""

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

        def percentile(percent: int) -> float:
            return ordered[math.ceil(len(ordered) * percent / 100) - 1]

        return cls(
            repeats=len(ordered),
            min=ordered[0],
            mean=statistics.fmean(ordered),
            median=statistics.median(ordered),
            p90=percentile(90),
            p99=percentile(99),
            max=ordered[-1],
        )


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Accuracy of the output of a timed run."""

    recall: Mapping[str, float] | None = None  # AR@AN and AUC, percent
    max_difference: float | None = None  # largest, of an output from the checkpoint's
    same: float | None = None  # share of the checkpoint's proposals found at the same rank, [0, 1]
    of: str = ""  # description of the data, for people
    broken: tuple[str, ...] = ()  # exceeded limits of the precision; if any, the speed is void


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lowest cost of a sample, and the share of the possible rate that was reached."""

    flops: float  # floating-point operations per sample
    bytes: float  # moved per sample, if nothing is moved twice
    share: float | None = None  # measured rate over that of the roof; None if it was too noisy


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A timed stage at one batch size.

    The name is `tem`, `pem`, `bmn`, `bsn` or `pipeline` (all of it, of BSN or another model), or a
    step: `read`, `rescale`, `candidates` (in BSN with BSP features), `soft-nms`, `write`,
    `evaluate`, `latency`. The scope says what the figures include: the runtime's call alone
    (interface), everything in wall time (end-to-end), or a step.
    """

    name: str
    scope: Scope
    batch: int | None = None  # samples (videos) per batch; None where a log does not state it
    samples_per_second: SamplesPerSecond | None = None  # of ours: streams x batch / median seconds
    batches_per_second: BatchesPerSecond | None = None
    seconds: Timing | None = None  # per batch
    settled: bool | None = None  # the median had settled at the end of the measurement
    backend: str = ""  # a name from `actspan backends`; empty if not known
    precision: str = ""
    threads: int | None = None  # that share a call
    streams: int | None = None  # calls at the same time
    cpu_seconds: float | None = None  # processor time of all threads in all repeats
    peak_memory_bytes: int | None = None  # anonymous memory of the process
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
    """A benchmark's result on disk."""

    stages: tuple[Stage, ...]
    environment: Environment | None = None
    roof: Roof | None = None
    material: str = ""  # description of the model and the videos, which says what is synthetic
    command: str = ""  # command line that repeats the benchmark
    created: str = ""  # date and time, ISO 8601
    notes: tuple[str, ...] = ()
    format: Literal["actspan-bench-1"] = FORMAT


def decode_result(content: str, *, where: str) -> BenchResult:
    """Decode a result from JSON; a `BenchError` names `where` and the key."""
    try:
        return msgspec.json.decode(content, type=BenchResult)
    except NOT_JSON as error:  # ValidationError is one
        raise BenchError(f"{where}: not a result of actspan bench: {error}") from error


def write_result(result: BenchResult, path: Path) -> None:
    """Write a result as JSON, atomically."""
    with atomic_file(path) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
