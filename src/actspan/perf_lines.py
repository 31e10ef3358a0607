"""The performance summary that the NPU's benchmark tool prints, written from our own times.

    [e2e] throughputRate: 180.879, latency: 106303
    [inference] throughputRate: 182, Interface throughputRate: 3275.55, moduleLatency: 0.561457

Rates are samples a second, of a step that took no time 0. Latencies are milliseconds: of the whole
run in [e2e], of a batch in [inference], else of a sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["StepTimes", "performance_lines"]

_HEAD = "-----------------Performance Summary------------------"
_FOOT = "-----------------------------------------------------------"


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Where the time of a network went, in seconds.

    Attributes
    ----------
    samples : int
        Videos, or what a sample of the network is.
    total : float
        From the first sample's reading to the last one's result.
    read, preprocess, inference, postprocess : float
        In each step, over all samples; zero where there is nothing to do.
    interface : float
        Inside the runtime's calls.
    calls : int
        Batches that went through it.
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
    """The summary, line by line.

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
    """Six digits, as C++ prints them."""
    return f"{value:.6g}"
