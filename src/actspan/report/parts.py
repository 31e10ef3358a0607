"""Parts of a page's sections: figures, each a chart and the table of its values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actspan.report.charts import LETTERS, bar_chart
from actspan.report.contents import Contents, Side

Rows = dict[str, list[float]]  # one value per run under each name, NaN if a run has none


@dataclass(frozen=True, slots=True)
class Table:
    """Table of values as text; the first column names the rows.

    Attributes
    ----------
    header : tuple of str
    rows : tuple of tuple of str
    best : frozenset of (row, column)
        Cells to highlight.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Figure:
    """Chart (SVG) and the table of its values; either may be missing."""

    title: str
    chart: str = ""
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Section of the page."""

    id: str
    title: str
    text: str
    figures: tuple[Figure, ...]
    stages: tuple[str, ...] = ()  # names for the legend of the charts' colours


def title_of(contents: Contents, side: Side) -> str:
    """Return `A · name`, or "" if there is only one run."""
    if len(contents.sides) == 1:
        return ""
    return f"{LETTERS[contents.sides.index(side)]} · {side.name}"


def row_name(contents: Contents, side: Side) -> str:
    """Return `A · name`, or the name alone if there is only one run."""
    return title_of(contents, side) or side.name


def bars(
    contents: Contents,
    title: str,
    rows: Rows,
    axis: str,
    form: str,
    full: float | None = None,
) -> Figure:
    """Return a chart of bars to compare, with the table of its values.

    Parameters
    ----------
    rows : Rows
    axis : str
        Name of the values.
    form : str
        Format of values in the table.
    full : float, optional
        The end of the axis.
    """
    table = value_table(contents, rows, axis, form)
    label = f"{title}: " + "; ".join(f"{row[0]}: {' and '.join(row[1:])}" for row in table.rows)
    return Figure(title, bar_chart(label, rows, axis, full=full), table)


def value_table(contents: Contents, rows: Rows, axis: str, form: str) -> Table:
    """Return a table with a row per name and a column per run."""
    header = ("", *(title_of(contents, side) or axis for side in contents.sides))

    def text(value: float) -> str:
        return f"{value:{form}}" if math.isfinite(value) else "–"

    return Table(header, tuple((name, *map(text, row)) for name, row in rows.items()))


def side_by_side(found: Sequence[Mapping[str, float]]) -> Rows:
    """Return the values of all runs by name, NaN if a run lacks one.

    Examples
    --------
    >>> side_by_side([{"a": 1.0}, {}])
    {'a': [1.0, nan]}
    """
    names = dict.fromkeys(name for each in found for name in each)
    return {name: [each.get(name, math.nan) for each in found] for name in names}
