"""Pure inference of the NPU benchmark, `PureInfer_perf_of_<model>_in_device_<d>.txt`.

ave_throughputRate = 323.826samples/s, ave_latency = 3.08851ms

Rates are samples per second of one chip, and the latency is that of a sample. The batch size is in
the name of this file, or of the file that the tool says it saved the result in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from actspan.bench.logs.base import NUMBER, Figure, Log, Text, batch_in_name, network_of
from actspan.bench.result import BatchesPerSecond, SamplesPerSecond, Stage

TOOL = "NPU benchmark, pure inference"

_SUMMARY = re.compile(
    rf"ave_throughputRate\s*[:=]\s*(?P<rate>{NUMBER})\s*samples/s,\s*"
    rf"ave_latency\s*[:=]\s*(?P<latency>{NUMBER})\s*ms\s*$"
)
_EXPECTED = "'ave_throughputRate = <number>samples/s, ave_latency = <number>ms'"
_FILE = re.compile(r"PureInfer_perf_of_\S+\.txt")


def fits(text: Text) -> bool:
    """Check for a line with an `ave_throughputRate`, or for the heading of the summary."""
    return any(True for _ in text.find(r"PureInfer Performance Summary|ave_throughputRate"))


def read(text: Text) -> Log:
    """Read the summary."""
    lines = [number for number, _ in text.find("ave_throughputRate")]
    found = list(text.find(_SUMMARY))
    if not lines:
        raise text.cut_off(_EXPECTED)
    if len(lines) > 1:
        raise text.error("a second ave_throughputRate: one summary per file", lines[1])
    if not found:
        raise text.error(f"expected {_EXPECTED}", lines[0])
    line, match = found[0]
    rate, batch = SamplesPerSecond(float(match["rate"])), _batch(text)
    stage = Stage(
        name=network_of(text),
        scope="interface",
        batch=batch,
        samples_per_second=rate,
        batches_per_second=None if batch is None else BatchesPerSecond(rate / batch),
        backend="ascend",
    )
    figures = (
        Figure(rate, "ave_throughputRate, samples/s", line),
        Figure(float(match["latency"]), "ave_latency, ms", line),
    )
    return Log(text.path, TOOL, (stage,), figures, tuple(_notes(batch)))


def _batch(text: Text) -> int | None:
    files = [text.path, *(Path(match.group()) for _, match in text.find(_FILE))]
    return next(filter(None, map(batch_in_name, files)), None)


def _notes(batch: int | None) -> Iterator[str]:
    if batch is None:
        yield "the batch size is not in the file's name: call it ..._bs<b>"
