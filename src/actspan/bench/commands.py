"""Command lines of trtexec in a log or a report: their shapes, and mistakes in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Shapes", "find_shapes"]

_OPTION = re.compile(r"--(shapes|optShapes)=(\S+)")
_MODEL = re.compile(r"--(?:onnx|loadEngine)=(\S+)")
_INPUT = re.compile(r"^['\"]?(?P<name>[^:]+):(?P<sizes>\d+(?:\D\d+)*)['\"]?$")

# The published export and ActSpan use the same input names.
_INPUT_NAMES = {"tem": "video", "pem": "video_feature"}


@dataclass(frozen=True, slots=True)
class Shapes:
    """`--shapes=video:16x400x100` of a command line.

    Attributes
    ----------
    line : int
    option : str
        The option as written.
    batch : int
        The first size of the first input.
    problem : str
        Mistake in the option; empty if there is none.
    """

    line: int
    option: str
    batch: int
    problem: str


def find_shapes(lines: Sequence[str]) -> Iterator[Shapes]:
    """Yield every `--shapes` or `--optShapes` of trtexec in these lines."""
    for number, line in enumerate(lines, 1):
        for option in _OPTION.finditer(line) if "trtexec" in line else ():
            inputs = [_INPUT.match(part) for part in option[2].split(",")]
            known = [match for match in inputs if match is not None]
            if not known or len(known) != len(inputs):
                continue
            sizes = [re.findall(r"\d+", match["sizes"]) for match in known]
            names = [match["name"] for match in known]
            problem = "; ".join(_problems(line, option[1], option[2], names, sizes))
            yield Shapes(number, option[0], int(sizes[0][0]), problem)


def _problems(
    line: str, option: str, written: str, names: list[str], sizes: list[list[str]]
) -> Iterator[str]:
    right = [f"{name}:{'x'.join(size)}" for name, size in zip(names, sizes, strict=True)]
    if ",".join(right) != written.strip("'\""):
        yield (
            f"--{option}={written} is not trtexec's syntax, which joins sizes by x: "
            f"--{option}={','.join(right)}"
        )
    model = _MODEL.search(line)
    words = re.split(r"[^a-z]+", Path(model[1]).stem.lower()) if model else []
    for net, name in _INPUT_NAMES.items():
        if net in words and len(names) == 1 and names[0] != name:
            yield f"the input of {net.upper()} is named {name}, not {names[0]}"
