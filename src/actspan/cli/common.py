"""What the commands share: errors as one clear line, progress on a terminal only."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from actspan.errors import ActSpanError, DatasetError

F = TypeVar("F", bound=Callable[..., Any])

console = Console(stderr=True, soft_wrap=True)


def reports_errors(function: F) -> F:
    """Turn ActSpan's own errors into one message and exit code 1, without a traceback."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except DatasetError as error:
            from actspan.cli.tables import problem_table

            console.print(problem_table(error.problems))
            console.print(f"[red]error:[/] {len(error.problems)} problem(s) found. {error.remedy}")
            sys.exit(1)
        except ActSpanError as error:
            console.print("[red]error:[/] ", end="")
            console.print(str(error), markup=False, highlight=False)
            sys.exit(1)

    return wrapped  # type: ignore[return-value]


def progress_bar() -> Progress:
    """A progress bar on the standard error stream; silent where that is not a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def progress_report() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar as the callback (what, done, in all) that the library reports to."""
    with progress_bar() as bar:
        task = bar.add_task("loading", total=None, note="")

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield report


def say(message: str) -> None:
    """A line for people, on the standard error stream, printed as it is."""
    console.print(message, markup=False, highlight=False)


json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


def on_error_option(meaning: str) -> Callable[[F], F]:
    """`--on-error fail|skip`, with what it means for a command."""
    return click.option(
        "--on-error",
        type=click.Choice(["fail", "skip"]),
        default="fail",
        show_default=True,
        help=meaning,
    )
