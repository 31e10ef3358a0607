"""Progress of long work: one kind of callback for every job, and the report of a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

# Called as progress(what, done, total); total is 0 if it is not known.
Progress = Callable[[str, int, int], None]


def no_progress(what: str, done: int, total: int) -> None:
    """Ignore the progress; the default of every function that reports it."""


class Report(Protocol):
    """Receiver of progress and messages; commands print them, tests collect them."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """Report `done` of `total` steps of `what`; `note` gives the losses."""

    def say(self, message: str) -> None:
        """Report a message of one line."""

    def losses(self, net: str, epoch: int, training: float, validation: float | None) -> None:
        """Report the mean losses of an epoch, from 1, of a network; None without validation."""


class NoReport:
    """A report that discards everything."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """Discard the progress."""

    def say(self, message: str) -> None:
        """Discard the message."""

    def losses(self, net: str, epoch: int, training: float, validation: float | None) -> None:
        """Discard the losses."""
