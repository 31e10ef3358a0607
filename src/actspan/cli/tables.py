"""Tables that commands print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.cells import cell_len
from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from actspan.core.errors import by_kind, common_text
from actspan.core.problems import Problem

_MOST_LINES = 8  # kinds of problems that are printed as lines; more become a table
_MOST_ROWS = 50
_WIDTH = 120  # characters per line in a pipe
_GAP = 3  # characters between two columns of a table
_NAMED = 5  # videos or labels named in one line; --json names all


def print_problems(console: Console, problems: Sequence[Problem]) -> None:
    """Print problems: each kind as a line, or many kinds as a table."""
    kinds = by_kind(problems)
    if len(kinds) > _MOST_LINES:
        console.print(problem_table(problems))
        return
    for kind in kinds:
        console.print(_problem_line(kind), markup=False, highlight=False)


def _problem_line(kind: list[Problem]) -> str:
    names, file, problem, remedy = _problem_row(kind)
    line = f"{problem} ({file}): {remedy}"
    if names == "-":
        return line
    return f"{line}; videos: {names}" if len(kind) > 1 else f"{names}: {line}"


def problem_table(problems: Sequence[Problem]) -> Table:
    """Return a table with one row per problem: video, file, what is wrong, what to do.

    Problems of one kind share a row with their number; long lists are cut and counted.
    """
    table = Table(title="Problems")
    for heading in ("video", "file", "problem", "what to do"):
        table.add_column(heading, overflow="fold")
    rows = [_problem_row(kind) for kind in by_kind(problems)]
    for row in rows[:_MOST_ROWS]:
        table.add_row(*(escape(cell) for cell in row))
    if len(rows) > _MOST_ROWS:
        table.caption = f"... and {len(rows) - _MOST_ROWS} more"
    return table


def _problem_row(kind: list[Problem]) -> tuple[str, ...]:
    files = list(dict.fromkeys(p.file for p in kind))
    file = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1:,} more"
    return (
        _videos_of(kind),
        file,
        common_text(p.problem for p in kind),
        common_text(p.remedy for p in kind),
    )


def _videos_of(kind: list[Problem]) -> str:
    """Return the names of the videos, and the number of problems if it is larger."""
    videos = list(dict.fromkeys(p.video for p in kind if p.video))
    if not videos:
        return "-"
    if len(kind) == 1:
        return videos[0]
    names = name_some(videos)
    return names if len(videos) == len(kind) else f"{len(kind):,} in {names}"


def row_table(values: Mapping[str, float], *, digits: int) -> Columns:
    """Return figures in a row under their names; figures that do not fit go into the next row."""
    figures = [
        Text.assemble((name, "bold"), f"\n{value:.{digits}f}", justify="right")
        for name, value in values.items()
    ]
    return Columns(figures, padding=(0, 2, 1, 0), align="right")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on the standard output: the first column to the left, the others right.

    A table wider than the terminal is printed in blocks; each repeats the columns that name a row.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    for columns in _blocks(header, rows, console.width):
        table = Table(box=box.SIMPLE, pad_edge=False)
        for i in columns:
            table.add_column(header[i], justify="right" if i else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(row[i]) for i in columns))
        console.print(table)


def _blocks(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> Iterator[list[int]]:
    """Yield the numbers of the columns of each block, naming columns first."""
    widths = [max(map(cell_len, column)) + _GAP for column in zip(header, *rows, strict=True)]
    names = list(range(_naming(rows)))
    block = names
    for i in range(len(names), len(widths)):
        if block != names and sum(widths[j] for j in (*block, i)) > width:
            yield block
            block = names
        block = [*block, i]
    yield block


def _naming(rows: Sequence[Sequence[str]]) -> int:
    """Return how many of the first columns are needed to distinguish the rows."""
    most = min(map(len, rows), default=1)
    different = (n for n in range(1, most) if len({tuple(r[:n]) for r in rows}) == len(rows))
    return next(different, 1)


def name_some(names: Sequence[str]) -> str:
    """Return the number of names and the first few of them: `7 (a, b, c, d, e, ...)`."""
    rest = ", ..." if len(names) > _NAMED else ""
    return f"{len(names)} ({', '.join(names[:_NAMED])}{rest})"
