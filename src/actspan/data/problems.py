"""What is wrong with a dataset: found before work starts, reported together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from actspan.errors import DatasetError, shortened
from actspan.limits import FINDING


class Loss(StrEnum):
    """What has to be left out if work is to go on."""

    VIDEO = "video"
    SEGMENT = "segment"
    FILE = "file"
    NOTHING = "nothing"  # a note: nothing is wrong enough to stop


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: which video, in which file, what is wrong, and what to do about it."""

    video: str
    file: str
    problem: str
    remedy: str
    loss: Loss = Loss.VIDEO

    def __post_init__(self) -> None:
        object.__setattr__(self, "problem", shortened(self.problem, FINDING))

    @property
    def is_error(self) -> bool:
        """Whether work stops because of it, unless told to skip."""
        return self.loss is not Loss.NOTHING


def stop_on_errors(problems: Sequence[Problem]) -> None:
    """Raise DatasetError with all problems that are not mere notes, if there are any."""
    errors = [p for p in problems if p.is_error]
    if errors:
        raise DatasetError(errors, "Mend them, or go on without them: --on-error skip.")


def stop_with_none_left(problems: Sequence[Problem], videos: int) -> NoReturn:
    """Raise DatasetError with all errors, which left out every one of so many videos."""
    errors = [p for p in problems if p.is_error]
    after = f" after leaving out {videos} of {videos} videos" if videos else ""
    raise DatasetError(errors, f"Nothing is left{after}: mend them.")
