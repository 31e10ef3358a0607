"""The machine of a measurement: processor and libraries, noise, and the roofline.

The roof has two parts: arithmetic (matrix products of TEM's sizes in single precision, one on every
core, see `roof`) and memory (copies on every core: of large arrays, and of a video's features in
the caches). A stage that needs F operations and moves B bytes per sample reaches at most
min(arithmetic / F, caches / B) samples per second.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median, pstdev

import msgspec
import numpy as np

from actspan.bench.costs import Workload, sample_costs
from actspan.bench.records import WHOLE, Cost, Environment, Roof, SamplesPerSecond, Stage
from actspan.bench.roof import RoofProcess, Shape
from actspan.bench.timing import Rule, Run, measure
from actspan.config.stages import PipelineConfig, TemConfig
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
    "OPENBLAS_CORETYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
    "NUMBA_CPU_NAME",
    "KMP_AFFINITY",
    "OMP_PROC_BIND",
)
_NOISE = 0.05  # of the rate of the fixed product; more is reported
_BUSY = 0.5  # load average per core; more is reported

FIXED: tuple[Shape, ...] = ((1, 512, 1536, 1600),)  # TEM's second layer, 16 videos, as published
_LARGE = 2**27  # bytes per copy; larger than the caches of a core
_FLOAT = 4  # bytes


def capture_environment(
    flops: float, before: Sequence[Run], after: Sequence[Run], load: float | None
) -> Environment:
    """Return the environment of a measurement.

    `before` and `after` are rounds of the products `FIXED`, of `flops` operations each, before and
    after everything else; `load` is the `load_average` before the measurements.
    """
    first, last = ([run.seconds for run in rounds] for rounds in (before, after))
    return Environment(
        cpu=processor_name(),
        cores=core_count(),
        system=f"{platform.system()} {platform.machine()}",
        cpu_flags=cpu_flags(),
        variables={name: os.environ[name] for name in _VARIABLES if name in os.environ},
        versions=library_versions(_LIBRARIES),
        load_average=load,
        sgemm_gflops=flops / median(first) / 1e9,
        sgemm_spread=pstdev(first) / fmean(first),
        sgemm_after_gflops=flops / median(last) / 1e9,
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


def measure_machine(
    fixed: RoofProcess, config: PipelineConfig, rule: Rule, announce: Callable[[str], None]
) -> tuple[list[Run], tuple[float, float]]:
    """Time the products `FIXED`, and measure GB/s of copies in memory and in the caches.

    Copies are on all cores and by processor time, which other programs do not lower.
    """
    announce("noise")
    first = len(fixed.rounds)
    measure(lambda _: fixed.round(), rule=rule)
    announce("roof")
    rule = replace(rule, least=10)
    cores, network = core_count(), config.video_network or TemConfig()
    video = _FLOAT * network.channels * network.length
    copies = _copy_rate(_LARGE // cores, cores, rule), _copy_rate(video, cores, rule)
    return fixed.rounds[first:], copies


def roof_of(arithmetic: RoofProcess, *copies: tuple[float, float]) -> Roof:
    """Return the highest of each part, since other programs on the same cores lower it."""
    memory, caches = map(max, *copies)
    return Roof(
        gflops=arithmetic.gflops,
        kernel=arithmetic.kernel,
        gigabytes_per_second=memory,
        cache_gigabytes_per_second=caches,
    )


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


def with_cost(
    stage: Stage, config: PipelineConfig, work: Workload, roof: Roof, *, calm: bool
) -> Stage:
    """Return the stage with its cost, if that is known, and its share of the roof.

    The share is left out if the machine was not `calm` while the stage was measured.
    """
    costs = sample_costs(config, work, stage.batch or 1)
    known = (stage.scope == "end-to-end") == (stage.name in WHOLE) and stage.name in costs
    if not known or stage.samples_per_second is None:
        return stage
    cost = costs[stage.name]
    share = stage.samples_per_second / attainable(cost, roof) if calm else None
    return msgspec.structs.replace(stage, cost=msgspec.structs.replace(cost, share=share))
