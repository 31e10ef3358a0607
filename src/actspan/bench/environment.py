"""Environment of a measurement: processor, libraries, settings, and noise of the machine."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterator
from pathlib import Path

from actspan.bench.result import Environment
from actspan.bench.timing import Measured
from actspan.deploy.verify.accuracy_report import library_versions

__all__ = ["capture_environment", "core_count", "load_average", "noise_notes", "processor_name"]

_LIBRARIES = ("actspan", "numpy", "numba", "onnxruntime", "openvino", "torch", "pyarrow")
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "KMP_AFFINITY",
    "OMP_PROC_BIND",
)
_FLAGS = ("sse4_2", "avx", "avx2", "fma", "f16c", "asimd", "asimddp", "sve", "sve2")
_FLAG_FAMILIES = ("avx512", "avx_", "amx")
_NOISE = 0.05  # of the rate of the fixed product; more is reported
_BUSY = 0.5  # load average per core; more is reported


def load_average() -> float | None:
    """Return the load average of the last minute; None where the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def capture_environment(
    before: Measured, after: Measured, flops: float, load: float | None
) -> Environment:
    """Return the environment of a measurement.

    `before` and `after` are times of a fixed matrix product of `flops` operations, before and
    after everything else; `load` is the `load_average` before the measurements.
    """
    flags = _cpuinfo("flags") or _cpuinfo("Features") or [""]
    known = {f for f in flags[0].split() if f in _FLAGS or f.startswith(_FLAG_FAMILIES)}
    return Environment(
        cpu=processor_name(),
        cores=core_count(),
        system=f"{platform.system()} {platform.machine()}",
        cpu_flags=tuple(sorted(known)),
        variables={name: os.environ[name] for name in _VARIABLES if name in os.environ},
        versions=library_versions(_LIBRARIES),
        load_average=load,
        sgemm_gflops=flops * before.rate / 1e9,
        sgemm_spread=statistics.pstdev(before.seconds) / statistics.fmean(before.seconds),
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


def processor_name() -> str:
    """Return the name of the processor."""
    names = _cpuinfo("model name")
    return names[0] if names else platform.processor() or platform.machine()


def core_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpuinfo(key: str) -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    pairs = (line.partition(":") for line in text.splitlines())
    return [value.strip() for name, _, value in pairs if name.strip() == key]
