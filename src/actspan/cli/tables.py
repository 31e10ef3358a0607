"""Tables that commands print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from actspan.data.problems import Problem

_MOST_ROWS = 50
_WIDTH = 120  # columns in a pipe
_NAMED = 5  # how many videos or labels are named in a line; --json names all


def problem_table(problems: Sequence[Problem]) -> Table:
    """A row a problem: video, file, what is wrong, what to do; long lists are cut and counted."""
    table = Table("video", "file", "problem", "what to do", title="Problems")
    for problem in problems[:_MOST_ROWS]:
        row = (problem.video or "-", problem.file, problem.problem, problem.remedy)
        table.add_row(*(escape(cell) for cell in row))
    if len(problems) > _MOST_ROWS:
        table.caption = f"... and {len(problems) - _MOST_ROWS} more"
    return table


def row_table(values: Mapping[str, float], *, digits: int) -> Table:
    """A table of one row of figures."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in values:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(*(f"{value:.{digits}f}" for value in values.values()))
    return table


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on the standard output: the first column to the left, the others right."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    for i, heading in enumerate(header):
        table.add_column(heading, justify="right" if i else "left", no_wrap=not i)
    for row in rows:
        table.add_row(*map(escape, row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(table)


def name_some(names: Sequence[str]) -> str:
    """`7 (a, b, c, d, e, ...)`: how many there are, and at most a few of them by name."""
    rest = ", ..." if len(names) > _NAMED else ""
    return f"{len(names)} ({', '.join(names[:_NAMED])}{rest})"
