"""Tables that commands print."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from actspan.data.problems import Problem

_MOST_ROWS = 50


def problem_table(problems: Sequence[Problem]) -> Table:
    """A row a problem: video, file, what is wrong, what to do; long lists are cut and counted."""
    table = Table("video", "file", "problem", "what to do", title="Problems in the dataset")
    for problem in problems[:_MOST_ROWS]:
        row = (problem.video or "-", problem.file, problem.problem, problem.remedy)
        table.add_row(*(escape(cell) for cell in row))
    if len(problems) > _MOST_ROWS:
        table.caption = f"... and {len(problems) - _MOST_ROWS} more"
    return table
