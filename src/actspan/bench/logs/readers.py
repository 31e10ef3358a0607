"""Readers of logs, chosen by the content of a file; the reader of our own results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from actspan.bench.logs import ascend, runtime_tools, trtexec
from actspan.bench.logs.text import Figure, Log, Text
from actspan.bench.result import FORMAT, BenchResult, decode_result

__all__ = ["READERS", "Reader", "is_log", "read_log", "read_text"]


@dataclass(frozen=True, slots=True)
class Reader:
    """Functions that recognise and read one format; `read` raises BenchError if it is damaged."""

    fits: Callable[[Text], bool]
    read: Callable[[Text], Log]


def _is_result(text: Text) -> bool:
    return isinstance(text.document, dict) and text.document.get("format") == FORMAT


def _read_result(text: Text) -> Log:
    result = decode_result(text.content, where=str(text.path))
    notes = (*([result.material] if result.material else []), *result.notes)
    return Log(text.path, "actspan bench", result.stages, tuple(_figures(text, result)), notes)


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


# ais_bench can run trtexec and repeat its lines, so trtexec is tried first.
READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "actspan bench": Reader(_is_result, _read_result),
        ascend.BENCHMARK: Reader(ascend.is_benchmark, ascend.read_benchmark),
        ascend.PURE_INFERENCE: Reader(ascend.is_pure_inference, ascend.read_pure_inference),
        trtexec.TOOL: Reader(trtexec.is_trtexec, trtexec.read_trtexec),
        ascend.AIS_BENCH: Reader(ascend.is_ais_bench, ascend.read_ais_bench),
        runtime_tools.BENCHMARK_APP: Reader(
            runtime_tools.is_benchmark_app, runtime_tools.read_benchmark_app
        ),
        runtime_tools.PERF_TEST: Reader(runtime_tools.is_perf_test, runtime_tools.read_perf_test),
    }
)


def read_log(path: Path) -> Log:
    """Read a log of any known format.

    Raises
    ------
    BenchError
        The format is not known, or the log is cut off or damaged; names the file, the line and
        what was expected.
    """
    return read_text(Text(path))


def read_text(text: Text) -> Log:
    """Read a log from a file's text; see `read_log`."""
    for reader in READERS.values():
        if reader.fits(text):
            try:
                return reader.read(text)
            except (ValueError, OverflowError) as error:  # a rate of 0, a time without end
                raise text.error(str(error)) from error
    raise text.error(f"not a log of a known tool; known are: {'; '.join(READERS)}")


def is_log(path: Path) -> bool:
    """Check that a file has a known format, complete or not."""
    text = Text(path)
    return any(reader.fits(text) for reader in READERS.values())
