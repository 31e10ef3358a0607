"""Names of `console` and `options` for `propose`, until it is written with `command`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from actspan.cli import options
from actspan.cli.console import (
    exit_on_errors,
    print_findings,
    progress_report,
    say,
    step_report,
)

if TYPE_CHECKING:
    from actspan.core.problems import Problem

__all__ = ["progress_report", "say", "step_report"]

F = TypeVar("F", bound=Callable[..., Any])


def reports_errors(function: F) -> F:
    """Turn ActSpan's own errors into one message and exit code 1, without a traceback."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return exit_on_errors(functools.partial(function, *args, **kwargs))

    return wrapped  # type: ignore[return-value]


def say_findings(
    problems: Sequence[Problem], notes: Iterable[str] = (), *, named: str = ""
) -> None:
    """Print notes and problems, and last what was skipped and where all of it is listed."""
    print_findings(problems, notes, named)


def given_options(context: click.Context) -> set[str]:
    """Return the names of the parameters that were given on the command line."""
    return options.given_options()


def refuse_options(context: click.Context, names: Iterable[str], reason: str) -> None:
    """Raise a usage error if options that have no effect were given."""
    options.refuse_options(names, reason)


class ExistingPath(options.PathType):
    """An existing path."""

    def __init__(
        self, *, file_okay: bool = True, dir_okay: bool = True, urls: bool = False
    ) -> None:
        super().__init__(exists=True, file=file_okay, folder=dir_okay, urls=urls)


class PlainPath(options.PathType):
    """A path that may be missing, such as an output; `-` is refused."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(exists=False, file=file_okay, folder=dir_okay)


json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


def on_error_option(meaning: str) -> Callable[[F], F]:
    """Return the option `--on-error fail|skip`, with its meaning for a command as help."""
    return click.option(
        "--on-error",
        type=click.Choice(["fail", "skip"]),
        default="fail",
        show_default=True,
        help=meaning,
    )
