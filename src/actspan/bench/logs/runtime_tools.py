"""Logs of the runtimes' own tools: trtexec, OpenVINO's benchmark_app, onnxruntime_perf_test."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from actspan.bench.logs.text import (
    NO_BATCH,
    NUMBER,
    Figure,
    Part,
    Reader,
    Text,
    batch_stage,
    find_shapes,
    marked,
)
from actspan.bench.records import Timing
from actspan.core.wording import counted

# trtexec, in the layout of TensorRT 7 or the newer one, and its command lines.
#
# [I] GPU Compute                     [I] === Performance summary ===
# [I] min: 0.045166 ms                [I] Throughput: 716.632 qps
# [I] mean: 0.0565804 ms              [I] GPU Compute Time: min = 1.3476 ms, max = ..., mean = ...
# [I] percentile: 0.0620117 ms at 99% [I] Total GPU Compute Time: 2.9833 s
#
# Times are per batch. A query (qps) is a batch too, except with implicit batches (`--batch=N`).

_BEGIN = r"\[I\]\s+(?:GPU Compute|Host Latency|=== Performance)|&&&& RUNNING TensorRT.trtexec"
_NEW = re.compile(r"(?:^|\]\s|\s)GPU Compute Time:\s*(?P<rest>.*)$")
_OLD = re.compile(r"\[I\]\s+GPU Compute\s*$")
_OLD_LINE = re.compile(
    rf"\[I\]\s+(?P<name>min|max|mean|median|percentile):\s*(?P<value>{NUMBER}) ms"
    r"(?:\s+at (?P<percent>\d+)%)?\s*$"
)
_NEW_PART = re.compile(
    rf"(?P<name>min|max|mean|median|percentile\((?P<percent>\d+)%\)) = (?P<value>{NUMBER}) ms"
)
_NEEDED = ("min", "max", "mean", "median")
_KEPT = (*_NEEDED, "p90", "p99")
_THROUGHPUT = re.compile(rf"[Tt]hroughput:\s*(?P<value>{NUMBER}) qps")
_TOTAL = re.compile(rf"(?:Total GPU Compute Time|total compute time):\s*(?P<value>{NUMBER}) s")
_IMPLICIT = re.compile(r"trtexec\b.*--batch=(\d+)")
_INPUT_SHAPE = re.compile(r"Input inference shape\s*:\s*\S+?=(\d+)x")

_Milliseconds = Mapping[str, tuple[int, float]]  # name: line number, milliseconds


def _read_trtexec(text: Text) -> Iterator[Part]:
    times, name = _times(text), text.network
    # qps of a network with implicit batches counts samples
    implicit = next((int(match[1]) for _, match in text.find(_IMPLICIT)), None)
    stated = [shapes.batch for shapes in find_shapes(text.lines)]
    stated += [int(match[1]) for _, match in text.find(_INPUT_SHAPE)]
    batch = next(iter(stated), implicit) or text.batch
    seconds = {key: value / 1000 for key, (_, value) in times.items() if key in _KEPT}
    timing = Timing(repeats=None, **seconds)
    if not timing.mean:
        raise text.error("a mean above 0 ms was expected", times["mean"][0])
    rate = 1 / timing.mean
    yield batch_stage(name, "interface", batch, "tensorrt", batches=rate, seconds=timing)
    for key, (line, value) in times.items():
        yield Figure(value, f"GPU Compute {key}, ms", line)
    for line, match in text.find(_THROUGHPUT):
        qps = float(match["value"])
        yield Figure(qps, "Throughput, qps", line)
        if qps > 0:  # by the host's clock, with copies; TensorRT 7 prints 0 for an explicit batch
            batches, samples = (qps, None) if implicit is None else (qps / implicit, qps)
            yield batch_stage(
                name, "end-to-end", batch, "tensorrt", batches=batches, samples=samples
            )
    for line, match in text.find(_TOTAL):
        yield Figure(float(match["value"]), "total compute, s", line)
    if batch is None:
        yield NO_BATCH


TRTEXEC = Reader("trtexec", marked(_BEGIN), _read_trtexec)


def _times(text: Text) -> _Milliseconds:
    new = [(n, m) for n, m in text.find(_NEW) if "Total" not in text.lines[n - 1]]
    blocks = [*new, *text.find(_OLD)]
    if not blocks:
        raise text.cut_off("'[I] GPU Compute' or '[I] GPU Compute Time: min = <number> ms, ...'")
    if len(blocks) > 1:
        raise text.error("a second block of GPU compute time: one run per file", blocks[1][0])
    line, match = blocks[0]
    if not new:
        return _old_times(text, line)
    times = {_name(m): (line, float(m["value"])) for m in _NEW_PART.finditer(match["rest"])}
    for name in _NEEDED:
        if name not in times:
            raise text.error(f"expected '{name} = <number> ms' in GPU Compute Time", line)
    return times


def _old_times(text: Text, start: int) -> _Milliseconds:
    times: dict[str, tuple[int, float]] = {}
    for number, name in enumerate((*_NEEDED, "percentile"), start + 1):
        at = name == "percentile"
        match = _OLD_LINE.search(text.lines[number - 1]) if number <= len(text.lines) else None
        if match is None or match["name"] != name or (match["percent"] is None) == at:
            line = f"'[I] {name}: <number> ms{' at 99%' if at else ''}'"
            expected = f"{line} of the block GPU Compute that begins at line {start}"
            if number > text.last:
                raise text.cut_off(expected)
            raise text.error(f"expected {expected}", number)
        times[_name(match)] = number, float(match["value"])
    return times


def _name(match: re.Match[str]) -> str:
    return match["name"] if match["percent"] is None else f"p{match['percent']}"


# benchmark_app prints its figures, and writes a statistics report as CSV or JSON. Its throughput
# (FPS) is iterations per second times the batch size that it assumes. Without `-layout` it assumes
# 1, for any shape: then FPS counts batches. The report states both that size and the
# command line, so samples per second are computed from the shape.

_TIMES = ("median", "mean", "min", "max", "p99", "p90")
_FIGURES = {  # name in `Timing` or here: (printed line, key of the report)
    "throughput": ("Throughput", "throughput"),
    "median": ("Median|Latency", "latency (ms)"),  # "Latency" before 2022.1
    "mean": ("Average|AVG", "avg latency"),
    "min": ("Min|MIN", "min latency"),
    "max": ("Max|MAX", "max latency"),
    "p99": ("99 percentile", "latency (99 percentile) (ms)"),
    "p90": ("90 percentile", "latency (90 percentile) (ms)"),
    "repeats": ("Count", "total number of iterations"),
    "frames": ("(?:Model|Network) batch size", "batch size"),
}
_UNITS = {"throughput": " FPS", "repeats": " iterations", "frames": ""}
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_PRINTED = {  # versions before 2022.2 print the report without [ INFO ]
    name: re.compile(
        rf"^\s*(?:\[ INFO \])?\s*(?:{title}):\s+(?P<value>{NUMBER})"
        + _UNITS.get(name, " (?P<unit>ms|us|ns)")
    )
    for name, (title, _) in _FIGURES.items()
}
_REPORTED = {key: name for name, (_, key) in _FIGURES.items()}
# Inputs are listed before outputs, each with type, layout and shape.
_SHAPE = re.compile(r"\(node: [^)]*\) : \S+ / \[[^\]]*\] / \[(?P<batch>\d+),")

_Values = dict[str, tuple[float, Figure]]  # times in seconds, and as printed


def _read_benchmark_app(text: Text) -> Iterator[Part]:
    """Yield the parts of the printed output, or of a report in CSV or JSON."""
    is_report = text.document is not None or text.contains(r"^[^\[].*;")
    values, shape = _reported_values(text) if is_report else _printed_values(text)
    if "throughput" not in values:
        raise text.cut_off("the throughput (at the end of the report)")
    rate, printed = values["throughput"]
    if rate <= 0:
        raise text.error("a throughput above 0 was expected", printed.line)
    frames = round(values["frames"][0]) if "frames" in values else 1
    if frames < 1:
        raise text.error("a batch size above 0 was expected", values["frames"][1].line)
    batch = shape or text.batch or frames
    timing = Timing(
        repeats=round(values["repeats"][0]) if "repeats" in values else None,
        **{name: values[name][0] for name in _TIMES if name in values},
    )
    yield batch_stage(
        text.network, "interface", batch, "openvino", batches=rate / frames, seconds=timing
    )
    yield from (figure for _, figure in values.values())
    if batch != frames:
        yield (
            f"benchmark_app counted {counted(frames, 'sample')} per batch, the shape says "
            f"{batch}: its FPS are batches per second (give it -layout)"
        )


BENCHMARK_APP = Reader(
    "benchmark_app",
    marked(
        r"^Execution results$|^\[Step \d+/\d+\]|^Command line param|"
        rf"{_PRINTED['throughput'].pattern}",
        key="execution_results",
    ),
    _read_benchmark_app,
)


def _printed_values(text: Text) -> tuple[_Values, int | None]:
    values: _Values = {}
    for name, pattern in _PRINTED.items():
        for line, match in text.find(pattern):
            unit = match.groupdict().get("unit")
            figure = Figure(float(match["value"]), f"{name}, {unit}" if unit else name, line)
            values[name] = figure.value * (_SECONDS[unit] if unit else 1), figure
    configured = next((line for line, _ in text.find(r"^\[Step 6/11\]")), 1)
    shapes = [int(match["batch"]) for line, match in text.find(_SHAPE) if line > configured]
    return values, shapes[0] if shapes else None


def _reported_values(text: Text) -> tuple[_Values, int | None]:
    values: _Values = {}
    shape = None
    for key, written in _entries(text):
        if key == "-shape" and (match := re.search(r"\[(\d+),", written)):
            shape = int(match[1])
        if key not in _REPORTED:
            continue
        name, line = _REPORTED[key], text.line_of(key)
        if not re.fullmatch(NUMBER, written):
            raise text.error(f"{key}: a number was expected, found {written!r}", line)
        unit = _SECONDS["ms"] if name in _TIMES else 1.0
        values[name] = float(written) * unit, Figure(float(written), key, line)
    return values, shape


def _entries(text: Text) -> Iterator[tuple[str, str]]:
    """Yield keys and values of all parts of a report."""
    if text.document is None:
        yield from (line.split(";", 1) for line in text.lines if ";" in line)  # type: ignore[misc]
        return
    for part in text.document.values():
        if isinstance(part, dict):
            yield from ((key, str(value)) for key, value in part.items())


# onnxruntime_perf_test prints
#   Average inference time cost: 1.85739 ms
#   Number of inferences per second: 538.184
#   P99 Latency: 0.00190312 s
# An inference is a batch. Its size is not printed, so it is read from the file's name.

_AVERAGE = re.compile(
    rf"Average (?:inference )?time cost(?: total)?:\s*(?P<value>{NUMBER}) (?P<unit>ms|s)\b"
)
_RATE = re.compile(rf"Number of inferences per second:\s*(?P<value>{NUMBER})\s*$")
_LATENCY = re.compile(
    rf"(?P<name>Min|Max|P50|P90|P99) Latency(?::| is)\s*(?P<value>{NUMBER})\s*s(?:ec)?\b"
)
_REPEATS = re.compile(r"Total (?:inference requests|iterations):\s*(?P<value>\d+)")
_NAMES = {"Min": "min", "Max": "max", "P50": "median", "P90": "p90", "P99": "p99"}


def _read_perf_test(text: Text) -> Iterator[Part]:
    mean = next(text.find(_AVERAGE), None)
    if mean is None:
        raise text.cut_off("'Average inference time cost: <number> ms'")
    line, match = mean
    average = float(match["value"])
    seconds = average * _SECONDS[match["unit"]]
    if not seconds:
        raise text.error("a time above 0 was expected", line)
    yield Figure(average, f"average, {match['unit']}", line)
    times = {}
    for line, match in text.find(_LATENCY):
        times[_NAMES[match["name"]]] = float(match["value"])
        yield Figure(float(match["value"]), f"{match['name']} Latency, s", line)
    repeats = next((int(match["value"]) for _, match in text.find(_REPEATS)), None)
    name, batch = text.network, text.batch
    timing = Timing(repeats=repeats, mean=seconds, **times)
    yield batch_stage(name, "interface", batch, "onnxruntime", batches=1 / seconds, seconds=timing)
    for line, match in text.find(_RATE):
        rate = float(match["value"])
        yield Figure(rate, "inferences per second", line)
        yield batch_stage(name, "end-to-end", batch, "onnxruntime", batches=rate)
    if batch is None:
        yield NO_BATCH


PERF_TEST = Reader(
    "onnxruntime_perf_test",
    marked(r"Session creation time cost|Average.* time cost"),
    _read_perf_test,
)
