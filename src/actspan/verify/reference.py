"""The checkpoint itself, as exactly as its weights say, as a session that remembers its calls.

It computes in double precision and rounds at the end. In single precision it would be one more
variant with roundings of its own: a pair of scores that are equal but for the last bit changes
places, and every proposal after them has another rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.bundle import Bundle, Net
from actspan.runtime.session import FileSession
from actspan.types import Float32, Float64

__all__ = ["Call", "CheckpointSession"]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of a network: what went in, what came out."""

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
    """A network from its weights: what every other variant is held against.

    Parameters
    ----------
    bundle : Bundle
    net : "tem" or "pem"
    remember : int
        Calls are kept in `calls` until they hold this many rows.
    """

    def __init__(self, bundle: Bundle, net: Net, *, remember: int = 0) -> None:
        weights = bundle.weights(net)
        self._weights = {name: array.astype(np.float64) for name, array in weights.items()}
        self._forward = _tem if net == "tem" else _pem
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
        """What was remembered."""
        return self._memory.calls

    def _compute(self, inputs: Mapping[str, NDArray[Any]]) -> list[Float32]:
        (x,) = inputs.values()
        output = self._forward(self._weights, x.astype(np.float64)).astype(np.float32)
        self._memory.keep(Call(x.copy(), output))  # whoever calls may use its memory again
        return [output]

    def _release(self) -> None:
        self._weights = {}


def _tem(weights: Mapping[str, Float64], x: Float64) -> Float64:
    """(B, C, T) to (B, 3, T), paper section 3.3."""
    if "input.mean" in weights:
        x = (x - weights["input.mean"][:, None]) * weights["input.scale"][:, None]
    x = np.maximum(_conv(x, weights["conv1.weight"], weights["conv1.bias"]), 0)  # (B, H, T)
    x = np.maximum(_conv(x, weights["conv2.weight"], weights["conv2.bias"]), 0)  # (B, H, T)
    return _sigmoid(0.01 * _conv(x, weights["conv3.weight"], weights["conv3.bias"]))  # (B, 3, T)


def _pem(weights: Mapping[str, Float64], x: Float64) -> Float64:
    """(N, 32) to (N, 1), paper section 3.3."""
    h = np.maximum(0.1 * (x @ weights["fc1.weight"].T + weights["fc1.bias"]), 0)  # (N, H)
    return _sigmoid(0.1 * (h @ weights["fc2.weight"].T + weights["fc2.bias"]))


def _conv(x: Float64, weight: Float64, bias: Float64) -> Float64:
    """Padded so that the length stays: columns of all taps side by side, then one product."""
    half, length = weight.shape[2] // 2, x.shape[2]
    padded = np.pad(x, ((0, 0), (0, 0), (half, half)))
    shifted = [padded[:, :, tap : tap + length] for tap in range(weight.shape[2])]
    columns = np.concatenate(shifted, axis=1)  # (B, taps * C, T)
    rows = np.concatenate(list(np.moveaxis(weight, 2, 0)), axis=1)  # (H, taps * C)
    out: Float64 = rows @ columns + bias[:, None]
    return out


def _sigmoid(x: Float64) -> Float64:
    probability: Float64 = 0.5 * (1.0 + np.tanh(0.5 * x))
    return probability
