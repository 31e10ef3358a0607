"""Arithmetic that a text prints, `3275.55x4=13102.2`: found, computed, and held against its result.

Full-width signs and ×, x, ÷ are read as people write them. Nothing but numbers, + - * / and
brackets is computed.
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
        """One in its last printed place: 0.01 of 3275.55."""
        mantissa, _, exponent = self.text.lower().partition("e")
        places = len(mantissa.partition(".")[2])
        return float(f"1e{int(exponent or 0) - places}")

    @property
    def digits(self) -> int:
        """How many significant digits are printed."""
        return len(re.sub(r"\D", "", self.text.lower().partition("e")[0]).lstrip("0"))

    def prints(self, value: float) -> bool:
        """Whether this is how `value` may be printed: rounded, or cut off."""
        return abs(value - self.value) < self.unit * (1 + 1e-9)


@dataclass(frozen=True, slots=True)
class Equation:
    """A formula and the result that is printed for it.

    Attributes
    ----------
    line : int
        From 1.
    text : str
        As it was understood.
    inputs : tuple of Number
        In the order of the formula.
    result : Number
    tree : ast.expr
    """

    line: int
    text: str
    inputs: tuple[Number, ...]
    result: Number
    tree: ast.expr

    def value(self, changed: Mapping[int, float] | None = None) -> float | None:
        """What the formula is, with other inputs by their position; None if it divides by zero."""
        values = iter((changed or {}).get(i, number.value) for i, number in enumerate(self.inputs))
        try:
            return _compute(self.tree, values)
        except ZeroDivisionError:
            return None


def find_equations(lines: Sequence[str]) -> Iterator[Equation]:
    """Every `formula = number` in these lines whose formula has two numbers or more."""
    for number, line in enumerate(lines, 1):
        plain = _GROUPED.sub(lambda m: m.group().replace(",", ""), line.translate(_SIGNS))
        plain = _TIMES.sub("*", plain)
        position = 0
        while found := _SIDES.search(plain, position):
            # `a = b*c = d`: what follows an equals sign may be the next formula
            position = found.start("result")
            if _stands_alone(plain, found.start()):
                equation = _equation(number, found["formula"].strip(), found["result"])
                if equation is not None:
                    yield equation


def _stands_alone(text: str, start: int) -> bool:
    """Not the tail of a name, `ResNet-50-5 = 93`, or of a formula, `rate + 2*3 = 7`."""
    before = text[:start]
    return not re.search(r"[A-Za-z\d_.\-]$|[+*/(]\s*$", before)


def _equation(line: int, formula: str, result: str) -> Equation | None:
    for begin in (0, *(space.end() for space in re.finditer(r"\s+", formula))):
        written = formula[begin:]  # `batch 16 3275.55*4`: the 16 is not of the formula
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
    """From left to right, as `_compute` asks for them."""
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
