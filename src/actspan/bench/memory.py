"""Anonymous memory of a process (Linux): private and shared, without mapped files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

__all__ = ["anonymous_memory", "peak_memory"]

_EVERY = 0.005  # seconds between two samples


def anonymous_memory(process: int) -> int:
    """Return RssAnon + RssShmem of a process and its children, bytes; 0 if not known."""
    total = 0
    try:
        for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += 1024 * int(line.split()[1])
        children = [
            p.read_text(encoding="utf-8") for p in Path(f"/proc/{process}/task").glob("*/children")
        ]
    except (FileNotFoundError, ProcessLookupError):
        return total
    return total + sum(anonymous_memory(int(child)) for line in children for child in line.split())


def peak_memory(work: Callable[[], object]) -> int | None:
    """Return the peak memory of this process while `work` ran, bytes, sampled every 5 ms.

    Sampling costs time, so do not time the same run. None where the system does not report
    memory.
    """
    seen = [anonymous_memory(os.getpid())]
    done = Event()

    def watch() -> None:
        while not done.wait(_EVERY):
            seen.append(anonymous_memory(os.getpid()))

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    seen.append(anonymous_memory(os.getpid()))
    return max(seen) or None
