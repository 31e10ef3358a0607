"""Results of `actspan bench`."""

from __future__ import annotations

from collections.abc import Iterator

from actspan.bench.logs.base import Figure, Log, Text
from actspan.bench.result import FORMAT, BenchResult, decode_result

TOOL = "actspan bench"


def fits(text: Text) -> bool:
    """Check for JSON with the format of `actspan bench`."""
    return isinstance(text.document, dict) and text.document.get("format") == FORMAT


def read(text: Text) -> Log:
    """Read and check the result."""
    result = decode_result(text.content, where=str(text.path))
    notes = (*([result.material] if result.material else []), *result.notes)
    return Log(text.path, TOOL, result.stages, tuple(_figures(text, result)), notes)


def _figures(text: Text, result: BenchResult) -> Iterator[Figure]:
    for stage in result.stages:
        line = text.line_of(f'"{stage.name}"')
        for unit, rate in (
            ("samples/s", stage.samples_per_second),
            ("batches/s", stage.batches_per_second),
        ):
            if rate is not None:
                yield Figure(rate, f"{stage.name} {stage.scope}, {unit}", line)
        if stage.seconds is not None and stage.seconds.mean is not None:
            yield Figure(1000 * stage.seconds.mean, f"{stage.name} mean, ms", line)
