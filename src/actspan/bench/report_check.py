"""Check of the arithmetic in a report against the logs that the report is based on.

Equations such as `3275.55x4=13102.2` are found in any text. Every number of a formula must stand in
a log, be the result of an earlier line, or be a plain constant (1, 1000, a batch size, the chips of
a card); and the result must follow. Where it does not, one number at a time is replaced by a figure
of the logs. A figure that makes the result true is probably the one that the author meant.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Literal

from actspan.bench.comparison import Comparison
from actspan.bench.logs.text import Text, find_shapes

_SIGNS = str.maketrans("（）：＝／＋－＊，×✕÷≈", "():=/+-*,**/=")
_GROUPED = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?![\d,])")
_TIMES = re.compile(r"(?<=[\d)])\s*[xX]\s*(?=[\d(])")
_NUMBER = r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_TERM = rf"[(\s]{{0,20}}{_NUMBER}[)\s]{{0,20}}"
_EQUATION = re.compile(
    rf"(?<![\d.])(?P<formula>(?=[\d(]){_TERM}(?:[-+*/]{_TERM}){{1,40}})=\s*(?P<result>{_NUMBER})"
)
# a name (`ResNet-50-5 = 93`) or a formula (`rate + 2*3 = 7`) that continues in the equation
_CONTINUED = re.compile(r"[A-Za-z\d_.\-]$|[+*/(]\s*$")
_OPERATORS: Mapping[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_DIGITS = 3  # numbers with fewer digits are too common to match by rounding
_ROUNDED = 1e-4  # relative error of a result whose author rounded intermediate values

Kind = Literal["slip", "unfounded", "rounded"]


def matches(printed: Decimal, value: float) -> bool:
    """Check that `value` may be printed as this number: rounded or truncated."""
    return abs(value - float(printed)) < float(f"1e{-_places(printed)}") * (1 + 1e-9)


def _places(printed: Decimal) -> int:
    """Return the number of decimal places: 2 for 3275.55, -2 for 5e2."""
    return -int(printed.as_tuple().exponent)


def _digits(printed: Decimal) -> int:
    """Return the number of significant digits."""
    return len(printed.as_tuple().digits)


@dataclass(frozen=True, slots=True)
class Equation:
    """A formula, and the result that is printed for it."""

    line: int  # from 1
    formula: str
    inputs: tuple[Decimal, ...]  # in the order of the formula
    result: Decimal
    tree: ast.expr

    def value(self, inputs: Sequence[float]) -> float | None:
        """Compute the formula with these inputs; None if it divides by zero."""
        try:
            return _compute(self.tree, iter(inputs))
        except (ZeroDivisionError, OverflowError):
            return None


def _compute(node: ast.expr, numbers: Iterator[float]) -> float:
    """Compute a formula with the numbers in place of its own, from left to right."""
    if isinstance(node, ast.BinOp):
        left, right = _compute(node.left, numbers), _compute(node.right, numbers)
        return _OPERATORS[type(node.op)](left, right)
    return next(numbers)


def find_equations(lines: Sequence[str]) -> Iterator[Equation]:
    """Yield every `formula = number` whose formula has at least two numbers.

    Full-width signs and ×, x, ÷ are accepted. Only numbers, + - * / and brackets are computed.
    """
    for number, line in enumerate(lines, 1):
        plain = _GROUPED.sub(lambda m: m.group().replace(",", ""), line.translate(_SIGNS))
        plain = _TIMES.sub("*", plain)
        position = 0
        while match := _EQUATION.search(plain, position):
            # In `a = b*c = d`, the text after an equals sign may be the next formula.
            position = match.start("result")
            formula = match["formula"].strip()
            inputs = tuple(map(Decimal, re.findall(_NUMBER, formula)))
            finite = all(math.isfinite(float(value)) for value in inputs)
            try:
                tree = ast.parse(formula, mode="eval").body
            except SyntaxError:  # brackets that do not match
                continue
            if finite and not _CONTINUED.search(plain[: match.start()]):
                yield Equation(number, formula, inputs, Decimal(match["result"]), tree)


@dataclass(frozen=True, slots=True)
class Finding:
    """A statement of a report that does not follow.

    It is wrong (slip), correct with a number that is in no log (unfounded), or correct except for
    rounding (rounded).
    """

    kind: Kind
    line: int
    text: str  # what is printed, and what was expected


@dataclass(frozen=True, slots=True)
class ReportCheck:
    """Result of checking a report."""

    file: Path
    equations: int  # checked
    commands: int
    findings: tuple[Finding, ...]  # by line

    @property
    def passed(self) -> bool:
        """True if nothing is wrong or unfounded."""
        return all(finding.kind == "rounded" for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Known:
    """A number that a formula may use, and its source."""

    value: float
    source: str
    exact: bool = False

    def is_meant_by(self, number: Decimal) -> bool:
        if self.exact or _digits(number) < _DIGITS:
            return float(number) == self.value
        return matches(number, self.value)


def check_report(path: Path, comparison: Comparison) -> ReportCheck:
    """Check every equation and every trtexec command that a text prints; none is an error."""
    text = Text(path)
    equations, shapes = list(find_equations(text.lines)), list(find_shapes(text.lines))
    if not equations and not shapes:
        raise text.error("no arithmetic in it: lines such as '3275.55 x 4 = 13102.2' are checked")
    figures = [
        _Known(figure.value, f"{system.name}, {log.path.name} line {figure.line}: {figure.label}")
        for system in comparison.systems
        for log in system.logs
        for figure in log.figures
    ]
    known = [*_constants(comparison), *figures]
    findings = [Finding("slip", s.line, s.problem) for s in shapes if s.problem]
    for equation in equations:
        findings += _check(equation, known, figures)
        known.append(_Known(float(equation.result), f"line {equation.line}"))
    findings.sort(key=lambda finding: finding.line)
    return ReportCheck(path, len(equations), len(shapes), tuple(findings))


def _constants(comparison: Comparison) -> Iterator[_Known]:
    """Yield plain constants, and the rates that a report may use without deriving them."""
    batches = {row.batch for row in (*comparison.headlines, *comparison.measured) if row.batch}
    for value in (1, 1000, comparison.chips, *batches):
        yield _Known(value, "constant", exact=True)
    for row in (*comparison.headlines, *comparison.interface, *comparison.measured):
        yield from (_Known(rate, "headline") for rate in row.rates if rate is not None)


def _check(
    equation: Equation, known: Sequence[_Known], figures: Sequence[_Known]
) -> Iterator[Finding]:
    strange = [i for i, n in enumerate(equation.inputs) if not any(k.is_meant_by(n) for k in known)]
    in_no_log = _in_no_log([equation.inputs[i] for i in strange])
    value, result = equation.value([*map(float, equation.inputs)]), equation.result
    if value is None:
        wrong = f"{equation.formula} divides by zero, not {result}"
    else:
        wrong = f"{equation.formula} is {value:.{max(0, _places(result))}f}, not {result}"
        if matches(result, value) or math.isclose(value, float(result), rel_tol=_ROUNDED):
            if strange:
                text = f"{equation.formula} = {result}: {in_no_log}"
                yield Finding("unfounded", equation.line, text)
            elif not matches(result, value):
                yield Finding("rounded", equation.line, wrong)
            return
    meant = _meant(equation, strange or range(len(equation.inputs)), figures)
    yield Finding("slip", equation.line, "; ".join(filter(None, (wrong, in_no_log, meant))))


def _in_no_log(numbers: Sequence[Decimal]) -> str:
    if not numbers:
        return ""
    verb = "is" if len(numbers) == 1 else "are"
    counts = [n for n in numbers if str(n).isdigit() and _digits(n) < _DIGITS]
    hint = "".join(f" (if a card has {count} chips: --chips {count})" for count in counts)
    return f"{' and '.join(map(str, numbers))} {verb} in no log{hint}"


def _meant(equation: Equation, positions: Sequence[int], figures: Sequence[_Known]) -> str:
    """Name the figure of a log that makes the result follow if it replaces one number."""
    best, text = math.inf, ""
    for position, figure in product(positions, figures):
        inputs = [*map(float, equation.inputs)]
        inputs[position] = figure.value
        value = equation.value(inputs)
        if value is not None and matches(equation.result, value):
            apart = abs(value - float(equation.result))
            if apart < best:
                best, text = (
                    apart,
                    (
                        f"{equation.result} follows with {figure.value:.10g} in place of "
                        f"{equation.inputs[position]} ({figure.source})"
                    ),
                )
    return text
