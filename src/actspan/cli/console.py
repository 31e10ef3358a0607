"""Parts that all commands share while they run: lines for people, errors, signals, progress."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import click

from actspan.core.errors import ActSpanError, DatasetError
from actspan.core.wording import counted, visible

if TYPE_CHECKING:
    from actspan.core.problems import Problem

LINE_EVERY = 30.0  # seconds between two lines of progress without a terminal
_BAR_EVERY = 0.05  # minimum seconds between two updates of a progress bar
_NO_THREAD = "can't start new thread"  # CPython's message where memory or a limit is exhausted


class Report(Protocol):
    """Progress of a command: work done, the total (0 if unknown), and more figures."""

    def __call__(self, what: str, done: int = 0, total: int = 0, note: str = "") -> None:
        """Report that `done` of `total` steps of `what` are done."""


def say(message: str) -> None:
    """Print a line for people on the standard error stream."""
    click.echo(visible(message), err=True)


def print_text(text: str = "") -> None:
    """Print a line of a result for people on the standard output."""
    click.echo(visible(text))


def print_error(message: str) -> None:
    """Print an error for people on the standard error stream."""
    click.echo(f"{click.style('error:', fg='red')} {visible(message)}", err=True)


def print_json(document: Any) -> None:
    """Print a result as JSON on the standard output."""
    click.echo(visible(json.dumps(document, indent=1, ensure_ascii=False, default=str)))


def print_notes(notes: Iterable[str]) -> None:
    """Print each note once."""
    for note in dict.fromkeys(notes):
        say(f"note: {note}")


def print_problems(problems: Sequence[Problem], notes: Iterable[str] = ()) -> None:
    """Print notes, and the problems of videos and files."""
    if not problems:
        print_notes(notes)
        return
    from actspan.cli.tables import print_problem_table
    from actspan.core.problems import dataset_notes

    print_notes((*notes, *dataset_notes(problems)))
    print_problem_table([p for p in problems if p.is_error or p.video])


def print_skipped(problems: Iterable[Problem], where: str = "") -> None:
    """Print in one line what was skipped, and where it is listed; nothing if nothing was."""
    if problems:
        from actspan.core.problems import skipped_line

        if line := skipped_line(problems):
            say(f"{line}{where}")


def print_findings(problems: Sequence[Problem], notes: Iterable[str] = (), where: str = "") -> None:
    """Print notes and problems, and last what was skipped. Commands call it at their end."""
    print_problems(problems, notes)
    print_skipped(problems, where)


def findings(problems: Sequence[Problem], notes: Iterable[str] = ()) -> dict[str, Any]:
    """Return the JSON entries of skipped items and notes."""
    others = (p for p in problems if not p.is_error)
    return {
        "skipped": [
            {"video": p.video, "file": p.file, "problem": p.problem, "what": p.skipped.value}
            for p in problems
            if p.is_error
        ],
        "notes": [*notes, *(f"{p.video or p.file}: {p.problem}" for p in others)],
    }


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which stops a command as Ctrl-C does."""


@contextmanager
def exit_on_errors() -> Iterator[None]:
    """Turn ActSpan's own errors in a block into one message and exit code 1.

    Ctrl-C and SIGTERM end the process with the usual exit codes 130 and 143, after the block has
    stopped cleanly. Notes on an exception, such as what is saved, follow on separate lines.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _stop) if is_main else None
    try:
        yield
    except (KeyboardInterrupt, ActSpanError, MemoryError, RuntimeError, OSError) as error:
        code = _report_error(error)
        if code is None:
            raise
        for note in getattr(error, "__notes__", ()):
            say(note)
        sys.exit(code)
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # cleaning up is not interrupted
    raise _Terminated


def _report_error(error: BaseException) -> int | None:
    """Print an error that has a message for users; return the exit code, or None if it has none."""
    match error:
        case KeyboardInterrupt():
            terminated = isinstance(error, _Terminated)
            say("terminated" if terminated else "interrupted")
            return 143 if terminated else 130
        case DatasetError():
            print_problems(error.problems)
            print_error(f"{counted(len(error.problems), 'problem')} found. {error.remedy}")
        case ActSpanError():
            print_error(str(error))
        case OSError() if error.filename is not None:  # a file that cannot be opened, in any step
            print_error(f"{error.filename}: {error.strerror}")
        case MemoryError():
            print_error(f"out of memory: {error}")
        case RuntimeError() if str(error) == _NO_THREAD:
            print_error(f"out of memory: {error}")
        case _:
            return None
    return 1


@contextmanager
def progress_report(what: str = "loading", *, bar_each: bool = False) -> Iterator[Report]:
    """Yield a callback that shows the progress of the library.

    It is a progress bar on a terminal, and a plain line every half minute elsewhere.

    Parameters
    ----------
    what : str
        Name of the work until the first report.
    bar_each : bool
        Keep one bar per kind of work, instead of one for the current work.
    """
    if not sys.stderr.isatty():
        with progress_lines(what) as report:
            yield report
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn, TimeRemainingColumn  # isort: skip

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    times = TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}")
    with Progress(*columns, *times, console=Console(stderr=True)) as bar:
        tasks = {} if bar_each else {"": bar.add_task(what, total=None, note="")}
        shown, at = "", 0.0

        def update(what: str, done: int = 0, total: int = 0, note: str = "") -> None:
            nonlocal shown, at
            now, key = perf_counter(), what if bar_each else ""
            if what == shown and done < total and now - at < _BAR_EVERY:
                return
            shown, at = what, now
            if key not in tasks:
                tasks[key] = bar.add_task(what, total=total, note=note)
            bar.update(tasks[key], description=what, completed=done, total=total or None, note=note)

        yield update


@contextmanager
def step_report(what: str) -> Iterator[Callable[[str], None]]:
    """Yield a callback that shows the name of each step, or of the latest one every half minute."""
    if sys.stderr.isatty():
        yield say
        return
    with progress_lines(what) as report:
        yield report


@contextmanager
def progress_lines(
    what: str = "loading", print_line: Callable[[str], None] = say, every: float | None = None
) -> Iterator[Report]:
    """Yield a callback; a thread prints its last report at fixed intervals, until the block ends.

    A step that takes minutes without a report still shows that it is running.

    Parameters
    ----------
    what : str
        Name of the work until the first report.
    every : float
        Seconds between two lines; `LINE_EVERY` by default.
    """
    state = (what, 0, 0, "")
    start, ended = perf_counter(), threading.Event()

    def report(what: str, done: int = 0, total: int = 0, note: str = "") -> None:
        nonlocal state
        state = (what, done, total, note)

    def print_lines() -> None:
        while not ended.wait(LINE_EVERY if every is None else every):
            print_line(progress_line(*state, perf_counter() - start))

    thread = threading.Thread(target=print_lines, name="progress", daemon=True)
    thread.start()
    try:
        yield report
    finally:
        ended.set()
        thread.join()


def progress_line(what: str, done: int, total: int, note: str, seconds: float) -> str:
    """Return the line of progress after this many seconds.

    Examples
    --------
    >>> progress_line("training TEM", 450, 3000, "epoch 3/20, loss 0.61", 90)
    'training TEM: 450 of 3,000, epoch 3/20, loss 0.61, 1:30 passed'
    >>> progress_line("compile", 0, 0, "", 3723)
    'compile: 1:02:03 passed'
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    count = f"{done:,} of {total:,}" if total else ""
    return f"{what}: {', '.join(filter(None, (count, note, f'{clock} passed')))}"
