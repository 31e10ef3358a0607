"""Logs of the Ascend NPU's tools: the benchmark's summary, its pure inference, and ais_bench.

Rates are samples per second of one chip.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from actspan.bench.logs.text import (
    NO_BATCH,
    NUMBER,
    Figure,
    LineMatch,
    Part,
    Reader,
    Text,
    batch_in_name,
    batch_stage,
    marked,
)
from actspan.bench.records import Stage, Timing

# The benchmark's summary, `perf_vision_batchsize_<b>_device_<d>.txt`:
#   [e2e] throughputRate: 180.879, latency: 106303
#   [inference] throughputRate: 182, Interface throughputRate: 3275.55, moduleLatency: 0.561457
# [postprocess] counts batches. The latency of [e2e] is that of the whole run, in milliseconds.

_RATE = "throughputRate: <number>"
_E2E = f"'[e2e] {_RATE}, latency: <number>'"
_INFERENCE = f"'[inference] {_RATE}, Interface {_RATE}, moduleLatency: <number>'"
_OTHER_STEP = f"'[<step>] {_RATE}, moduleLatency: <number>'"
_SHORT = {"infer": "inference", "post": "postprocess"}  # names in some versions
_STEP = re.compile(
    r"\[(?P<step>e2e|data read|preprocess|infer(?:ence)?|post(?:process)?)\]\s*"
    rf"throughputRate:\s*(?P<rate>{NUMBER}),\s*"
    rf"(?:Interface throughputRate:\s*(?P<interface>{NUMBER}),\s*)?"
    rf"(?P<delay>latency|moduleLatency):\s*(?P<milliseconds>{NUMBER})\s*$"
)


def _read_benchmark(text: Text) -> Iterator[Part]:
    steps = _steps(text)
    name, batch = text.network, text.batch
    rates = {step: float(match["rate"]) for step, (_, match) in steps.items()}
    call = float(steps["inference"][1]["interface"])
    yield batch_stage(name, "interface", batch, "ascend", samples=call)
    yield batch_stage(name, "end-to-end", batch, "ascend", samples=rates["e2e"])
    for step, (line, match) in steps.items():
        rate = rates[step]
        if step != "e2e" and rate:  # 0 means that the step had no work
            samples, batches = (None, rate) if step == "postprocess" else (rate, None)
            yield batch_stage(f"{name} {step}", "step", batch, "", samples=samples, batches=batches)
        yield Figure(rate, f"[{step}] throughputRate", line)
        if match["interface"] is not None:
            yield Figure(float(match["interface"]), "Interface throughputRate", line)
        yield Figure(float(match["milliseconds"]), f"[{step}] {match['delay']}, ms", line)
    rate = rates.get("postprocess", 0.0)
    if batch is None:
        yield NO_BATCH
    elif batch > 1 and rate:
        yield f"[postprocess] counts batches: {rate:g} batches/s are {rate * batch:.1f} samples/s"


def _steps(text: Text) -> dict[str, LineMatch]:
    """Return the line number and the parts of every step."""
    steps: dict[str, LineMatch] = {}
    for number, _ in text.find("throughputRate"):
        line = text.lines[number - 1]
        match = _STEP.search(line)
        if match is None or (match["step"].startswith("infer") and match["interface"] is None):
            expected = _E2E if "[e2e" in line else _INFERENCE if "[infer" in line else _OTHER_STEP
            raise text.error(f"expected {expected}", number)
        step = _SHORT.get(match["step"], match["step"])
        if step in steps:
            raise text.error(f"a second [{step}]: one summary per file", number)
        steps[step] = number, match
    for step, expected in (("e2e", _E2E), ("inference", _INFERENCE)):
        if step not in steps:
            raise text.cut_off(expected)
    return steps


BENCHMARK = Reader("NPU benchmark", marked(r"\]\s*throughputRate:"), _read_benchmark)

# Pure inference, `PureInfer_perf_of_<model>_in_device_<d>.txt`:
#   ave_throughputRate = 323.826samples/s, ave_latency = 3.08851ms
# The latency is that of a sample. The batch size is in the name of this file, or of the file that
# the tool says it saved the result in.

_PURE = re.compile(
    rf"ave_throughputRate\s*[:=]\s*(?P<rate>{NUMBER})\s*samples/s,\s*"
    rf"ave_latency\s*[:=]\s*(?P<latency>{NUMBER})\s*ms\s*$"
)
_PURE_EXPECTED = "'ave_throughputRate = <number>samples/s, ave_latency = <number>ms'"
_PURE_FILE = re.compile(r"PureInfer_perf_of_\S+\.txt")


def _read_pure_inference(text: Text) -> Iterator[Part]:
    line, match = text.only(
        "ave_throughputRate",
        _PURE,
        expected=_PURE_EXPECTED,
        repeated="a second ave_throughputRate: one summary",
    )
    rate = float(match["rate"])
    files = [text.path, *(Path(file_match.group()) for _, file_match in text.find(_PURE_FILE))]
    batch = next(filter(None, map(batch_in_name, files)), None)
    batches = None if batch is None else rate / batch
    yield batch_stage(text.network, "interface", batch, "ascend", samples=rate, batches=batches)
    yield Figure(rate, "ave_throughputRate, samples/s", line)
    yield Figure(float(match["latency"]), "ave_latency, ms", line)
    if batch is None:
        yield NO_BATCH


PURE_INFERENCE = Reader(
    "NPU benchmark, pure inference",
    marked(r"PureInfer Performance Summary|ave_throughputRate"),
    _read_pure_inference,
)

# ais_bench prints
#   [INFO] NPU_compute_time (ms): min = 2.4, max = 3.9, mean = 3.5, median = 3.7, ...
#   [INFO] throughput 1000*batchsize.mean(1)/NPU_compute_time.mean(3.5): 281.3
# ais_infer, its first name, prints no numbers within the formula:
#   [INFO] throughput (1000*batchsize/NPU_compute_time): 281.3
# Newer versions print times as a table with the columns min, max, mean, median, P99. The summary
# JSON has `NPU_compute_time`, `H2D_latency`, `D2H_latency` in milliseconds and `throughput`.

_THROUGHPUT = re.compile(
    rf"hroughput (?:1000\*batchsize(?:\.mean)?\((?P<batch>{NUMBER})\)/"
    rf"NPU_compute_time\.mean\((?P<mean>{NUMBER})\)"
    r"|\(1000\*batchsize/NPU_compute_time(?:\.mean)?\))"
    rf":\s*(?P<rate>{NUMBER})\s*$"
)
_EXPECTED = "'throughput 1000*batchsize.mean(<number>)/NPU_compute_time.mean(<number>): <number>'"
_MEASURED = ("NPU_compute_time", "H2D_latency", "D2H_latency")
_KEYS = ("min", "max", "mean", "median", "p99")
_TITLES = ("min = ", "max = ", "mean = ", "median = ", r"percentile\(99%\) = ")
_WHAT = rf"(?P<what>{'|'.join(_MEASURED)}) \(ms\)"
_VALUES = [rf"(?P<{key}>{NUMBER})" for key in _KEYS]
_TIMES = re.compile(f"{_WHAT}: " + ", ".join(map("".join, zip(_TITLES, _VALUES, strict=True))))
_ROW = re.compile(rf"{_WHAT}\s*[│|]\s*" + r"\s*[│|]\s*".join(_VALUES))


def _read_ais_bench(text: Text) -> Iterator[Part]:
    return _read_printed(text) if text.document is None else _read_json(text)


AIS_BENCH = Reader("ais_bench", marked("NPU_compute_time", key="NPU_compute_time"), _read_ais_bench)


def _read_printed(text: Text) -> Iterator[Part]:
    line, match = text.only(
        r"hroughput \(?1000",
        _THROUGHPUT,
        expected=_EXPECTED,
        repeated="a second throughput (another device?): one device",
    )
    rate, timing = float(match["rate"]), None
    for number, times in (*text.find(_TIMES), *text.find(_ROW)):
        values = {key: float(times[key]) for key in _KEYS}
        yield from _figures(times["what"], values, number)
        if times["what"] == "NPU_compute_time":
            timing = _timing(values)
    if match["batch"] is None:
        if timing is None or timing.mean is None:
            raise text.cut_off("'NPU_compute_time (ms): min = <number>, ..., mean = <number>'")
        batch = rate * timing.mean
        if text.batch and math.isclose(text.batch, batch, rel_tol=0.05):  # the mean is rounded
            batch = text.batch
    else:
        batch, mean = float(match["batch"]), float(match["mean"])
        yield Figure(mean, "NPU_compute_time.mean, ms", line)
        follows = 1000 * batch / mean if mean else math.inf
        if not math.isclose(rate, follows, rel_tol=1e-4):
            yield (
                f"the log states {rate:g} samples/s, but 1000 x {batch:g} / {mean:g} is {follows:g}"
            )
    yield Figure(rate, "throughput", line)
    yield _stage(text, line, rate, batch, timing)


def _read_json(text: Text) -> Iterator[Part]:
    rate, batch, timing = _number(text, text.document, "throughput"), 0.0, None
    yield Figure(rate, "throughput", text.line_of("throughput"))
    for what in filter(text.document.__contains__, _MEASURED):
        entry = text.document[what]
        if not isinstance(entry, dict):
            raise text.error(f"{what}: an object with min, max, mean, median and P99 was expected")
        names = (*_KEYS[:4], "P99" if "P99" in entry else "percentile(99%)")
        values = {k: _number(text, entry, n, what) for k, n in zip(_KEYS, names, strict=True)}
        yield from _figures(what, values, text.line_of(what))
        if what == "NPU_compute_time":
            batch = rate * values["mean"] / 1000  # by its definition: the JSON does not state it
            count = entry.get("count")
            timing = _timing(values, count if isinstance(count, int) else None)
    yield _stage(text, 1, rate, batch, timing)


def _figures(what: str, milliseconds: Mapping[str, float], line: int) -> Iterator[Figure]:
    for key, value in milliseconds.items():
        yield Figure(value, f"{what} {key}, ms", line)


def _timing(milliseconds: Mapping[str, float], repeats: int | None = None) -> Timing:
    seconds = {key: value / 1000 for key, value in milliseconds.items()}
    return Timing(repeats=repeats, **seconds)


def _number(text: Text, values: dict[str, Any], key: str, of: str = "") -> float:
    value = values.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        place = f"{of}.{key}" if of else key
        raise text.error(f"{place}: a number was expected, found {value!r}")
    return float(value)


def _stage(text: Text, line: int, rate: float, batch: float, timing: Timing | None) -> Stage:
    """Return the interface rate; with varying batch sizes only samples per second are known."""
    whole = round(batch)
    if rate <= 0 or batch <= 0:
        raise text.error(f"a throughput above 0 was expected, found {rate:g}", line)
    if whole >= 1 and math.isclose(batch, whole, rel_tol=1e-4):
        size, rates = whole, {"batches": rate / whole}
    else:
        size, rates = None, {"samples": rate}
    return batch_stage(text.network, "interface", size, "ascend", seconds=timing, **rates)
