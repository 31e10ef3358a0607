"""What the commands share: errors as one clear line, progress as a bar or as plain lines."""

from __future__ import annotations

import functools
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console

from actspan.cli.progress_lines import ProgressLines
from actspan.errors import ActSpanError, DatasetError
from actspan.files import similar_path
from actspan.wording import counted

if TYPE_CHECKING:
    from rich.progress import Progress

    from actspan.data.problems import Problem

F = TypeVar("F", bound=Callable[..., Any])

console = Console(stderr=True, soft_wrap=True)

_SHOWN_EVERY = 0.05  # seconds between two steps of a progress bar


def reports_errors(function: F) -> F:
    """Turn ActSpan's own errors into one message and exit code 1, without a traceback.

    Ctrl-C and SIGTERM end a command as they end others, with exit codes 130 and 143, once it has
    stopped cleanly. Notes on an exception (what is kept) stand on lines of their own.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            with _terminable():
                return function(*args, **kwargs)
        except KeyboardInterrupt as stop:
            say("terminated" if isinstance(stop, _Terminated) else "interrupted")
            _say_notes(stop)
            sys.exit(143 if isinstance(stop, _Terminated) else 130)
        except DatasetError as error:
            from actspan.cli.tables import print_problems

            print_problems(console, error.problems)
            found = counted(len(error.problems), "problem")
            console.print(f"[red]error:[/] {found} found. {error.remedy}")
            _say_notes(error)
            sys.exit(1)
        except (ActSpanError, MemoryError) as error:
            what = str(error) if isinstance(error, ActSpanError) else f"out of memory: {error}"
            console.print("[red]error:[/] ", end="")
            console.print(what, markup=False, highlight=False)
            _say_notes(error)
            sys.exit(1)

        except OSError as error:  # a file that may not be read, wherever it is
            if error.filename is None:
                raise
            say(f"error: {error.filename}: {error.strerror}")
            sys.exit(1)

    return wrapped  # type: ignore[return-value]


class _Terminated(KeyboardInterrupt):
    """SIGTERM: stops a command as Ctrl-C does."""


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM raises in the main thread meanwhile, so that what is half-done is put in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough: cleaning up is not cut short
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say_notes(error: BaseException) -> None:
    for note in getattr(error, "__notes__", ()):
        say(note)


def progress_bar() -> Progress:
    """A progress bar on the standard error stream, which has to be a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


@contextmanager
def progress_report() -> Iterator[Callable[[str, int, int], None]]:
    """Show what the library reports to the callback (what, done, in all).

    On a terminal it is a progress bar, elsewhere a plain line every half minute.
    """
    if not console.is_terminal:
        with ProgressLines(say) as lines:
            yield lines.report
        return
    with progress_bar() as bar:
        task = bar.add_task("loading", total=None, note="")
        shown, at = "", 0.0

        def report(what: str, done: int, total: int) -> None:
            nonlocal shown, at
            now = perf_counter()
            if what == shown and done < total and now - at < _SHOWN_EVERY:
                return
            shown, at = what, now
            bar.update(task, description=what, completed=done, total=total)

        yield report


@contextmanager
def step_report(what: str) -> Iterator[Callable[[str], None]]:
    """Show the steps that work reports, by name: each as a line, or every half minute the last."""
    if console.is_terminal:
        yield say
        return
    with ProgressLines(say, what) as lines:
        yield lines.report


def say(message: str) -> None:
    """A line for people, on the standard error stream, printed as it is."""
    console.print(message, markup=False, highlight=False)


def say_findings(
    problems: Sequence[Problem], assumptions: Iterable[str] = (), *, named: str = ""
) -> None:
    """Print what was assumed, what was found, and last what was left out (and where all is named).

    Commands end with it.
    """
    say_problems(problems, assumptions)
    say_left_out(problems, named)


def say_left_out(problems: Iterable[Problem], named: str = "") -> None:
    """Print what was left out, counted and named, in one line; nothing where nothing was."""
    from actspan.data.problems import left_out

    if what := left_out(problems):
        say(f"{what}{named}")


def say_problems(problems: Sequence[Problem], assumptions: Iterable[str] = ()) -> None:
    """Print what was assumed, and what was found."""
    for assumption in assumptions:
        say(f"note: {assumption}")
    if not problems:
        return
    from actspan.cli.tables import print_problems
    from actspan.data.problems import whole_notes

    of_the_whole = whole_notes(problems)
    for note in of_the_whole:
        say(f"note: {note}")
    if len(of_the_whole) < len(problems):
        print_problems(console, [p for p in problems if p.is_error or p.video])


def given_options(context: click.Context) -> set[str]:
    """Return the names of the parameters that are on the command line."""
    return {
        name
        for name in context.params
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }


def refuse_options(context: click.Context, names: Iterable[str], reason: str) -> None:
    """Refuse options that are given but have no effect, with one line that says why.

    Parameters
    ----------
    names : iterable of str
        Parameters of the command.
    reason : str
        What makes them ineffective, as in "without --dataset".

    Raises
    ------
    click.UsageError
        One of them is given.
    """
    given = given_options(context).intersection(names)
    refused = [param.opts[0] for param in context.command.params if param.name in given]
    if refused:
        raise click.UsageError(f"{', '.join(refused)}: no effect {reason}", context)


def repeated(context: click.Context) -> str:
    """The command to repeat this one, with the names of folders and not where they lie."""
    words = ["actspan", context.command.name or ""]
    for param in context.command.params:
        value = context.params.get(param.name or "")
        source = context.get_parameter_source(param.name or "")
        if source is not click.core.ParameterSource.COMMANDLINE:
            continue
        option = [param.opts[0]] if isinstance(param, click.Option) else []
        for one in value if isinstance(value, tuple) else (value,):
            shown = f"{one.resolve().name}{'/' * one.is_dir()}" if isinstance(one, Path) else one
            words += option if one is True else [*option, str(shown)]
    return shlex.join(words)


class ExistingPath(click.Path):
    """An existing path; a missing one is one line with the nearest name, and exit code 1."""

    def __init__(
        self, *, file_okay: bool = True, dir_okay: bool = True, urls: bool = False
    ) -> None:
        self._urls = urls
        super().__init__(exists=True, file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; a missing one ends the command. A URL, where allowed, stays a str."""
        if self._urls and "://" in str(value):
            return value
        if not Path(value).exists():
            say(f"error: {value}: does not exist{similar_path(Path(value))}")
            sys.exit(1)
        return super().convert(value, param, ctx)


class PlainPath(click.Path):
    """A path that may be missing, of an output above all; `-` is refused, not made a file."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; `-` is a usage error."""
        if str(value) == "-":
            self.fail("'-' (standard input or output) is not taken here: give a path", param, ctx)
        return super().convert(value, param, ctx)


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
