"""The machine of a measurement: processor and libraries, noise, and the roofline.

The roof has two parts: arithmetic (matrix products of TEM's sizes in single precision, one on every
core) and memory (copies on every core: of large arrays, and of a video's features in the caches). A
stage that needs F operations and moves B bytes per sample reaches at most
min(arithmetic / F, caches / B) samples per second.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev
from typing import Any

import msgspec
import numpy as np

from actspan.bench.records import WHOLE, Cost, Environment, Roof, SamplesPerSecond, Stage
from actspan.bench.timing import Measured, Rule, measure
from actspan.config.bmn import BmnConfig
from actspan.config.stages import PemConfig, PipelineConfig, TemConfig
from actspan.core.errors import require
from actspan.core.machine import core_count, cpu_flags, processor_name
from actspan.core.segments import Proposals
from actspan.data.dataset import Dataset
from actspan.deploy.accuracy_report import library_versions
from actspan.model.weights import weight_shapes
from actspan.pipeline.steps import Batch

_LIBRARIES = ("actspan", "numpy", "numba", "onnxruntime", "openvino", "torch", "pyarrow")
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "KMP_AFFINITY",
    "OMP_PROC_BIND",
)
_NOISE = 0.05  # of the rate of the fixed product; more is reported
_BUSY = 0.5  # load average per core; more is reported

Shape = tuple[int, int, int, int]  # (g, m, k, n): g products of (m, k) @ (k, n)

FIXED: tuple[Shape, ...] = ((1, 512, 1536, 1600),)  # TEM's second layer, 16 videos, as published
_LARGE = 2**27  # bytes per copy; larger than the caches of a core
_FLOAT, _DOUBLE = 4, 8  # bytes


def capture_environment(before: Measured, after: Measured, load: float | None) -> Environment:
    """Return the environment of a measurement.

    `before` and `after` are times of the products `FIXED`, before and after everything else;
    `load` is the `load_average` before the measurements.
    """
    flops = flops_of(FIXED)
    return Environment(
        cpu=processor_name(),
        cores=core_count(),
        system=f"{platform.system()} {platform.machine()}",
        cpu_flags=cpu_flags(),
        variables={name: os.environ[name] for name in _VARIABLES if name in os.environ},
        versions=library_versions(_LIBRARIES),
        load_average=load,
        sgemm_gflops=flops * before.rate / 1e9,
        sgemm_spread=pstdev(before.seconds) / fmean(before.seconds),
        sgemm_after_gflops=flops * after.rate / 1e9,
    )


def noise_notes(environment: Environment) -> Iterator[str]:
    """Yield reasons to distrust the figures: drift, noise, load."""
    before, after = environment.sgemm_gflops, environment.sgemm_after_gflops
    if before and after and abs(after / before - 1) > _NOISE:
        yield (
            f"the machine drifted: a fixed product ran at {before:.0f} GFLOP/s before and "
            f"{after:.0f} after; repeat on a quiet machine"
        )
    if environment.sgemm_spread and environment.sgemm_spread > _NOISE:
        yield (
            f"the machine is noisy: a fixed product scatters by {environment.sgemm_spread:.0%}; "
            "repeat on a quiet machine"
        )
    load = environment.load_average
    if load is not None and load > _BUSY * environment.cores:
        yield f"the load average was {load:.1f} at the start: others use this machine"


@dataclass(frozen=True, slots=True)
class Workload:
    """Average sizes of samples."""

    snippets: float
    read_bytes: float  # on disk
    candidates: float  # that PEM scores
    proposals: float  # in the result
    result_bytes: float  # in the result file


def workload_of(
    dataset: Dataset,
    batches: Sequence[Batch],
    results: Mapping[str, Proposals],
    result_bytes: int,
    samples: int,
) -> Workload:
    """Return averages over batches in memory, and over a result with its file's size."""
    return Workload(
        snippets=fmean(len(item) for batch in batches for item in batch.features),
        read_bytes=fmean(
            dataset.open(piece.id).values.dtype.itemsize * item.values.size
            for batch in batches
            for piece, item in zip(batch.pieces, batch.features, strict=True)
        ),
        candidates=fmean(len(rows) for batch in batches for rows in batch.candidates),
        proposals=sum(map(len, results.values())) / samples,
        result_bytes=result_bytes / samples,
    )


def products_of(config: TemConfig | BmnConfig, videos: int) -> tuple[Shape, ...]:
    """Return the layers of the network that sees features as matrix products."""
    if isinstance(config, BmnConfig):
        return bmn_products(config, videos)
    return tem_products(config, videos)


def tem_products(config: TemConfig, videos: int) -> tuple[Shape, ...]:
    """Return TEM's layers as matrix products over columns that are already unrolled."""
    shapes = []
    for name, shape in weight_shapes(config).items():
        if not name.endswith(".weight"):
            continue
        out, taken, taps = shape
        channels = config.channels if name == "conv1.weight" else config.hidden
        groups = channels // taken
        shapes.append((groups, out // groups, taken * taps, videos * config.length))
    return tuple(shapes)


def flops_of(shapes: Sequence[Shape]) -> float:
    """Count the multiplications and additions of the products."""
    return float(sum(2 * g * m * k * n for g, m, k, n in shapes))


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


def bmn_products(config: BmnConfig, videos: int) -> tuple[Shape, ...]:
    """Return BMN's layers as matrix products, without the sparse product of the sampling."""
    H, S, M, h, T = config.base, config.sampled, config.matched, config.hidden, config.length
    cells = (config.durations or T) * T
    grouped = [(4, H // 4, 3 * inputs // 4, T) for inputs in (config.channels, H, H, H)]
    full = [(1, S, 3 * H, T), (1, M * config.samples, S, T), (1, h, M, cells)]
    full += [(1, h, 9 * h, cells)] * 2
    return tuple((g, m, k, videos * n) for g, m, k, n in grouped + full)


def measure_products(shapes: Sequence[Shape], cores: int, rule: Rule) -> Measured:
    """Time the products on every core, with one thread of NumPy's BLAS each."""
    with require_limits()(limits=1, user_api="blas"):
        return measure(matrix_products(shapes), streams=cores, rule=rule)


def require_limits() -> Any:
    """Load the function that keeps BLAS from starting threads, which would wait for each other."""
    return require("threadpoolctl", extra="bench", purpose="actspan bench").threadpool_limits


def measure_machine(
    config: PipelineConfig, batch: int, rule: Rule, announce: Callable[[str], None]
) -> tuple[Measured, Roof]:
    """Time the products `FIXED`, and measure the roof with products of the network's sizes.

    The roof is by processor time, which other programs do not lower.
    """
    cores, network = core_count(), config.video_network or TemConfig()
    shapes = products_of(network, batch)
    announce("noise")
    fixed = measure_products(FIXED, cores, rule)
    announce("roof")
    rule = replace(rule, least=10)
    products = measure_products(shapes, cores, rule)
    video = _FLOAT * network.channels * network.length
    roof = Roof(
        gflops=flops_of(shapes) * products.undisturbed_rate / 1e9,
        gigabytes_per_second=_copy_rate(_LARGE // cores, cores, rule),
        cache_gigabytes_per_second=_copy_rate(video, cores, rule),
    )
    return fixed, roof


def highest(*measured: Roof) -> Roof:
    """Return the highest of each part, since other programs on the same cores lower it."""
    parts = {name: max(getattr(m, name) for m in measured) for name in Roof.__struct_fields__}
    return Roof(**parts)


def _copy_rate(size: int, cores: int, rule: Rule) -> float:
    """Measure GB/s, read and written, when each core copies `size` bytes at a time."""
    sources = [np.ones(size, np.uint8) for _ in range(cores)]
    targets = [np.zeros(size, np.uint8) for _ in range(cores)]
    copies = measure(
        lambda n: np.copyto(targets[n % cores], sources[n % cores]), streams=cores, rule=rule
    )
    return 2 * size * copies.undisturbed_rate / 1e9


def sample_costs(config: PipelineConfig, work: Workload, batch: int) -> dict[str, Cost]:
    """Return the lowest cost of a sample per stage, counted as in docs/project/performance.md."""
    tem, pem = config.tem or TemConfig(), config.pem or PemConfig()
    n, N = work.snippets, work.candidates
    T, C = tem.length, tem.channels
    interpolated = 12 * T * C if config.mode == "rescale" and n != T else 0
    tem_size, pem_size = (
        float(sum(np.prod(shape) for shape in weight_shapes(net).values())) for net in (tem, pem)
    )
    proposals = 3 * _DOUBLE * work.proposals
    costs = {
        "read": Cost(flops=0, bytes=work.read_bytes + _FLOAT * n * C),
        "rescale": Cost(flops=interpolated, bytes=_FLOAT * (n * C + T * C)),
        "tem": Cost(
            flops=flops_of(tem_products(tem, 1)),
            bytes=_FLOAT * (T * C + tem.outputs * T + tem_size / batch),
        ),
        "candidates": Cost(
            flops=N + (3 if config.curves else 16) * N * config.pem_inputs,
            bytes=_FLOAT * tem.outputs * T + N * (5 * _DOUBLE + _FLOAT * config.pem_inputs),
        ),
        "pem": Cost(
            flops=2 * N * pem.hidden * (pem.inputs + 1 + pem.hidden * (pem.layers - 1)),
            bytes=_FLOAT * (N * (pem.inputs + 1) + pem_size / batch),
        ),
        "soft-nms": Cost(
            flops=2 * N + 8 * N * min(config.soft_nms.picks, N),
            bytes=N * (5 * _DOUBLE + _FLOAT) + proposals,
        ),
        "write": Cost(flops=0, bytes=proposals + work.result_bytes),
    }
    whole = Cost(
        flops=sum(cost.flops for cost in costs.values()),
        bytes=sum(cost.bytes for cost in costs.values()),
    )
    return costs | {"bsn": whole, "evaluate": Cost(flops=0, bytes=work.result_bytes + proposals)}


def attainable(cost: Cost, roof: Roof) -> SamplesPerSecond:
    """Return the samples per second that the roof allows, with all data in the caches."""
    seconds = max(cost.flops / roof.gflops, cost.bytes / roof.cache_gigabytes_per_second) / 1e9
    return SamplesPerSecond(1 / seconds)


def with_costs(
    stages: Iterable[Stage], config: PipelineConfig, work: Workload, roof: Roof
) -> tuple[Stage, ...]:
    """Return the stages with their costs and shares of the roof, where the cost is known."""
    return tuple(_with_cost(stage, config, work, roof) for stage in stages)


def _with_cost(stage: Stage, config: PipelineConfig, work: Workload, roof: Roof) -> Stage:
    costs = sample_costs(config, work, stage.batch or 1)
    known = (stage.scope == "end-to-end") == (stage.name in WHOLE) and stage.name in costs
    if not known or stage.samples_per_second is None:
        return stage
    cost = costs[stage.name]
    share = stage.samples_per_second / attainable(cost, roof)
    return msgspec.structs.replace(stage, cost=msgspec.structs.replace(cost, share=share))
