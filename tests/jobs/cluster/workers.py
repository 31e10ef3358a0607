"""Workers that fail, for tests; worker processes must be able to import them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actspan.core.errors import FeatureError


@dataclass(frozen=True)
class Killed:
    """Worker that is killed at some numbers, once or always; it marks finished numbers."""

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
    """Worker that raises an error at a number."""

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
