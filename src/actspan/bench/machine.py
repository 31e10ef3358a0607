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
from dataclasses import replace
from statistics import fmean, pstdev
from typing import Any

import msgspec
import numpy as np

from actspan.bench.costs import Shape, Workload, flops_of, products_of, sample_costs
from actspan.bench.records import WHOLE, Cost, Environment, Roof, SamplesPerSecond, Stage
from actspan.bench.timing import Measured, Rule, measure
from actspan.config.stages import PipelineConfig, TemConfig
from actspan.core.errors import require
from actspan.core.machine import core_count, cpu_flags, processor_name
from actspan.core.segments import Proposals
from actspan.data.dataset import Dataset
from actspan.deploy.accuracy_report import library_versions
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

FIXED: tuple[Shape, ...] = ((1, 512, 1536, 1600),)  # TEM's second layer, 16 videos, as published
_LARGE = 2**27  # bytes per copy; larger than the caches of a core
_FLOAT = 4  # bytes


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
