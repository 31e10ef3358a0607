"""Both networks in plain NumPy: what every exported graph is held against.

They are written to be read. Weights carry the bundle's names (see `actspan.bundle`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from actspan.errors import ShapeError
from actspan.types import Float32


def tem_forward(weights: Mapping[str, Float32], video: ArrayLike) -> Float32:
    """Probabilities of action, start and end for every cell (bsn.md section 3).

    Parameters
    ----------
    weights : mapping of str to float32 array
    video : (B, C, T) float32
        Rescaled features.

    Returns
    -------
    (B, 3, T) float32
        In [0, 1]: action, start, end.

    Raises
    ------
    ShapeError
        `video` is not (B, C, T) with the C of the weights.
    """
    x = np.asarray(video, dtype=np.float32)
    channels = weights["conv1.weight"].shape[1]
    if x.ndim != 3 or x.shape[1] != channels:
        raise ShapeError(f"video has shape {x.shape}; (B, {channels}, T) is needed")
    if "input.mean" in weights:
        x = (x - weights["input.mean"][:, None]) * weights["input.scale"][:, None]
    x = _relu(_conv1d(x, weights["conv1.weight"], weights["conv1.bias"]))  # (B, H, T)
    x = _relu(_conv1d(x, weights["conv2.weight"], weights["conv2.bias"]))  # (B, H, T)
    x = _conv1d(x, weights["conv3.weight"], weights["conv3.bias"])  # (B, 3, T)
    return _sigmoid(np.float32(0.01) * x)


def pem_forward(weights: Mapping[str, Float32], features: ArrayLike) -> Float32:
    """The predicted IoU of every proposal (bsn.md section 6).

    Parameters
    ----------
    weights : mapping of str to float32 array
    features : (..., 32) float32
        BSP features.

    Returns
    -------
    (..., 1) float32
        In [0, 1].

    Raises
    ------
    ShapeError
        The last axis does not match the weights.
    """
    x = np.asarray(features, dtype=np.float32)
    inputs = weights["fc1.weight"].shape[1]
    if x.ndim < 1 or x.shape[-1] != inputs:
        raise ShapeError(f"BSP features have shape {x.shape}; (..., {inputs}) is needed")
    h = x @ weights["fc1.weight"].T + weights["fc1.bias"]  # (..., H)
    h = _relu(np.float32(0.1) * h)
    return _sigmoid(np.float32(0.1) * (h @ weights["fc2.weight"].T + weights["fc2.bias"]))


def _conv1d(x: Float32, weight: Float32, bias: Float32) -> Float32:
    """(B, C, T) to (B, H, T): one matrix product for each tap of an odd kernel, zeros outside.

    Where a weight takes fewer channels than there are, these and the outputs are in groups.
    """
    groups = x.shape[1] // weight.shape[1]
    if groups > 1:
        split = (np.split(a, groups, axis) for a, axis in ((x, 1), (weight, 0), (bias, 0)))
        return np.concatenate([_conv1d(*part) for part in zip(*split, strict=True)], axis=1)
    T, taps = x.shape[2], weight.shape[2]
    padded = np.pad(x, ((0, 0), (0, 0), (taps // 2, taps // 2)))
    out = np.zeros((x.shape[0], weight.shape[0], T), dtype=np.float32) + bias[:, None]
    for tap in range(taps):
        out += weight[:, :, tap] @ padded[:, :, tap : tap + T]
    return out


def _relu(x: Float32) -> Float32:
    return np.maximum(x, np.float32(0))


def _sigmoid(x: Float32) -> Float32:
    """In the form that cannot overflow."""
    half = np.float32(0.5)
    probability: Float32 = half * (np.float32(1) + np.tanh(half * x))
    return probability
