"""Output and summary JSON of ais_bench.

[INFO] NPU_compute_time (ms): min = 2.4, max = 3.9, mean = 3.5, median = 3.7, percentile(99%) = 3.9
[INFO] throughput 1000*batchsize.mean(1)/NPU_compute_time.mean(3.5): 281.3

ais_infer, the first name of the tool, prints no numbers within the formula:

[INFO] throughput (1000*batchsize/NPU_compute_time): 281.3

Newer versions print times as a table with the columns min, max, mean, median, P99. The JSON has
`NPU_compute_time`, `H2D_latency`, `D2H_latency` in milliseconds and `throughput`, samples per
second of one chip.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from actspan.bench.logs.base import NUMBER, Figure, Log, Text, batch_in_name, network_of
from actspan.bench.result import BatchesPerSecond, SamplesPerSecond, Stage, Timing, samples_of

TOOL = "ais_bench"

_THROUGHPUT = re.compile(
    rf"hroughput 1000\*batchsize(?:\.mean)?\((?P<batch>{NUMBER})\)/"
    rf"NPU_compute_time\.mean\((?P<mean>{NUMBER})\):\s*(?P<rate>{NUMBER})\s*$"
)
_PLAIN = re.compile(
    rf"hroughput \(1000\*batchsize/NPU_compute_time(?:\.mean)?\):\s*(?P<rate>{NUMBER})\s*$"
)
_KEYS = ("min", "max", "mean", "median", "p99")
_TIMES = re.compile(
    r"(?P<what>NPU_compute_time|H2D_latency|D2H_latency) \(ms\): "
    + ", ".join(
        rf"{name} = (?P<{key}>{NUMBER})"
        for key, name in zip(_KEYS, (*_KEYS[:4], r"percentile\(99%\)"), strict=True)
    )
)
_ROW = re.compile(
    r"(?P<what>NPU_compute_time|H2D_latency|D2H_latency) \(ms\)\s*[│|]\s*"
    + r"\s*[│|]\s*".join(rf"(?P<{key}>{NUMBER})" for key in _KEYS)
)
_EXPECTED = "'throughput 1000*batchsize.mean(<number>)/NPU_compute_time.mean(<number>): <number>'"


def fits(text: Text) -> bool:
    """Check for `NPU_compute_time`."""
    if text.document is not None:
        return isinstance(text.document, dict) and "NPU_compute_time" in text.document
    return any(True for _ in text.find(r"NPU_compute_time"))


def read(text: Text) -> Log:
    """Read the printed output or the JSON."""
    return _read_text(text) if text.document is None else _read_json(text)


def _read_text(text: Text) -> Log:
    rates = [*text.find(_THROUGHPUT), *text.find(_PLAIN)]
    begun = [number for number, _ in text.find(r"hroughput \(?1000")]
    if len(begun) > 1:
        raise text.error("a second throughput (another device?): one device a file", begun[1])
    if begun and not rates:
        raise text.error(f"expected {_EXPECTED}", begun[0])
    if not rates:
        raise text.cut_off(_EXPECTED)
    line, match = rates[0]
    figures, timing = _times(text)
    rate, notes = SamplesPerSecond(float(match["rate"])), tuple[str, ...]()
    if match.re is _PLAIN:
        if timing is None or timing.mean is None:
            raise text.cut_off("'NPU_compute_time (ms): min = <number>, ..., mean = <number>'")
        batch = _batch_of(text, rate * timing.mean)
    else:
        batch, mean = float(match["batch"]), float(match["mean"])
        figures.append(Figure(mean, "NPU_compute_time.mean, ms", line))
        notes = tuple(_notes(rate, batch, mean))
    figures.append(Figure(rate, "throughput", line))
    stage = _stage(text, line, rate, batch, timing)
    return Log(text.path, TOOL, (stage,), tuple(figures), notes)


def _batch_of(text: Text, computed: float) -> float:
    """Return the batch size in the file's name if the computed one agrees with it within 5 %."""
    named = batch_in_name(text.path)
    return named if named and math.isclose(named, computed, rel_tol=0.05) else computed


def _times(text: Text) -> tuple[list[Figure], Timing | None]:
    figures, timing = [], None
    for number, times in (*text.find(_TIMES), *text.find(_ROW)):
        values = {key: float(times[key]) for key in _KEYS}
        figures += [Figure(v, f"{times['what']} {key}, ms", number) for key, v in values.items()]
        if times["what"] == "NPU_compute_time":
            seconds = {key: value / 1000 for key, value in values.items()}
            timing = Timing(repeats=None, **seconds)
    return figures, timing


def _read_json(text: Text) -> Log:
    rate = _number(text, text.document, "throughput")
    figures, timing = [Figure(rate, "throughput", text.line_of("throughput"))], None
    for what in ("NPU_compute_time", "H2D_latency", "D2H_latency"):
        if what not in text.document:
            continue
        values = _milliseconds(text, what)
        line = text.line_of(what)
        figures += [Figure(v, f"{what} {key}, ms", line) for key, v in values.items()]
        if what == "NPU_compute_time":
            count = text.document[what].get("count")
            timing = Timing(
                repeats=count if isinstance(count, int) else None,
                **{key: value / 1000 for key, value in values.items()},
            )
    mean = next(f.value for f in figures if f.label == "NPU_compute_time mean, ms")
    batch = rate * mean / 1000  # by its definition: the JSON does not state it
    stage = _stage(text, 1, SamplesPerSecond(rate), batch, timing)
    return Log(text.path, TOOL, (stage,), tuple(figures))


def _milliseconds(text: Text, what: str) -> dict[str, float]:
    entry = text.document[what]
    if not isinstance(entry, dict):
        raise text.error(f"{what}: an object with min, max, mean, median and P99 was expected")
    last = "P99" if "P99" in entry else "percentile(99%)"
    names = (*_KEYS[:4], last)
    return {k: _number(text, entry, n, what) for k, n in zip(_KEYS, names, strict=True)}


def _number(text: Text, values: dict[str, Any], key: str, of: str = "") -> float:
    value = values.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        place = f"{of}.{key}" if of else key
        raise text.error(f"{place}: a number was expected, found {value!r}")
    return float(value)


def _stage(
    text: Text, line: int, rate: SamplesPerSecond, batch: float, timing: Timing | None
) -> Stage:
    """Return the interface rate; with varying batch sizes only samples per second are known."""
    whole = round(batch)
    if rate <= 0 or batch <= 0:
        raise text.error(f"a throughput above 0 was expected, found {rate:g}", line)
    fixed = whole >= 1 and math.isclose(batch, whole, rel_tol=1e-4)
    batches = BatchesPerSecond(rate / whole) if fixed else None
    return Stage(
        name=network_of(text),
        scope="interface",
        batch=whole if fixed else None,
        samples_per_second=rate if batches is None else samples_of(batches, whole),
        batches_per_second=batches,
        seconds=timing,
        backend="ascend",
    )


def _notes(rate: SamplesPerSecond, batch: float, mean: float) -> Iterator[str]:
    follows = 1000 * batch / mean if mean else math.inf
    if not math.isclose(rate, follows, rel_tol=1e-4):
        yield f"the log states {rate:g} samples/s, but 1000 x {batch:g} / {mean:g} is {follows:g}"
