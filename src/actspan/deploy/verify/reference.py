"""The checkpoint as a session that records its calls, computed as exactly as possible.

It computes in double precision and rounds at the end. In single precision it would have
rounding errors of its own: two scores that differ only in the last bit would swap, and every
later proposal would have another rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.core.types import Float32
from actspan.model.bsn.forward import pem_forward, tem_forward
from actspan.model.bundle import Bundle
from actspan.model.weights import Net
from actspan.runtime.session import FileSession

__all__ = ["Call", "CheckpointSession"]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of a network: its input and its output."""

    input: NDArray[Any]
    output: Float32


@dataclass(slots=True)
class _Memory:
    rows: int
    calls: list[Call] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def keep(self, call: Call) -> None:
        with self.lock:
            if self.rows > 0:
                self.rows -= len(call.input)
                self.calls.append(call)


class CheckpointSession(FileSession):
    """A network computed from its weights: the reference for every other variant.

    Parameters
    ----------
    bundle : Bundle
    net : "tem" or "pem"
    remember : int
        Calls are recorded in `calls` until they hold this number of rows.
    """

    def __init__(self, bundle: Bundle, net: Net, *, remember: int = 0) -> None:
        weights = bundle.weights(net)
        self._weights = {name: array.astype(np.float64) for name, array in weights.items()}
        self._forward = tem_forward if net == "tem" else pem_forward
        self._memory = _Memory(remember)
        channels = weights["conv1.weight" if net == "tem" else "fc1.weight"].shape[1]
        super().__init__(
            "checkpoint",
            "NumPy",
            Path(bundle.path, f"{net}.safetensors"),
            input_shapes={"video": (None, channels, None)}
            if net == "tem"
            else {"video_feature": (None, channels)},
            output_names=["output"],
        )

    @property
    def calls(self) -> list[Call]:
        """Recorded calls."""
        return self._memory.calls

    def _compute(self, inputs: Mapping[str, NDArray[Any]]) -> list[Float32]:
        (x,) = inputs.values()
        output = self._forward(self._weights, x).astype(np.float32)
        self._memory.keep(Call(x.copy(), output))  # The caller may reuse its memory.
        return [output]

    def _release(self) -> None:
        self._weights = {}
