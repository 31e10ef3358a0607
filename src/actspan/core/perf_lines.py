"""Performance summary in the format of the NPU's benchmark tool, from measured times.

    [e2e] throughputRate: 180.879, latency: 106303
    [inference] throughputRate: 182, Interface throughputRate: 3275.55, moduleLatency: 0.561457

Rates are samples per second; 0 for a step that took no time. Latencies are milliseconds: of the
whole run in [e2e], per batch in [inference], else per sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["StepTimes", "performance_lines"]

_HEAD = "-----------------Performance Summary------------------"
_FOOT = "-----------------------------------------------------------"


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Times of the steps of a network over all samples (videos), in seconds.

    `total` is from reading the first sample to the last result, `interface` the time inside the
    runtime's `calls`, one per batch.
    """

    samples: int
    total: float
    read: float
    preprocess: float
    inference: float
    interface: float
    postprocess: float
    calls: int
    batch: int = 1


def performance_lines(times: StepTimes) -> list[str]:
    """Return the lines of the summary; numbers have six digits, as in C++.

    Examples
    --------
    >>> times = StepTimes(8, 2.0, 0.5, 0.1, 1.0, 0.8, 0.4, 4)
    >>> performance_lines(times)[1]
    '[e2e] throughputRate: 4, latency: 2000'
    """

    def rate(count: int, seconds: float) -> str:
        return f"throughputRate: {count / seconds if seconds > 0 else 0.0:.6g}"

    def latency(seconds: float, count: int) -> str:
        return f"moduleLatency: {1e3 * seconds / count:.6g}"

    n, batches = times.samples, math.ceil(times.samples / times.batch)
    return [
        _HEAD,
        f"[e2e] {rate(n, times.total)}, latency: {1e3 * times.total:.6g}",
        f"[data read] {rate(n, times.read)}, {latency(times.read, n)}",
        f"[preprocess] {rate(n, times.preprocess)}, {latency(times.preprocess, n)}",
        f"[inference] {rate(n, times.inference)}, Interface {rate(n, times.interface)}, "
        f"{latency(times.interface, times.calls)}",
        f"[postprocess] {rate(batches, times.postprocess)}, {latency(times.postprocess, batches)}",
        "",
        _FOOT,
    ]
