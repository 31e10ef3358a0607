"""Logs of speed, ours and those of other tools; the content of a file decides who reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from actspan.bench.logs import ascend, runtime_tools
from actspan.bench.logs.text import Figure, Log, Part, Reader, Text
from actspan.bench.records import FORMAT, Stage, decode_result


def _is_result(text: Text) -> bool:
    return isinstance(text.document, dict) and text.document.get("format") == FORMAT


def _read_result(text: Text) -> Iterator[Part]:
    result = decode_result(text.content, where=str(text.path))
    yield from filter(None, (result.material, *result.notes))
    for stage in result.stages:
        yield stage
        line = text.line_of(f'"{stage.name}"')
        for unit in ("samples", "batches"):
            rate = getattr(stage, f"{unit}_per_second")
            if rate is not None:
                yield Figure(rate, f"{stage.name} {stage.scope}, {unit}/s", line)
        if stage.seconds is not None and stage.seconds.mean is not None:
            yield Figure(1000 * stage.seconds.mean, f"{stage.name} mean, ms", line)


# ais_bench can run trtexec and repeat its lines, so trtexec is tried first.
READERS = (
    Reader("actspan bench", _is_result, _read_result),
    ascend.BENCHMARK,
    ascend.PURE_INFERENCE,
    runtime_tools.TRTEXEC,
    ascend.AIS_BENCH,
    runtime_tools.BENCHMARK_APP,
    runtime_tools.PERF_TEST,
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
    reader = _reader_of(text)
    if reader is None:
        known = "; ".join(reader.tool for reader in READERS)
        raise text.error(f"not a log of a known tool; known are: {known}")
    try:
        parts = list(reader.read(text))
    except (ValueError, OverflowError) as error:  # a rate of 0, a time without end
        raise text.error(str(error)) from error
    return Log(
        text.path,
        reader.tool,
        stages=tuple(part for part in parts if isinstance(part, Stage)),
        figures=tuple(part for part in parts if isinstance(part, Figure)),
        notes=tuple(part for part in parts if isinstance(part, str)),
    )


def is_log(path: Path) -> bool:
    """Check that a file has a known format, complete or not."""
    return _reader_of(Text(path)) is not None


def _reader_of(text: Text) -> Reader | None:
    return next((reader for reader in READERS if reader.fits(text)), None)
