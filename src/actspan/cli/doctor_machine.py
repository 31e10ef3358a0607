"""Checks of `actspan doctor` on the machine: its folders, and settings that make it slow."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from actspan.cli.doctor_checks import Finding
from actspan.core.machine import (
    core_count,
    core_quota,
    cpu_flags,
    load_average,
    network_file_system,
)
from actspan.core.wording import counted

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_BUSY = 0.5  # load average per core; more is reported
_KERNELS = "cache of kernels"


def check_folders(cache: str) -> Iterator[Finding]:
    """Yield a finding per folder that is written to besides the outputs.

    `cache` is the folder of the compiled kernels, or "" if it is not known.
    """
    for part, (place, remedy) in _folders(cache).items():
        try:
            with tempfile.TemporaryFile(dir=place):
                yield Finding(part, "works", place)
        except OSError as error:
            reason = f"{place}: cannot be written ({error.strerror})"
            yield Finding(part, "fails", f"{reason}: {remedy}")


def _folders(cache: str) -> dict[str, tuple[str, str]]:
    """Return each folder, and what to do if it cannot be written."""
    folders = {"temporary files": (tempfile.gettempdir(), "set TMPDIR to a folder that can")}
    if cache:
        folders[_KERNELS] = cache, "set NUMBA_CACHE_DIR to a folder that can"
    if matplotlib := os.environ.get("MPLCONFIGDIR"):
        folders["cache of matplotlib"] = matplotlib, "set MPLCONFIGDIR to a folder that can"
    return folders


def instructions() -> str:
    """Return the widest vector instructions of the processor; "" where they are not known."""
    flags = cpu_flags()
    if any(flag.startswith("avx512") for flag in flags):
        return "AVX-512"
    return next((name.upper() for name in ("avx2", "avx", "sve", "asimd") if name in flags), "")


def slow_parts(found: Sequence[Finding], cache: str) -> Iterator[tuple[str, str]]:
    """Yield what makes ActSpan slow here: its name, and the reason with a remedy."""
    yield from _slow_processor()
    yield from _slow_settings()
    for name, (place, _) in (_folders(cache) | {"current folder": (str(Path.cwd()), "")}).items():
        if kind := network_file_system(Path(place)):
            yield name, f"{place} is on a network file system ({kind}): use a local disk"
    states = {finding.part: finding for finding in found}
    if "kernels" in states and ", compiled in" in states["kernels"].detail:
        yield "kernels", "they were compiled now; the next start loads them from the cache"
    if "backend openvino" in states and states["backend openvino"].state == "absent":
        yield "openvino", "not installed: networks run on another runtime, most often more slowly"


def _slow_processor() -> Iterator[tuple[str, str]]:
    cores, quota, load = core_count(), core_quota(), load_average()
    if cores < (os.cpu_count() or 1):
        yield "cores", f"this process may use {cores} of {os.cpu_count()} (taskset, a container)"
    if quota is not None and quota < cores:
        yield (
            "cores",
            f"the container may use {quota:g} of {cores}: pass --threads {max(int(quota), 1)}, so "
            "that threads do not wait for each other",
        )
    if load is not None and load > _BUSY * cores:
        yield "load", f"an average of {load:.1f} on {counted(cores, 'core')}: others compute here"
    if platform.machine() in ("x86_64", "AMD64") and instructions() not in ("AVX-512", ""):
        yield "processor", f"it has no AVX-512, so networks compute with {instructions()}"


def _slow_settings() -> Iterator[tuple[str, str]]:
    cores = core_count()
    for name in _THREADS:
        if (number := os.environ.get(name, "")).isdecimal() and int(number) < cores:
            yield name, f"it is {number}, fewer than the {counted(cores, 'core')}: unset it"
    if kind := os.environ.get("OPENBLAS_CORETYPE"):
        why = f"NumPy computes as on {kind}, not as on this processor: unset it"
        yield "OPENBLAS_CORETYPE", why
