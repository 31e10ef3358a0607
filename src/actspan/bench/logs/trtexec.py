"""Output of trtexec, in the layout of TensorRT 7 or the newer one.

[I] GPU Compute                     [I] === Performance summary ===
[I] min: 0.045166 ms                [I] Throughput: 716.632 qps
[I] mean: 0.0565804 ms              [I] GPU Compute Time: min = 1.3476 ms, max = ..., mean = ...
[I] percentile: 0.0620117 ms at 99% [I] Total GPU Compute Time: 2.9833 s

Times are per batch. A query (qps) is a batch too, except with implicit batches (`--batch=N`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from actspan.bench.commands import find_shapes
from actspan.bench.logs.base import NUMBER, Figure, Log, Text, batch_in_name, network_of
from actspan.bench.result import (
    BatchesPerSecond,
    SamplesPerSecond,
    Stage,
    Timing,
    batches_of,
    samples_of,
)

TOOL = "trtexec"

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
_SHAPE = re.compile(r"Input inference shape\s*:\s*\S+?=(\d+)x")

_Times = Mapping[str, tuple[int, float]]  # name: line number, milliseconds


def fits(text: Text) -> bool:
    """Check for trtexec's first line, or a heading of its summary."""
    return any(True for _ in text.find(_BEGIN))


def read(text: Text) -> Log:
    """Read either layout."""
    times = _times(text)
    name, batch = network_of(text), _batch(text)
    seconds = {key: value / 1000 for key, (_, value) in times.items() if key in _KEPT}
    timing = Timing(repeats=None, **seconds)
    if not timing.mean:
        raise text.error("a mean above 0 ms was expected", times["mean"][0])
    rate = BatchesPerSecond(1 / timing.mean)
    stages = [
        Stage(
            name=name,
            scope="interface",
            batch=batch,
            batches_per_second=rate,
            samples_per_second=None if batch is None else samples_of(rate, batch),
            seconds=timing,
            backend="tensorrt",
        )
    ]
    figures = [Figure(v, f"GPU Compute {key}, ms", line) for key, (line, v) in times.items()]
    for line, match in text.find(_THROUGHPUT):
        figures.append(Figure(float(match["value"]), "Throughput, qps", line))
        if float(match["value"]) > 0:  # TensorRT 7 prints 0 for an explicit batch
            stages.append(_host(name, batch, float(match["value"]), _implicit(text)))
    figures += [Figure(float(m["value"]), "total compute, s", n) for n, m in text.find(_TOTAL)]
    return Log(text.path, TOOL, tuple(stages), tuple(figures), tuple(_notes(batch)))


def _times(text: Text) -> _Times:
    new = [(n, m) for n, m in text.find(_NEW) if "Total" not in text.lines[n - 1]]
    old = list(text.find(_OLD))
    if len(new) + len(old) > 1:
        raise text.error("a second block of GPU compute time: one run a file", (new + old)[1][0])
    if new:
        return _new_times(text, *new[0])
    if old:
        return _old_times(text, old[0][0])
    raise text.cut_off("'[I] GPU Compute' or '[I] GPU Compute Time: min = <number> ms, ...'")


def _new_times(text: Text, number: int, match: re.Match[str]) -> _Times:
    times = {
        _name(part): (number, float(part["value"])) for part in _NEW_PART.finditer(match["rest"])
    }
    for name in _NEEDED:
        if name not in times:
            raise text.error(f"expected '{name} = <number> ms' in GPU Compute Time", number)
    return times


def _old_times(text: Text, start: int) -> _Times:
    times: dict[str, tuple[int, float]] = {}
    for number, name in enumerate((*_NEEDED, "percentile"), start + 1):
        line = text.lines[number - 1] if number <= len(text.lines) else ""
        match = _OLD_LINE.search(line)
        at = name == "percentile"
        if match is None or match["name"] != name or (match["percent"] is None) == at:
            wanted = f"'[I] {name}: <number> ms{' at 99%' if at else ''}'"
            expected = f"{wanted} of the block GPU Compute that begins at line {start}"
            if number > text.last:
                raise text.cut_off(expected)
            raise text.error(f"expected {expected}", number)
        times[_name(match)] = number, float(match["value"])
    return times


def _name(match: re.Match[str]) -> str:
    return match["name"] if match["percent"] is None else f"p{match['percent']}"


def _implicit(text: Text) -> int | None:
    """Return the batch size of a network with implicit batches, for which qps counts samples."""
    return next((int(match[1]) for _, match in text.find(_IMPLICIT)), None)


def _batch(text: Text) -> int | None:
    stated = [shapes.batch for shapes in find_shapes(text.lines)]
    stated += [int(match[1]) for _, match in text.find(_SHAPE)]
    implicit = _implicit(text)
    if implicit is not None:
        stated.append(implicit)
    return stated[0] if stated else batch_in_name(text.path)


def _host(name: str, batch: int | None, qps: float, implicit: int | None) -> Stage:
    """Return the rate by the host's clock, including copies to and from the device."""
    batches = BatchesPerSecond(qps)
    samples = None if batch is None else samples_of(batches, batch)
    if implicit is not None:
        samples = SamplesPerSecond(qps)
        batches = batches_of(samples, implicit)
    return Stage(
        name=name,
        scope="end-to-end",
        batch=batch,
        batches_per_second=batches,
        samples_per_second=samples,
        backend="tensorrt",
    )


def _notes(batch: int | None) -> Iterator[str]:
    if batch is None:
        yield (
            "the batch size is neither in a --shapes nor in the file's name: call it ..._bs<b>, "
            "or only batches a second are known"
        )
