"""What chapters of a page are made of: figures, each a chart and the table of its values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actspan.report.charts import LETTERS, bar_chart
from actspan.report.contents import Contents, Side

Rows = dict[str, list[float]]  # a value a run under each name, NaN where a run has none


@dataclass(frozen=True, slots=True)
class Table:
    """Figures as text; the first column names the rows.

    Attributes
    ----------
    header : tuple of str
    rows : tuple of tuple of str
    best : frozenset of (row, column)
        Cells that stand out.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart (SVG) and its figures; either may be missing."""

    title: str
    chart: str = ""
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter."""

    id: str
    title: str
    text: str
    figures: tuple[Figure, ...]
    stages: tuple[str, ...] = ()  # that the colours of its charts stand for


def title_of(contents: Contents, side: Side) -> str:
    """`A · name`, or nothing where there is one run."""
    if len(contents.sides) == 1:
        return ""
    return f"{LETTERS[contents.sides.index(side)]} · {side.name}"


def row_name(contents: Contents, side: Side) -> str:
    """`A · name`, or the name alone where there is one run."""
    return title_of(contents, side) or side.name


def bars(
    contents: Contents,
    title: str,
    rows: Rows,
    axis: str,
    form: str,
    full: float | None = None,
) -> Figure:
    """Bars to compare, and the table of their figures.

    Parameters
    ----------
    rows : Rows
    axis : str
        Name of the values.
    form : str
        How the table writes them.
    full : float, optional
        The end of the axis.
    """
    table = value_table(contents, rows, axis, form)
    label = f"{title}: " + "; ".join(f"{row[0]}: {' and '.join(row[1:])}" for row in table.rows)
    return Figure(title, bar_chart(label, rows, axis, full=full), table)


def value_table(contents: Contents, rows: Rows, axis: str, form: str) -> Table:
    """A row a name, a column a run."""
    header = ("", *(title_of(contents, side) or axis for side in contents.sides))

    def text(value: float) -> str:
        return f"{value:{form}}" if math.isfinite(value) else "–"

    return Table(header, tuple((name, *map(text, row)) for name, row in rows.items()))


def side_by_side(found: Sequence[Mapping[str, float]]) -> Rows:
    """Values of each run under their common names, NaN where a run lacks one.

    Examples
    --------
    >>> side_by_side([{"a": 1.0}, {}])
    {'a': [1.0, nan]}
    """
    names = dict.fromkeys(name for each in found for name in each)
    return {name: [each.get(name, math.nan) for each in found] for name in names}
