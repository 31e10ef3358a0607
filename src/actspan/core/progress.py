"""Progress of long work: one kind of callback, for every job."""

from __future__ import annotations

from collections.abc import Callable

# Called as progress(what, done, total); total is 0 if it is not known.
Progress = Callable[[str, int, int], None]


def no_progress(what: str, done: int, total: int) -> None:
    """Ignore the progress; the default of every function that reports it."""
