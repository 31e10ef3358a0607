"""Formats of logs that can be read, recognised by their content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from actspan.bench.logs import (
    ais_bench,
    benchmark_app,
    npu_benchmark,
    ours,
    perf_test,
    pure_infer,
    trtexec,
)
from actspan.bench.logs.base import Log, Text

__all__ = ["FORMS", "Form", "is_log", "read_log", "read_text"]


@dataclass(frozen=True, slots=True)
class Form:
    """Functions that recognise and read one format.

    Attributes
    ----------
    fits : callable
        Checks whether a text has this format.
    read : callable
        Reads the text; raises BenchError if it is damaged.
    """

    fits: Callable[[Text], bool]
    read: Callable[[Text], Log]


# ais_bench can run trtexec and repeat its lines, so trtexec is tried first.
FORMS: Mapping[str, Form] = MappingProxyType(
    {
        module.TOOL: Form(module.fits, module.read)
        for module in (
            ours,
            npu_benchmark,
            pure_infer,
            trtexec,
            ais_bench,
            benchmark_app,
            perf_test,
        )
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
    for form in FORMS.values():
        if form.fits(text):
            try:
                return form.read(text)
            except (ValueError, OverflowError) as error:  # a rate of 0, a time without end
                raise text.error(str(error)) from error
    raise text.error(f"not a log of a known tool; known are: {'; '.join(FORMS)}")


def is_log(path: Path) -> bool:
    """Check that a file has a known format, complete or not."""
    text = Text(path)
    return any(form.fits(text) for form in FORMS.values())
