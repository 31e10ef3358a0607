"""Check of the arithmetic in a report against the logs that the report is based on.

Every number of a formula must stand in a log, be the result of an earlier line, or be a plain
constant (1, 1000, a batch size, the chips of a card); and the result must follow. Where it does
not, one number at a time is replaced by a figure of the logs. A figure that makes the result true
is probably the one that the author meant.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actspan.bench.arithmetic import Equation, Number, find_equations
from actspan.bench.commands import find_shapes
from actspan.bench.compare import Comparison
from actspan.bench.logs.base import Text

__all__ = ["Claims", "Finding", "check_claims"]

_DIGITS = 3  # numbers with fewer digits are too common to match by rounding
_ROUNDED = 1e-4  # relative error of a result whose author rounded intermediate values

Kind = Literal["slip", "unfounded", "rounded"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim of a report that does not follow.

    Attributes
    ----------
    kind : "slip", "unfounded" or "rounded"
        Wrong; correct, but with a number that is in no log; correct except for rounding.
    file : Path
    line : int
    text : str
        The printed text, and the expected one.
    """

    kind: Kind
    file: Path
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Claims:
    """Result of checking a report.

    Attributes
    ----------
    file : Path
    equations, commands : int
        Numbers of checked equations and commands.
    findings : tuple of Finding
        Findings, sorted by line.
    """

    file: Path
    equations: int
    commands: int
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """True if nothing is wrong or unfounded."""
        return all(finding.kind == "rounded" for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Known:
    """A number that a formula may use, and its source."""

    value: float
    source: str
    exact: bool = False

    def is_meant_by(self, number: Number) -> bool:
        if self.exact or number.digits < _DIGITS:
            return number.value == self.value
        return number.prints(self.value)


def check_claims(path: Path, found: Comparison) -> Claims:
    """Check every equation and every trtexec command that a text prints.

    Raises
    ------
    BenchError
        The file cannot be read, or prints no arithmetic and no commands.
    """
    text = Text(path)
    equations, shapes = list(find_equations(text.lines)), list(find_shapes(text.lines))
    if not equations and not shapes:
        raise text.error("no arithmetic in it: lines such as '3275.55 x 4 = 13102.2' are checked")
    figures = list(_figures(found))
    findings: list[Finding] = []
    known = [*_constants(found), *figures, *_computed(found)]
    for equation in equations:
        findings += _check(path, equation, known, figures)
        known.append(_Known(equation.result.value, f"line {equation.line}"))
    findings += [Finding("slip", path, s.line, s.problem) for s in shapes if s.problem]
    findings.sort(key=lambda finding: finding.line)
    return Claims(path, len(equations), len(shapes), tuple(findings))


def _constants(found: Comparison) -> Iterator[_Known]:
    batches = {row.batch for row in (*found.headlines, *found.measured) if row.batch}
    for value in sorted({1, 1000, found.chips, *batches}):
        yield _Known(value, "constant", exact=True)


def _figures(found: Comparison) -> Iterator[_Known]:
    for side in found.sides:
        for log in side.logs:
            for figure in log.figures:
                where = f"{side.name}, {log.path.name} line {figure.line}: {figure.label}"
                yield _Known(figure.value, where)


def _computed(found: Comparison) -> Iterator[_Known]:
    """Yield headline rates, which a report may use without deriving them."""
    for row in (*found.headlines, *found.interface, *found.measured):
        yield from (_Known(rate, "headline") for rate in row.rates if rate is not None)


def _check(
    path: Path, equation: Equation, known: Sequence[_Known], figures: Sequence[_Known]
) -> Iterator[Finding]:
    strange = [
        i
        for i, number in enumerate(equation.inputs)
        if not any(item.is_meant_by(number) for item in known)
    ]
    in_no_log = _in_no_log([equation.inputs[i] for i in strange])
    follows = _follows(equation)
    if follows != "no" and strange:
        yield Finding("unfounded", path, equation.line, f"{equation.text}: {in_no_log}")
    elif follows == "rounded":
        yield Finding("rounded", path, equation.line, _wrong(equation))
    elif follows == "no":
        parts = [_wrong(equation), in_no_log, _meant(equation, strange, figures)]
        yield Finding("slip", path, equation.line, "; ".join(part for part in parts if part))


def _in_no_log(numbers: Sequence[Number]) -> str:
    if not numbers:
        return ""
    verb = "is" if len(numbers) == 1 else "are"
    counts = [n.text for n in numbers if n.text.isdigit() and n.digits < _DIGITS]
    hint = "".join(f" (if a card has {text} chips: --chips {text})" for text in counts)
    return f"{' and '.join(number.text for number in numbers)} {verb} in no log{hint}"


def _follows(equation: Equation) -> Literal["exactly", "rounded", "no"]:
    value = equation.value()
    if value is not None and equation.result.prints(value):
        return "exactly"
    if value is not None and math.isclose(value, equation.result.value, rel_tol=_ROUNDED):
        return "rounded"
    return "no"


def _wrong(equation: Equation) -> str:
    formula = equation.text.rpartition(" = ")[0]
    value = equation.value()
    is_ = "divides by zero" if value is None else f"is {_as_printed(value, equation.result)}"
    return f"{formula} {is_}, not {equation.result.text}"


def _as_printed(value: float, like: Number) -> str:
    """Format a value with as many decimal places as the printed result."""
    return f"{value:.{max(0, -round(math.log10(like.unit)))}f}"


def _meant(equation: Equation, strange: Iterable[int], figures: Sequence[_Known]) -> str:
    """Name the figure of a log that makes the result follow if it replaces one number."""
    positions = list(strange) or range(len(equation.inputs))
    candidates = []
    for position in positions:
        for figure in figures:
            value = equation.value({position: figure.value})
            if value is not None and equation.result.prints(value):
                candidates.append((abs(value - equation.result.value), position, figure))
    if not candidates:
        return ""
    _, position, figure = min(candidates, key=lambda candidate: candidate[:2])
    return (
        f"{equation.result.text} follows with {figure.value:.10g} in place of "
        f"{equation.inputs[position].text} ({figure.source})"
    )
