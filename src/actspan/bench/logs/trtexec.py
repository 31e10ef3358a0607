"""Output of trtexec, in the layout of TensorRT 7 or the newer one, and its command lines.

[I] GPU Compute                     [I] === Performance summary ===
[I] min: 0.045166 ms                [I] Throughput: 716.632 qps
[I] mean: 0.0565804 ms              [I] GPU Compute Time: min = 1.3476 ms, max = ..., mean = ...
[I] percentile: 0.0620117 ms at 99% [I] Total GPU Compute Time: 2.9833 s

Times are per batch. A query (qps) is a batch too, except with implicit batches (`--batch=N`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actspan.bench.logs.text import (
    NO_BATCH,
    NUMBER,
    Figure,
    Part,
    Reader,
    Text,
    batch_stage,
    marked,
)
from actspan.bench.result import Timing

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

_OPTION = re.compile(r"--(shapes|optShapes)=(\S+)")
_MODEL = re.compile(r"--(?:onnx|loadEngine)=(\S+)")
_INPUT = re.compile(r"^['\"]?(?P<name>[^:]+):(?P<sizes>\d+(?:\D\d+)*)['\"]?$")
_INPUT_NAMES = {"tem": "video", "pem": "video_feature"}  # of the published export, and of ours

_Times = Mapping[str, tuple[int, float]]  # name: line number, milliseconds


def _read_trtexec(text: Text) -> Iterator[Part]:
    times, name = _times(text), text.network
    # qps of a network with implicit batches counts samples
    implicit = next((int(match[1]) for _, match in text.find(_IMPLICIT)), None)
    stated = [shapes.batch for shapes in find_shapes(text.lines)]
    stated += [int(match[1]) for _, match in text.find(_SHAPE)]
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


def _times(text: Text) -> _Times:
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


def _old_times(text: Text, start: int) -> _Times:
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


@dataclass(frozen=True, slots=True)
class Shapes:
    """`--shapes=video:16x400x100` of a command line."""

    line: int
    batch: int  # the first size of the first input
    problem: str  # mistake in the option; empty if there is none


def find_shapes(lines: Sequence[str]) -> Iterator[Shapes]:
    """Yield every `--shapes` or `--optShapes` of trtexec in these lines."""
    for number, line in enumerate(lines, 1):
        for option in _OPTION.finditer(line) if "trtexec" in line else ():
            inputs = [_INPUT.match(part) for part in option[2].split(",")]
            sizes = {match["name"]: re.findall(r"\d+", match["sizes"]) for match in inputs if match}
            if len(sizes) == len(inputs):
                batch = int(next(iter(sizes.values()))[0])
                problem = "; ".join(_problems(line, option[1], option[2], sizes))
                yield Shapes(number, batch, problem)


def _problems(
    line: str, option: str, written: str, sizes: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    right = ",".join(f"{name}:{'x'.join(size)}" for name, size in sizes.items())
    if right != written.strip("'\""):
        yield (
            f"--{option}={written} is not trtexec's syntax, which joins sizes by x: "
            f"--{option}={right}"
        )
    model = _MODEL.search(line)
    words = re.split(r"[^a-z]+", Path(model[1]).stem.lower()) if model else []
    for net, name in _INPUT_NAMES.items():
        if net in words and len(sizes) == 1 and name not in sizes:
            yield f"the input of {net.upper()} is named {name}, not {next(iter(sizes))}"
