"""Parts that the commands share: errors as one clear line, and progress as a bar or plain lines."""

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
from actspan.core.errors import ActSpanError, DatasetError
from actspan.core.files import similar_path
from actspan.core.wording import counted

if TYPE_CHECKING:
    from rich.progress import Progress

    from actspan.core.problems import Problem

F = TypeVar("F", bound=Callable[..., Any])

console = Console(stderr=True, soft_wrap=True)

_SHOWN_EVERY = 0.05  # minimum seconds between two updates of a progress bar

_NO_THREAD = "can't start new thread"  # CPython's message where memory or a limit is exhausted


def reports_errors(function: F) -> F:
    """Turn ActSpan's own errors into one message and exit code 1, without a traceback.

    Ctrl-C and SIGTERM end a command with the usual exit codes 130 and 143, after it has stopped
    cleanly. Notes on an exception (such as what is saved) are printed on separate lines.
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
        except RuntimeError as error:
            if str(error) != _NO_THREAD:
                raise
            say(f"error: out of memory: {error}")
            _say_notes(error)
            sys.exit(1)
        except OSError as error:  # a file that cannot be opened, in any step
            if error.filename is None:
                raise
            say(f"error: {error.filename}: {error.strerror}")
            sys.exit(1)

    return wrapped  # type: ignore[return-value]


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which stops a command as Ctrl-C does."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise on SIGTERM in the main thread during the block, so that work is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # cleaning up is not interrupted
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
    """Return a progress bar on the standard error stream, which has to be a terminal."""
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
    """Yield a callback (what, done, total) that shows the progress of the library.

    It is a progress bar on a terminal, and a plain line every half minute elsewhere.
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
    """Yield a callback that shows the name of each step, or of the latest one every half minute."""
    if console.is_terminal:
        yield say
        return
    with ProgressLines(say, what) as lines:
        yield lines.report


def say(message: str) -> None:
    """Print a line for people on the standard error stream, without markup."""
    console.print(message, markup=False, highlight=False)


def say_findings(
    problems: Sequence[Problem], notes: Iterable[str] = (), *, named: str = ""
) -> None:
    """Print assumptions and problems, and last what was skipped and where all of it is listed.

    Commands call it at their end.
    """
    say_problems(problems, notes)
    say_left_out(problems, named)


def say_left_out(problems: Iterable[Problem], named: str = "") -> None:
    """Print in one line how much was skipped, with names; print nothing if nothing was."""
    from actspan.core.problems import skipped_line

    if what := skipped_line(problems):
        say(f"{what}{named}")


def say_problems(problems: Sequence[Problem], notes: Iterable[str] = ()) -> None:
    """Print the assumptions and the problems."""
    for assumption in notes:
        say(f"note: {assumption}")
    if not problems:
        return
    from actspan.cli.tables import print_problems
    from actspan.core.problems import dataset_notes

    of_the_whole = dataset_notes(problems)
    for note in of_the_whole:
        say(f"note: {note}")
    if len(of_the_whole) < len(problems):
        print_problems(console, [p for p in problems if p.is_error or p.video])


def given_options(context: click.Context) -> set[str]:
    """Return the names of the parameters that were given on the command line."""
    return {
        name
        for name in context.params
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }


def refuse_options(context: click.Context, names: Iterable[str], reason: str) -> None:
    """Raise a usage error, in one line with the reason, if options without effect were given.

    Parameters
    ----------
    names : iterable of str
        Parameters of the command.
    reason : str
        The reason, such as "without --dataset".

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
    """Return the command line that repeats this command, with names of folders instead of paths."""
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
    """An existing path. For a missing one, a line with the nearest name is printed; exit code 1."""

    def __init__(
        self, *, file_okay: bool = True, dir_okay: bool = True, urls: bool = False
    ) -> None:
        self._urls = urls
        super().__init__(exists=True, file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or end the command if it is missing; an allowed URL stays a str."""
        if self._urls and "://" in str(value):
            return value
        if not Path(value).exists():
            say(f"error: {value}: does not exist{similar_path(Path(value))}")
            sys.exit(1)
        return super().convert(value, param, ctx)


class PlainPath(click.Path):
    """A path that may be missing, such as an output; `-` is refused."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or fail on `-`."""
        if str(value) == "-":
            self.fail("'-' (standard input or output) is not taken here: give a path", param, ctx)
        return super().convert(value, param, ctx)


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
