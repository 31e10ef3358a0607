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
    """Times of the steps of a network, in seconds.

    Attributes
    ----------
    samples : int
        Number of samples (videos).
    total : float
        Time from reading the first sample to the last result.
    read, preprocess, inference, postprocess : float
        Time of each step over all samples; zero where there is nothing to do.
    interface : float
        Time inside the runtime's calls.
    calls : int
        Number of calls, one per batch.
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
    """Return the lines of the summary.

    Examples
    --------
    >>> times = StepTimes(8, 2.0, 0.5, 0.1, 1.0, 0.8, 0.4, 4)
    >>> performance_lines(times)[1]
    '[e2e] throughputRate: 4, latency: 2000'
    """

    def rate(seconds: float) -> str:
        return _text(times.samples / seconds if seconds > 0 else 0.0)

    def step(name: str, seconds: float, count: int) -> str:
        rate = _text(count / seconds if seconds > 0 else 0.0)
        return f"[{name}] throughputRate: {rate}, moduleLatency: {_text(1e3 * seconds / count)}"

    return [
        _HEAD,
        f"[e2e] throughputRate: {rate(times.total)}, latency: {_text(1e3 * times.total)}",
        step("data read", times.read, times.samples),
        step("preprocess", times.preprocess, times.samples),
        f"[inference] throughputRate: {rate(times.inference)}, "
        f"Interface throughputRate: {rate(times.interface)}, "
        f"moduleLatency: {_text(1e3 * times.interface / times.calls)}",
        step("postprocess", times.postprocess, math.ceil(times.samples / times.batch)),
        "",
        _FOOT,
    ]


def _text(value: float) -> str:
    """Format a number with six digits, like C++."""
    return f"{value:.6g}"
