"""Logs of the Ascend NPU's tools: the benchmark's summary, its pure inference, and ais_bench.

Rates are samples per second of one chip.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actspan.bench.logs.text import (
    NUMBER,
    Figure,
    Log,
    Text,
    batch_in_name,
    batch_stage,
    network_of,
)
from actspan.bench.result import Stage, Timing

BENCHMARK, PURE_INFERENCE = "NPU benchmark", "NPU benchmark, pure inference"
AIS_BENCH = "ais_bench"

# The benchmark's summary, `perf_vision_batchsize_<b>_device_<d>.txt`:
#   [e2e] throughputRate: 180.879, latency: 106303
#   [inference] throughputRate: 182, Interface throughputRate: 3275.55, moduleLatency: 0.561457
# [postprocess] counts batches. The latency of [e2e] is that of the whole run, in milliseconds.

_E2E = "'[e2e] throughputRate: <number>, latency: <number>'"
_INFERENCE = (
    "'[inference] throughputRate: <number>, Interface throughputRate: <number>, "
    "moduleLatency: <number>'"
)
_OTHER_STEP = "'[<step>] throughputRate: <number>, moduleLatency: <number>'"
_SHORT = {"infer": "inference", "post": "postprocess"}  # names in some versions
_STEP = re.compile(
    r"\[(?P<step>e2e|data read|preprocess|infer(?:ence)?|post(?:process)?)\]\s*"
    rf"throughputRate:\s*(?P<rate>{NUMBER}),\s*"
    rf"(?:Interface throughputRate:\s*(?P<interface>{NUMBER}),\s*)?"
    rf"(?P<delay>latency|moduleLatency):\s*(?P<milliseconds>{NUMBER})\s*$"
)


def is_benchmark(text: Text) -> bool:
    """Check for a line with a `throughputRate`."""
    return text.contains(r"\]\s*throughputRate:")


def read_benchmark(text: Text) -> Log:
    """Read a performance summary of the NPU benchmark."""
    found = _steps(text)
    name, batch = network_of(text), batch_in_name(text.path)
    rates = {step: float(match["rate"]) for step, (_, match) in found.items()}
    call = float(found["inference"][1]["interface"])
    stages = [
        batch_stage(name, "interface", batch, "ascend", samples=call),
        batch_stage(name, "end-to-end", batch, "ascend", samples=rates["e2e"]),
    ]
    for step, rate in rates.items():
        if step == "postprocess" and rate:  # 0 means that the step had no work
            stages.append(batch_stage(f"{name} {step}", "step", batch, "", batches=rate))
        elif step != "e2e" and rate:
            stages.append(batch_stage(f"{name} {step}", "step", batch, "", samples=rate))
    figures, notes = [], []
    for step, (number, match) in found.items():
        figures.append(Figure(rates[step], f"[{step}] throughputRate", number))
        if match["interface"] is not None:
            rate = float(match["interface"])
            figures.append(Figure(rate, "Interface throughputRate", number))
        delay = float(match["milliseconds"])
        figures.append(Figure(delay, f"[{step}] {match['delay']}, ms", number))
    if batch is None:
        notes.append(
            "the batch size is not in the file's name: call it perf_vision_batchsize_<b>_... "
            "or ..._bs<b>"
        )
    elif batch > 1 and rates.get("postprocess"):
        rate = rates["postprocess"]
        notes.append(
            f"[postprocess] counts batches: {rate:g} batches/s are {rate * batch:.1f} samples/s"
        )
    return Log(text.path, BENCHMARK, tuple(stages), tuple(figures), tuple(notes))


def _steps(text: Text) -> dict[str, tuple[int, re.Match[str]]]:
    """Return the line number and the parts of every step."""
    found: dict[str, tuple[int, re.Match[str]]] = {}
    for number, _ in text.find("throughputRate"):
        line = text.lines[number - 1]
        match = _STEP.search(line)
        if match is None or (match["step"].startswith("infer") and match["interface"] is None):
            expected = _E2E if "[e2e" in line else _INFERENCE if "[infer" in line else _OTHER_STEP
            raise text.error(f"expected {expected}", number)
        step = _SHORT.get(match["step"], match["step"])
        if step in found:
            raise text.error(f"a second [{step}]: one summary per file", number)
        found[step] = number, match
    for step, expected in (("e2e", _E2E), ("inference", _INFERENCE)):
        if step not in found:
            raise text.cut_off(expected)
    return found


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


def is_pure_inference(text: Text) -> bool:
    """Check for a line with an `ave_throughputRate`, or for the heading of the summary."""
    return text.contains(r"PureInfer Performance Summary|ave_throughputRate")


def read_pure_inference(text: Text) -> Log:
    """Read a summary of pure inference."""
    lines = [number for number, _ in text.find("ave_throughputRate")]
    if not lines:
        raise text.cut_off(_PURE_EXPECTED)
    if len(lines) > 1:
        raise text.error("a second ave_throughputRate: one summary per file", lines[1])
    line = lines[0]
    match = _PURE.search(text.lines[line - 1])
    if match is None:
        raise text.error(f"expected {_PURE_EXPECTED}", line)
    rate = float(match["rate"])
    files = [text.path, *(Path(found.group()) for _, found in text.find(_PURE_FILE))]
    batch = next(filter(None, map(batch_in_name, files)), None)
    batches = None if batch is None else rate / batch
    stage = batch_stage(
        network_of(text), "interface", batch, "ascend", samples=rate, batches=batches
    )
    figures = (
        Figure(rate, "ave_throughputRate, samples/s", line),
        Figure(float(match["latency"]), "ave_latency, ms", line),
    )
    unknown = "the batch size is not in the file's name: call it ..._bs<b>"
    return Log(text.path, PURE_INFERENCE, (stage,), figures, () if batch else (unknown,))


# ais_bench prints
#   [INFO] NPU_compute_time (ms): min = 2.4, max = 3.9, mean = 3.5, median = 3.7, ...
#   [INFO] throughput 1000*batchsize.mean(1)/NPU_compute_time.mean(3.5): 281.3
# ais_infer, its first name, prints no numbers within the formula:
#   [INFO] throughput (1000*batchsize/NPU_compute_time): 281.3
# Newer versions print times as a table with the columns min, max, mean, median, P99. The summary
# JSON has `NPU_compute_time`, `H2D_latency`, `D2H_latency` in milliseconds and `throughput`.

_THROUGHPUT = re.compile(
    rf"hroughput 1000\*batchsize(?:\.mean)?\((?P<batch>{NUMBER})\)/"
    rf"NPU_compute_time\.mean\((?P<mean>{NUMBER})\):\s*(?P<rate>{NUMBER})\s*$"
)
_PLAIN = re.compile(
    rf"hroughput \(1000\*batchsize/NPU_compute_time(?:\.mean)?\):\s*(?P<rate>{NUMBER})\s*$"
)
_MEASURED = ("NPU_compute_time", "H2D_latency", "D2H_latency")
_KEYS = ("min", "max", "mean", "median", "p99")
_WHAT = rf"(?P<what>{'|'.join(_MEASURED)}) \(ms\)"
_TIMES = re.compile(
    rf"{_WHAT}: min = (?P<min>{NUMBER}), max = (?P<max>{NUMBER}), mean = (?P<mean>{NUMBER}), "
    rf"median = (?P<median>{NUMBER}), percentile\(99%\) = (?P<p99>{NUMBER})"
)
_ROW = re.compile(
    rf"{_WHAT}\s*[│|]\s*" + r"\s*[│|]\s*".join(rf"(?P<{key}>{NUMBER})" for key in _KEYS)
)
_EXPECTED = "'throughput 1000*batchsize.mean(<number>)/NPU_compute_time.mean(<number>): <number>'"


def is_ais_bench(text: Text) -> bool:
    """Check for `NPU_compute_time`."""
    if text.document is not None:
        return isinstance(text.document, dict) and "NPU_compute_time" in text.document
    return text.contains("NPU_compute_time")


def read_ais_bench(text: Text) -> Log:
    """Read the printed output or the summary JSON of ais_bench."""
    return _read_printed(text) if text.document is None else _read_json(text)


def _read_printed(text: Text) -> Log:
    rates = [*text.find(_THROUGHPUT), *text.find(_PLAIN)]
    begun = [number for number, _ in text.find(r"hroughput \(?1000")]
    if len(begun) > 1:
        raise text.error("a second throughput (another device?): one device per file", begun[1])
    if begun and not rates:
        raise text.error(f"expected {_EXPECTED}", begun[0])
    if not rates:
        raise text.cut_off(_EXPECTED)
    line, match = rates[0]
    figures: list[Figure] = []
    timing = None
    for number, times in (*text.find(_TIMES), *text.find(_ROW)):
        values = {key: float(times[key]) for key in _KEYS}
        figures += _figures(times["what"], values, number)
        if times["what"] == "NPU_compute_time":
            timing = _timing(values)
    rate, notes = float(match["rate"]), list[str]()
    if match.re is _PLAIN:
        if timing is None or timing.mean is None:
            raise text.cut_off("'NPU_compute_time (ms): min = <number>, ..., mean = <number>'")
        named, batch = batch_in_name(text.path), rate * timing.mean
        if named and math.isclose(named, batch, rel_tol=0.05):  # the mean is rounded
            batch = named
    else:
        batch, mean = float(match["batch"]), float(match["mean"])
        figures.append(Figure(mean, "NPU_compute_time.mean, ms", line))
        follows = 1000 * batch / mean if mean else math.inf
        if not math.isclose(rate, follows, rel_tol=1e-4):
            notes.append(
                f"the log states {rate:g} samples/s, but 1000 x {batch:g} / {mean:g} is {follows:g}"
            )
    figures.append(Figure(rate, "throughput", line))
    stage = _stage(text, line, rate, batch, timing)
    return Log(text.path, AIS_BENCH, (stage,), tuple(figures), tuple(notes))


def _read_json(text: Text) -> Log:
    rate = _number(text, text.document, "throughput")
    figures, timing = [Figure(rate, "throughput", text.line_of("throughput"))], None
    for what in _MEASURED:
        if what not in text.document:
            continue
        entry = text.document[what]
        if not isinstance(entry, dict):
            raise text.error(f"{what}: an object with min, max, mean, median and P99 was expected")
        names = (*_KEYS[:4], "P99" if "P99" in entry else "percentile(99%)")
        values = {k: _number(text, entry, n, what) for k, n in zip(_KEYS, names, strict=True)}
        figures += _figures(what, values, text.line_of(what))
        if what == "NPU_compute_time":
            count = entry.get("count")
            timing = _timing(values, count if isinstance(count, int) else None)
    mean = next(f.value for f in figures if f.label == "NPU_compute_time mean, ms")
    batch = rate * mean / 1000  # by its definition: the JSON does not state it
    return Log(text.path, AIS_BENCH, (_stage(text, 1, rate, batch, timing),), tuple(figures))


def _figures(what: str, milliseconds: dict[str, float], line: int) -> Iterator[Figure]:
    for key, value in milliseconds.items():
        yield Figure(value, f"{what} {key}, ms", line)


def _timing(milliseconds: dict[str, float], repeats: int | None = None) -> Timing:
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
    name = network_of(text)
    if whole >= 1 and math.isclose(batch, whole, rel_tol=1e-4):
        batches = rate / whole
        return batch_stage(name, "interface", whole, "ascend", batches=batches, seconds=timing)
    return batch_stage(name, "interface", None, "ascend", samples=rate, seconds=timing)
