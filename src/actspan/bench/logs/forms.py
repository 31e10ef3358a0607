"""Every form of log that can be read, recognised by its content."""

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
    """How a form is recognised and read.

    Attributes
    ----------
    fits : callable
        Whether a text is of this form, by its content.
    read : callable
        Raises BenchError where it is damaged.
    """

    fits: Callable[[Text], bool]
    read: Callable[[Text], Log]


# ais_bench drives trtexec too and repeats its lines, hence trtexec first
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
    """Read a log of any known form.

    Raises
    ------
    BenchError
        It is of no known form, or cut off, or damaged; names the file, the line and what was
        expected.
    """
    return read_text(Text(path))


def read_text(text: Text) -> Log:
    """The same of a file's text."""
    for form in FORMS.values():
        if form.fits(text):
            try:
                return form.read(text)
            except (ValueError, OverflowError) as error:  # a rate of 0, a time without end
                raise text.error(str(error)) from error
    raise text.error(f"not a log of a known tool; known are: {'; '.join(FORMS)}")


def is_log(path: Path) -> bool:
    """Whether it is of a known form, whole or not."""
    text = Text(path)
    return any(form.fits(text) for form in FORMS.values())
