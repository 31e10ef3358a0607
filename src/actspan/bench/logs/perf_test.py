"""Output of onnxruntime_perf_test.

Average inference time cost: 1.85739 ms
Number of inferences per second: 538.184
P99 Latency: 0.00190312 s

An inference is a batch. The tool does not print its size, so it is read from the file's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from actspan.bench.logs.base import NUMBER, Figure, Log, Text, batch_in_name, network_of
from actspan.bench.result import BatchesPerSecond, Stage, Timing, samples_of
from actspan.pipeline.stages import Scope

TOOL = "onnxruntime_perf_test"

_MEAN = re.compile(
    rf"Average (?:inference )?time cost(?: total)?:\s*(?P<value>{NUMBER}) (?P<unit>ms|s)\b"
)
_RATE = re.compile(rf"Number of inferences per second:\s*(?P<value>{NUMBER})\s*$")
_LATENCY = re.compile(
    rf"(?P<name>Min|Max|P50|P90|P99) Latency(?::| is)\s*(?P<value>{NUMBER})\s*s(?:ec)?\b"
)
_REPEATS = re.compile(r"Total (?:inference requests|iterations):\s*(?P<value>\d+)")
_NAMES = {"Min": "min", "Max": "max", "P50": "median", "P90": "p90", "P99": "p99"}


def fits(text: Text) -> bool:
    """Check for the time of a session's creation, or an average time."""
    return any(True for _ in text.find(r"Session creation time cost|Average.* time cost"))


def read(text: Text) -> Log:
    """Read the summary."""
    mean = next(text.find(_MEAN), None)
    if mean is None:
        raise text.cut_off("'Average inference time cost: <number> ms'")
    seconds = float(mean[1]["value"]) * (1e-3 if mean[1]["unit"] == "ms" else 1)
    if not seconds:
        raise text.error("a time above 0 was expected", mean[0])
    times, figures = {}, [Figure(float(mean[1]["value"]), f"average, {mean[1]['unit']}", mean[0])]
    for line, match in text.find(_LATENCY):
        times[_NAMES[match["name"]]] = float(match["value"])
        figures.append(Figure(float(match["value"]), f"{match['name']} Latency, s", line))
    repeats = next((int(match["value"]) for _, match in text.find(_REPEATS)), None)
    batch = batch_in_name(text.path)
    timing = Timing(repeats=repeats, mean=seconds, **times)
    stages = [_stage(text, "interface", BatchesPerSecond(1 / seconds), batch, timing)]
    for line, match in text.find(_RATE):
        figures.append(Figure(float(match["value"]), "inferences per second", line))
        stages.append(_stage(text, "end-to-end", BatchesPerSecond(float(match["value"])), batch))
    return Log(text.path, TOOL, tuple(stages), tuple(figures), tuple(_notes(batch)))


def _stage(
    text: Text,
    scope: Scope,
    rate: BatchesPerSecond,
    batch: int | None,
    timing: Timing | None = None,
) -> Stage:
    return Stage(
        name=network_of(text),
        scope=scope,
        batch=batch,
        batches_per_second=rate,
        samples_per_second=None if batch is None else samples_of(rate, batch),
        seconds=timing,
        backend="onnxruntime",
    )


def _notes(batch: int | None) -> Iterator[str]:
    if batch is None:
        yield (
            "onnxruntime_perf_test does not state the batch size: call the file ..._bs<b>, or only "
            "batches a second are known"
        )
