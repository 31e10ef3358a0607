"""Summary of the NPU benchmark, `perf_vision_batchsize_<b>_device_<d>.txt`.

[e2e] throughputRate: 180.879, latency: 106303
[inference] throughputRate: 182, Interface throughputRate: 3275.55, moduleLatency: 0.561457

Rates are samples per second of one chip, but [postprocess] counts batches. The latency of [e2e] is
that of the whole run, in milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from actspan.bench.logs.base import NUMBER, Figure, Log, Text, batch_in_name, network_of
from actspan.bench.result import BatchesPerSecond, SamplesPerSecond, Stage, samples_of
from actspan.pipeline.stages import Scope

TOOL = "NPU benchmark"

_E2E = "'[e2e] throughputRate: <number>, latency: <number>'"
_INFERENCE = (
    "'[inference] throughputRate: <number>, Interface throughputRate: <number>, "
    "moduleLatency: <number>'"
)
_OTHER = "'[<step>] throughputRate: <number>, moduleLatency: <number>'"

_SHORT = {"infer": "inference", "post": "postprocess"}  # names in some versions
_LINE = re.compile(
    r"\[(?P<step>e2e|data read|preprocess|infer(?:ence)?|post(?:process)?)\]\s*"
    rf"throughputRate:\s*(?P<rate>{NUMBER}),\s*"
    rf"(?:Interface throughputRate:\s*(?P<interface>{NUMBER}),\s*)?"
    rf"(?P<delay>latency|moduleLatency):\s*(?P<milliseconds>{NUMBER})\s*$"
)

_Lines = Mapping[str, tuple[int, re.Match[str]]]  # step: line number, its parts


def fits(text: Text) -> bool:
    """Check for a line with a `throughputRate`."""
    return any(True for _ in text.find(r"\]\s*throughputRate:"))


def read(text: Text) -> Log:
    """Read a performance summary."""
    found = _lines(text)
    name, batch = network_of(text), batch_in_name(text.path)
    whole: dict[Scope, float] = {
        "interface": float(found["inference"][1]["interface"]),
        "end-to-end": _rate(found, "e2e"),
    }
    stages = [
        Stage(
            name=name,
            scope=scope,
            batch=batch,
            samples_per_second=SamplesPerSecond(rate),
            backend="ascend",
        )
        for scope, rate in whole.items()
    ]
    for step in found:
        if step == "e2e" or _rate(found, step) == 0:  # 0 means that the step had no work
            continue
        if step == "postprocess":
            stages.append(_postprocess(name, batch, BatchesPerSecond(_rate(found, step))))
        else:
            rate = SamplesPerSecond(_rate(found, step))
            stages.append(
                Stage(name=f"{name} {step}", scope="step", batch=batch, samples_per_second=rate)
            )
    return Log(text.path, TOOL, tuple(stages), tuple(_figures(found)), tuple(_notes(found, batch)))


def _lines(text: Text) -> _Lines:
    found: dict[str, tuple[int, re.Match[str]]] = {}
    for number, _ in text.find("throughputRate"):
        line = text.lines[number - 1]
        match = _LINE.search(line)
        if match is None or (match["step"].startswith("infer") and match["interface"] is None):
            raise text.error(f"expected {_expected(line)}", number)
        step = _SHORT.get(match["step"], match["step"])
        if step in found:
            raise text.error(f"a second [{step}]: one summary a file", number)
        found[step] = number, match
    for step, expected in (("e2e", _E2E), ("inference", _INFERENCE)):
        if step not in found:
            raise text.cut_off(expected)
    return found


def _expected(line: str) -> str:
    return _E2E if "[e2e" in line else _INFERENCE if "[infer" in line else _OTHER


def _rate(found: _Lines, step: str) -> float:
    return float(found[step][1]["rate"])


def _postprocess(name: str, batch: int | None, rate: BatchesPerSecond) -> Stage:
    return Stage(
        name=f"{name} postprocess",
        scope="step",
        batch=batch,
        samples_per_second=None if batch is None else samples_of(rate, batch),
        batches_per_second=rate,
    )


def _figures(found: _Lines) -> Iterator[Figure]:
    for step, (number, match) in found.items():
        yield Figure(float(match["rate"]), f"[{step}] throughputRate", number)
        if match["interface"] is not None:
            yield Figure(float(match["interface"]), "Interface throughputRate", number)
        yield Figure(float(match["milliseconds"]), f"[{step}] {match['delay']}, ms", number)


def _notes(found: _Lines, batch: int | None) -> Iterator[str]:
    if batch is None:
        yield (
            "the batch size is not in the file's name: call it perf_vision_batchsize_<b>_... "
            "or ..._bs<b>"
        )
    elif batch > 1 and "postprocess" in found and _rate(found, "postprocess"):
        rate = BatchesPerSecond(_rate(found, "postprocess"))
        yield (
            f"[postprocess] counts batches: {rate:g} batches/s are "
            f"{samples_of(rate, batch):.1f} samples/s"
        )
