"""Reusable memory of a worker: allocating new pages costs more than the computation in them."""

from __future__ import annotations

import math
import threading

import numpy as np

from actspan.core.types import Float32


class Scratch(threading.local):
    """Named arrays per thread, each as large as the largest one requested so far."""

    def __init__(self) -> None:
        self._memory: dict[str, Float32] = {}

    def take(self, name: str, shape: tuple[int, ...]) -> Float32:
        """Return an uninitialised array of a shape; valid until the next call with that name."""
        size = math.prod(shape)
        memory = self._memory.get(name)
        if memory is None or memory.size < size:
            memory = self._memory[name] = np.empty(size, dtype=np.float32)
        return memory[:size].reshape(shape)
