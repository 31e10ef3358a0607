"""Memory that a worker uses again: a fresh page costs more than what is computed into it."""

from __future__ import annotations

import math
import threading

import numpy as np

from actspan.types import Float32


class Scratch(threading.local):
    """Arrays by name, of each thread its own, and as large as the largest that was taken."""

    def __init__(self) -> None:
        self._memory: dict[str, Float32] = {}

    def take(self, name: str, shape: tuple[int, ...]) -> Float32:
        """An array of a shape, with whatever stood there; good until the next of that name."""
        size = math.prod(shape)
        memory = self._memory.get(name)
        if memory is None or memory.size < size:
            memory = self._memory[name] = np.empty(size, dtype=np.float32)
        return memory[:size].reshape(shape)
