"""Progress of long commands as plain lines, for use without a terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter
from types import TracebackType
from typing import Self

EVERY = 30.0  # seconds between two lines


class ProgressLines:
    """Print a line of progress at fixed intervals, until the block ends.

    A thread prints the lines, so that a step that takes minutes still shows progress.

    Parameters
    ----------
    say : callable
        Prints a line.
    what : str
        Name of the work until the first report.
    every : float
        Seconds between two lines; `EVERY` by default.

    Examples
    --------
    >>> with ProgressLines(print) as lines:
    ...     lines.report("pack", 3, 24)  # prints nothing within the first 30 seconds
    """

    def __init__(
        self, say: Callable[[str], None], what: str = "loading", every: float | None = None
    ) -> None:
        self._say, self._every = say, EVERY if every is None else every
        self._state = (what, 0, 0, "")
        self._start = perf_counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._print_lines, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def report(self, what: str, done: int = 0, total: int = 0, note: str = "") -> None:
        """Record that `done` of `total` steps of `what` are done; `note` gives more figures."""
        self._state = (what, done, total, note)

    def _print_lines(self) -> None:
        while not self._stop.wait(self._every):
            self._say(progress_line(*self._state, perf_counter() - self._start))


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
