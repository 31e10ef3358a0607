"""Text of a log with line numbers, and the content that a reader extracts."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from actspan.bench.records import (
    BatchesPerSecond,
    SamplesPerSecond,
    Scope,
    Stage,
    Timing,
    samples_of,
)
from actspan.core.errors import BenchError
from actspan.core.files import read_bytes
from actspan.core.limits import LINE, LOG

LineMatch = tuple[int, re.Match[str]]  # line number, match

NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"

NO_BATCH = "the batch size is not known: call the file ..._bs<b>"

_NETWORK = re.compile(r"(?<![a-z])(tem|pem|bmn)(?![a-z])", re.IGNORECASE)
_MODEL_FILE = re.compile(r"(?<![^\s=:\"',;])[^\s=:\"',;]+\.(?:onnx|om|engine|plan|trt|xml)\b")
_BATCH = re.compile(r"(?<![a-z])(?:batchsize|batch|bs)[_-]?(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a log, as printed."""

    value: float
    label: str  # name of the number in the log, with its unit
    line: int  # from 1


@dataclass(frozen=True, slots=True)
class Log:
    """The content of a log."""

    path: Path
    tool: str  # that wrote the log
    stages: tuple[Stage, ...]
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()  # remarks for readers of the figures


class Text:
    """A file's lines, numbered from 1, and its JSON document if it is one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            content = read_bytes(path, LOG)
        except OSError as error:
            raise BenchError(f"{path}: cannot be read: {error.strerror}") from error
        # A redirected PowerShell command writes UTF-16.
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        self.content = content.decode("utf-16" if wide else "utf-8-sig", errors="replace")
        self.lines = [line[:LINE] for line in self.content.splitlines()]

    @cached_property
    def document(self) -> Any:
        """Return the JSON document; None if the file is not JSON."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None

    def find(self, pattern: str | re.Pattern[str]) -> Iterator[LineMatch]:
        """Yield the lines in which a pattern occurs: number and match."""
        compiled = re.compile(pattern)
        for number, line in enumerate(self.lines, 1):
            if match := compiled.search(line):
                yield number, match

    def only(
        self, mark: str, pattern: re.Pattern[str], *, expected: str, repeated: str
    ) -> LineMatch:
        """Return the number and the match of the only line with `mark`.

        An error is raised if there is none or a second one, or if it does not match `pattern`.
        """
        numbers = [number for number, _ in self.find(mark)]
        if not numbers:
            raise self.cut_off(expected)
        if len(numbers) > 1:
            raise self.error(f"{repeated} per file", numbers[1])
        match = pattern.search(self.lines[numbers[0] - 1])
        if match is None:
            raise self.error(f"expected {expected}", numbers[0])
        return numbers[0], match

    def contains(self, pattern: str | re.Pattern[str]) -> bool:
        """Check that a pattern occurs in a line."""
        return any(True for _ in self.find(pattern))

    def line_of(self, text: str) -> int:
        """Return the number of the first line with this text, else 1."""
        return next((number for number, _ in self.find(re.escape(text))), 1)

    def error(self, message: str, line: int | None = None) -> BenchError:
        """Return an error that names the file and the line."""
        place = str(self.path) if line is None else f"{self.path}, line {line}"
        return BenchError(f"{place}: {message}")

    def cut_off(self, expected: str) -> BenchError:
        """Return an error about a log that ends before a required part."""
        what = "the log is cut off, or of a version of the tool that is not read"
        return self.error(f"{expected} was expected before the end: {what}", self.last)

    @property
    def last(self) -> int:
        """Number of the last line that is not empty."""
        return max((i for i, line in enumerate(self.lines, 1) if line.strip()), default=1)

    @property
    def network(self) -> str:
        """`tem`, `pem` or `bmn`, by the model, the file or its folder; or another model's name."""
        models = [Path(m.group()).stem for _, m in self.find(_MODEL_FILE)]
        for name in (*models, self.path.stem, self.path.absolute().parent.name):
            if match := _NETWORK.search(name):
                return match.group(1).lower()
        return models[0] if models else "network"

    @property
    def batch(self) -> int | None:
        """Return the batch size in the file's name; None if there is none."""
        return batch_in_name(self.path)


Part = Stage | Figure | str  # of a log; a str is a note


class Reader(NamedTuple):
    """A format of logs: its tool, and functions that recognise it and yield its parts.

    `read` raises ValueError, or BenchError with the line, if a log is damaged.
    """

    tool: str
    fits: Callable[[Text], bool]
    read: Callable[[Text], Iterator[Part]]


def marked(pattern: str, *, key: str | None = None) -> Callable[[Text], bool]:
    """Return a check for a line with `pattern`, or for `key` in a JSON document if it is given."""

    def fits(text: Text) -> bool:
        if key is None or text.document is None:
            return text.contains(pattern)
        return isinstance(text.document, dict) and key in text.document

    return fits


def batch_in_name(path: Path) -> int | None:
    """Return the batch size in a name such as `..._batchsize_16_...` or `tem_bs16.txt`."""
    match = _BATCH.search(path.stem)
    return int(match.group(1)) or None if match else None


def batch_stage(
    name: str,
    scope: Scope,
    batch: int | None,
    backend: str,
    *,
    batches: float | None = None,
    samples: float | None = None,
    seconds: Timing | None = None,
) -> Stage:
    """Return a stage; samples per second follow from batches if only these are given."""
    if samples is None and batches is not None and batch is not None:
        samples = samples_of(BatchesPerSecond(batches), batch)
    return Stage(
        name=name,
        scope=scope,
        batch=batch,
        samples_per_second=None if samples is None else SamplesPerSecond(samples),
        batches_per_second=None if batches is None else BatchesPerSecond(batches),
        seconds=seconds,
        backend=backend,
    )


# Command lines of trtexec, which state the batch size.
_OPTION = re.compile(r"--(shapes|optShapes)=(\S+)")
_MODEL = re.compile(r"--(?:onnx|loadEngine)=(\S+)")
_INPUT = re.compile(r"^['\"]?(?P<name>[^:]+):(?P<sizes>\d+(?:\D\d+)*)['\"]?$")
_INPUT_NAMES = {"tem": "video", "pem": "video_feature"}  # of the published export, and of ours


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
