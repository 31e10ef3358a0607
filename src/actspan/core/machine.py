"""Facts about the machine: processor, cores that may be used, instruction sets, load, folders."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_FLAGS = ("sse4_2", "avx", "avx2", "fma", "f16c", "asimd", "asimddp", "sve", "sve2")
_FLAG_FAMILIES = ("avx512", "avx_", "amx")
_NETWORK_FILE_SYSTEMS = (
    *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse"),
    *("glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs", "virtiofs"),
)


def processor_name() -> str:
    """Return the name of the processor."""
    return next(iter(_cpuinfo("model name")), "") or platform.processor() or platform.machine()


def core_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def core_quota() -> float | None:
    """Return the limit of a container on processor time, in cores; None if there is none."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def cpu_flags() -> tuple[str, ...]:
    """Return the instruction sets that matter for speed, sorted; none where they are not known."""
    flags = _cpuinfo("flags") or _cpuinfo("Features") or [""]
    return tuple(
        sorted({f for f in flags[0].split() if f in _FLAGS or f.startswith(_FLAG_FAMILIES)})
    )


def load_average() -> float | None:
    """Return the load average of the last minute; None where the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def network_file_system(folder: Path) -> str:
    """Return the kind of network file system that a folder is on; empty if it is on none."""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    path, longest, kind = folder.resolve(), -1, ""
    for fields in map(str.split, mounts):
        place = Path(fields[1].replace("\\040", " "))
        if path.is_relative_to(place) and len(place.parts) >= longest:
            longest, kind = len(place.parts), fields[2]
    return kind if kind in _NETWORK_FILE_SYSTEMS else ""


def _cpuinfo(key: str) -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    pairs = (line.partition(":") for line in text.splitlines())
    return [value.strip() for name, _, value in pairs if name.strip() == key]
