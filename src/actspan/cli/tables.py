"""Tables that commands print. Rich is imported when one is printed, so that `--help` stays fast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from actspan.cli.console import say
from actspan.core.errors import by_kind, common_text
from actspan.core.wording import visible

if TYPE_CHECKING:
    from actspan.core.problems import Problem
    from actspan.core.segments import Proposals

_MOST_LINES = 8  # kinds of problems that are printed as lines; more become a table
_MOST_ROWS = 50
_WIDTH = 120  # characters per line in a pipe
_GAP = 3  # characters between two columns of a table
_NAMED = 5  # videos or labels named in one line; --json names all


def print_problem_table(problems: Sequence[Problem]) -> None:
    """Print each kind of problem as a line; many kinds as a table: video, file, problem, remedy."""
    rows = [_problem_row(kind) for kind in by_kind(problems)]
    if len(rows) > _MOST_LINES:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(title="Problems")
        for heading in ("video", "file", "problem", "what to do"):
            table.add_column(heading, overflow="fold")
        for row in rows[:_MOST_ROWS]:
            table.add_row(*(escape(visible(text)) for text in row))
        if len(rows) > _MOST_ROWS:
            table.caption = f"... and {len(rows) - _MOST_ROWS} more"
        Console(stderr=True, soft_wrap=True).print(table)
        return
    for (names, file, problem, remedy), kind in zip(rows, by_kind(problems), strict=True):
        line = f"{problem} ({file}): {remedy}"
        if names != "-":
            line = f"{line}; videos: {names}" if len(kind) > 1 else f"{names}: {line}"
        say(line)


def _problem_row(kind: list[Problem]) -> tuple[str, str, str, str]:
    """Return the videos, files, problem and remedy of problems of one kind."""
    files = list(dict.fromkeys(p.file for p in kind))
    file = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1:,} more"
    videos = list(dict.fromkeys(p.video for p in kind if p.video))
    names = (videos[0] if len(kind) == 1 else count_and_names(videos)) if videos else "-"
    if videos and len(videos) < len(kind):
        names = f"{len(kind):,} in {names}"
    problem, remedy = common_text(p.problem for p in kind), common_text(p.remedy for p in kind)
    return names, file, problem, remedy


def print_figures(values: Mapping[str, float], *, digits: int) -> None:
    """Print figures in a row under their names; those that do not fit go into the next row."""
    from rich.columns import Columns
    from rich.console import Console
    from rich.text import Text

    figures = [
        Text.assemble((name, "bold"), f"\n{value:.{digits}f}", justify="right")
        for name, value in values.items()
    ]
    Console(highlight=False).print(Columns(figures, padding=(0, 2, 1, 0), align="right"))


def print_segments(proposals: Mapping[str, Proposals], labels: Mapping[str, Sequence[str]]) -> None:
    """Print the segments of every video, in the order that they have, with any labels."""
    rows = []
    for video, found in proposals.items():
        names = labels.get(video, [""] * len(found))
        columns = found.start.tolist(), found.end.tolist(), found.score.tolist(), names
        for start, end, score, label in zip(*columns, strict=True):
            row = [video, clock(start), clock(end), f"{end - start:.2f}", f"{score:.3f}"]
            rows.append([*row, label] if labels else row)
    header = ("video", "start", "end", "seconds", "score")
    print_table((*header, "label") if labels else header, rows)
    if not rows:
        say("no segments were found; if --min-score is given, lower it")


def clock(seconds: float) -> str:
    """Return the time as `1:02:03.45`: hours, minutes, seconds."""
    hundredths = round(100 * seconds)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest / 100:05.2f}"


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "", left: int = 1
) -> None:
    """Print a table on the standard output.

    A table wider than the terminal is printed in blocks; each repeats the columns that name a row.

    Parameters
    ----------
    left : int
        Number of first columns that are aligned to the left.
    """
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    if title:
        console.print(escape(visible(title)))
    for columns in _blocks(header, rows, console.width):
        table = Table(box=box.SIMPLE, pad_edge=False)
        for i in columns:
            table.add_column(header[i], justify="left" if i < left else "right", overflow="fold")
        for row in rows:
            table.add_row(*(escape(visible(row[i])) for i in columns))
        console.print(table)


def _blocks(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> Iterator[list[int]]:
    """Yield the columns of each block; the first ones, which distinguish the rows, are in all."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) + _GAP for column in zip(header, *rows, strict=True)]
    fewest = min(map(len, rows), default=1)
    different = (n for n in range(1, fewest) if len({tuple(r[:n]) for r in rows}) == len(rows))
    names = list(range(next(different, 1)))
    block = names
    for i in range(len(names), len(widths)):
        if block != names and sum(widths[j] for j in (*block, i)) > width:
            yield block
            block = names
        block = [*block, i]
    yield block


def count_and_names(names: Sequence[str]) -> str:
    """Return the number of names and the first few of them: `7 (a, b, c, d, e, ...)`."""
    rest = ", ..." if len(names) > _NAMED else ""
    return f"{len(names)} ({', '.join(names[:_NAMED])}{rest})"
