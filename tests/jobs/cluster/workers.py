"""Workers that misbehave, for tests; they have to be importable where workers run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actspan.core.errors import FeatureError


@dataclass(frozen=True)
class Killed:
    """Dies by SIGKILL at some numbers, the first time or always; marks what it has done."""

    folder: Path
    at: frozenset[int]
    always: bool = False

    def __call__(self) -> Callable[[Sequence[int]], Iterator[int]]:
        return lambda numbers: map(self._square, numbers)

    def _square(self, number: int) -> int:
        mark = self.folder / f"killed-{number}"
        if number in self.at and (self.always or not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (self.folder / f"done-{number}").touch()
        return number * number


@dataclass(frozen=True)
class Failing:
    """Raises, after some."""

    error: str
    at: int = 5

    def __call__(self) -> Callable[[Sequence[int]], Iterator[int]]:
        return self._do

    def _do(self, numbers: Sequence[int]) -> Iterator[int]:
        for number in numbers:
            if number == self.at and self.error == "ours":
                raise FeatureError("video.npy: the file is empty")
            if number == self.at:
                raise ZeroDivisionError("not ours")
            yield number
