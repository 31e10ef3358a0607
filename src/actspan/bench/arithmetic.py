"""Equations in a text, such as `3275.55x4=13102.2`: find and compute them.

Full-width signs and ×, x, ÷ are accepted. Only numbers, + - * / and brackets are computed.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Equation", "Number", "find_equations"]

_SIGNS = str.maketrans("（）：＝／＋－＊，×✕÷≈", "():=/+-*,**/=")
_GROUPED = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?![\d,])")
_TIMES = re.compile(r"(?<=[\d)])\s*[xX]\s*(?=[\d(])")
_MOST = 300  # characters of a formula; no person writes more
_SIDES = re.compile(
    rf"(?P<formula>[\d(][\d.()+\-*/eE\s]{{0,{_MOST}}}?)\s*="
    r"\s*(?P<result>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number as printed.

    Attributes
    ----------
    value : float
    text : str
    """

    value: float
    text: str

    @property
    def unit(self) -> float:
        """Value of one in the last printed place: 0.01 for 3275.55."""
        mantissa, _, exponent = self.text.lower().partition("e")
        places = len(mantissa.partition(".")[2])
        return float(f"1e{int(exponent or 0) - places}")

    @property
    def digits(self) -> int:
        """Number of printed significant digits."""
        return len(re.sub(r"\D", "", self.text.lower().partition("e")[0]).lstrip("0"))

    def prints(self, value: float) -> bool:
        """Check that `value` may be printed as this number: rounded or truncated."""
        return abs(value - self.value) < self.unit * (1 + 1e-9)


@dataclass(frozen=True, slots=True)
class Equation:
    """A formula and the result that is printed for it.

    Attributes
    ----------
    line : int
        Line number, from 1.
    text : str
        Formula and result as parsed.
    inputs : tuple of Number
        Numbers in the order of the formula.
    result : Number
    tree : ast.expr
    """

    line: int
    text: str
    inputs: tuple[Number, ...]
    result: Number
    tree: ast.expr

    def value(self, changed: Mapping[int, float] | None = None) -> float | None:
        """Compute the formula with some inputs changed, by position; None if it divides by zero."""
        values = iter((changed or {}).get(i, number.value) for i, number in enumerate(self.inputs))
        try:
            return _compute(self.tree, values)
        except ZeroDivisionError:
            return None


def find_equations(lines: Sequence[str]) -> Iterator[Equation]:
    """Yield every `formula = number` whose formula has at least two numbers."""
    for number, line in enumerate(lines, 1):
        plain = _GROUPED.sub(lambda m: m.group().replace(",", ""), line.translate(_SIGNS))
        plain = _TIMES.sub("*", plain)
        position = 0
        while found := _SIDES.search(plain, position):
            # In `a = b*c = d`, the text after an equals sign may be the next formula.
            position = found.start("result")
            if _stands_alone(plain, found.start()):
                equation = _equation(number, found["formula"].strip(), found["result"])
                if equation is not None:
                    yield equation


def _stands_alone(text: str, start: int) -> bool:
    """Check that no name (`ResNet-50-5 = 93`) or formula (`rate + 2*3 = 7`) precedes it."""
    before = text[:start]
    return not re.search(r"[A-Za-z\d_.\-]$|[+*/(]\s*$", before)


def _equation(line: int, formula: str, result: str) -> Equation | None:
    for begin in (0, *(space.end() for space in re.finditer(r"\s+", formula))):
        written = formula[begin:]  # `batch 16 3275.55*4`: the 16 does not belong to the formula
        tree = _parse(written)
        if tree is None:
            continue
        inputs = tuple(_numbers(tree, written))
        if len(inputs) < 2 or not all(math.isfinite(number.value) for number in inputs):
            return None
        return Equation(line, f"{written} = {result}", inputs, Number(float(result), result), tree)
    return None


_ALLOWED = (ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.UnaryOp, ast.USub, ast.UAdd)


def _parse(formula: str) -> ast.expr | None:
    try:
        tree = ast.parse(formula, mode="eval").body
    except SyntaxError:
        return None
    allowed = all(isinstance(node, (*_ALLOWED, ast.Constant)) for node in ast.walk(tree))
    return tree if allowed else None


def _numbers(node: ast.expr, formula: str) -> Iterator[Number]:
    """Yield the numbers from left to right, in the order in which `_compute` takes them."""
    if isinstance(node, ast.BinOp):
        yield from _numbers(node.left, formula)
        yield from _numbers(node.right, formula)
    elif isinstance(node, ast.UnaryOp):
        yield from _numbers(node.operand, formula)
    else:
        text = formula[node.col_offset : node.end_col_offset]
        yield Number(float(text), text)


def _compute(node: ast.expr, values: Iterator[float]) -> float:
    if isinstance(node, ast.BinOp):
        left, right = _compute(node.left, values), _compute(node.right, values)
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case _:
                return left / right
    if isinstance(node, ast.UnaryOp):
        value = _compute(node.operand, values)
        return -value if isinstance(node.op, ast.USub) else value
    return next(values)
