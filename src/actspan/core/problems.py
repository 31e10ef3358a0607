"""Problems of a dataset: collected before work starts, and reported together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from actspan.core.errors import DatasetError, shortened
from actspan.core.limits import PROBLEM
from actspan.core.wording import counted, it_or_them, listed

_VARYING = re.compile(r"\d[\d.,]*|'[^']*'")  # parts of a text in which problems of one kind differ
_NOTHING_LEFT = "Fix the cause: if all of this were skipped, nothing would be left."


class Skipped(StrEnum):
    """Data that have to be skipped for work to continue."""

    VIDEO = "video"
    SEGMENT = "segment"
    FILE = "file"
    ENTRY = "entry"  # the second value of a key; the first is read
    NOTHING = "nothing"  # a note that does not stop the work


_NOUNS = {
    Skipped.VIDEO: "video",
    Skipped.SEGMENT: "instance",
    Skipped.FILE: "file",
    Skipped.ENTRY: "repeated key",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: the video, the file, what is wrong, and a remedy."""

    video: str
    file: str
    problem: str
    remedy: str
    skipped: Skipped = Skipped.VIDEO

    def __post_init__(self) -> None:
        object.__setattr__(self, "problem", shortened(self.problem, PROBLEM))

    @property
    def is_error(self) -> bool:
        """Return whether work stops because of it, unless it is skipped."""
        return self.skipped is not Skipped.NOTHING

    @property
    def kind(self) -> tuple[str, ...]:
        """Problem and remedy without id, numbers and quotes, which are equal for one kind."""
        texts = self.problem, self.remedy
        if len(self.video) > 1:  # shorter ids occur within words
            texts = texts[0].replace(self.video, "#"), texts[1].replace(self.video, "#")
        return tuple(_VARYING.sub("#", text) for text in texts)

    @property
    def record(self) -> dict[str, str]:
        """Return the problem as a record in run.toml and JSON output, for `problem_of_record`."""
        return {
            "video": self.video,
            "file": self.file,
            "problem": self.problem,
            "left_out": self.skipped.value,
        }


def problem_of_record(record: Mapping[str, str]) -> Problem:
    """Return the problem of a `record`, without its remedy."""
    skipped = Skipped(record.get("left_out", Skipped.VIDEO))
    return Problem(record.get("video", ""), record.get("file", ""), record["problem"], "", skipped)


def raise_errors(problems: Sequence[Problem], *, leaves_something: bool = True) -> None:
    """Raise DatasetError with all problems that are not just notes, if there are any.

    Parameters
    ----------
    leaves_something : bool
        Whether anything is left after skipping: only then is skipping suggested.
    """
    errors = [p for p in problems if p.is_error]
    if errors:
        skip = f"Fix {it_or_them(len(errors))}, or skip what cannot be used: --on-error skip."
        raise DatasetError(errors, skip if leaves_something else _NOTHING_LEFT)


def raise_nothing_left(problems: Sequence[Problem], videos: int, noun: str = "video") -> NoReturn:
    """Raise DatasetError with all errors, if none of `videos` videos can be used."""
    errors = [p for p in problems if p.is_error]
    of_all = {0: "Nothing can", 1: f"The only {noun} cannot"}
    which = of_all.get(videos, f"None of {counted(videos, noun)} can")
    raise DatasetError(errors, f"{which} be used: fix the cause.")


def dataset_notes(problems: Iterable[Problem]) -> tuple[str, ...]:
    """Return the notes about a whole dataset as lines, for commands that print no problems.

    Examples
    --------
    >>> dataset_notes([Problem("", "set", "features are short", "check it", Skipped.NOTHING)])
    ('set: features are short; check it',)
    """
    notes = (p for p in problems if not (p.is_error or p.video))
    return tuple(f"{p.file}: {p.problem}; {p.remedy}" for p in notes)


def skipped_line(problems: Iterable[Problem]) -> str:
    """Return what was skipped, counted and named; "" if nothing was.

    Examples
    --------
    >>> skipped_line([Problem("a", "a.npy", "the file is empty", "replace it")])
    'skipped: 1 video (a)'
    """
    names: dict[Skipped, list[str]] = {skipped: [] for skipped in _NOUNS}
    for problem in problems:
        if problem.is_error:
            names[problem.skipped].append(problem.video or problem.file)
    names[Skipped.VIDEO] = list(dict.fromkeys(names[Skipped.VIDEO]))
    parts = [
        f"{counted(len(names_of_kind), _NOUNS[skipped])} ({listed(dict.fromkeys(names_of_kind))})"
        for skipped, names_of_kind in names.items()
        if names_of_kind
    ]
    return f"skipped: {', '.join(parts)}" if parts else ""
