"""All networks in plain NumPy: the reference for every exported graph and every backend.

The code favours readability. Weights have the bundle's names (see `weight_shapes`). They also
define the precision: float64 weights compute in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actspan.core.errors import ShapeError
from actspan.core.types import Float32
from actspan.model.weights import dilations_of, hidden_layers, last_layer, layers_of

F = TypeVar("F", np.float32, np.float64)


def tem_forward(weights: Mapping[str, NDArray[F]], video: ArrayLike) -> NDArray[F]:
    """Compute the probabilities of action, start and end for every cell (bsn.md section 3).

    A network with learnt curves also computes the position of a start and of an end within the
    cell (0: its left edge, 1: its right edge), and the curves.

    Parameters
    ----------
    weights : mapping of str to float32 or float64 array
        Weights of TEM, or of a merged ensemble.
    video : (B, C, T) array
        Rescaled features; ShapeError if C is not that of the weights.

    Returns
    -------
    (B, outputs, T) array of the weights' type
        In [0, 1]: action, start, end; positions of start and end, curves.
    """
    return sigmoid(tem_logits(weights, video))


def tem_logits(weights: Mapping[str, NDArray[F]], video: ArrayLike) -> NDArray[F]:
    """Compute the scaled output of the last layer, before the sigmoid; see `tem_forward`."""
    x = np.asarray(video, dtype=weights["conv1.weight"].dtype)
    channels = weights["conv1.weight"].shape[1]
    if x.ndim != 3 or x.shape[1] != channels:
        raise ShapeError(f"video has shape {x.shape}; (B, {channels}, T) is needed")
    if "input.mean" in weights:
        x = (x - weights["input.mean"][:, None]) * weights["input.scale"][:, None]
    x = np.maximum(conv1d(x, weights["conv1.weight"], weights["conv1.bias"]), 0)  # (B, H, T)
    x = np.maximum(conv1d(x, weights["conv2.weight"], weights["conv2.bias"]), 0)  # (B, H, T)
    for name, dilation in dilations_of(weights).items():
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        x = x + np.maximum(conv1d(x, weight, bias, dilation), 0)  # (B, H, T)
    x = conv1d(x, weights["conv3.weight"], weights["conv3.bias"])  # (B, outputs, T)
    return 0.01 * x


def pem_forward(weights: Mapping[str, NDArray[F]], features: ArrayLike) -> NDArray[F]:
    """Compute the predicted IoU of every proposal (bsn.md section 6), in [0, 1].

    Features of proposals, (..., 32) as published, become (..., 1) of the weights' type; ShapeError
    if they do not fit.
    """
    return sigmoid(pem_logits(weights, features))


def pem_logits(weights: Mapping[str, NDArray[F]], features: ArrayLike) -> NDArray[F]:
    """Compute the scaled output of the last layer, before the sigmoid; see `pem_forward`."""
    x = np.asarray(features, dtype=weights["fc1.weight"].dtype)
    inputs = weights["fc1.weight"].shape[1]
    if x.ndim < 1 or x.shape[-1] != inputs:
        raise ShapeError(f"features have shape {x.shape}; (..., {inputs}) is needed")
    count = layers_of(weights)
    for name in hidden_layers(count):
        x = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]  # (..., H)
        x = np.maximum(0.1 * x, 0)
    name = last_layer(count)
    logits: NDArray[F] = 0.1 * (x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])
    return logits


def classifier_forward(weights: Mapping[str, Float32], pooled: ArrayLike) -> Float32:
    """Compute the probabilities of every label and of background.

    Pooled features (N, inputs) become (N, labels + 1) float32; ShapeError if they do not fit.
    """
    return softmax(classifier_logits(weights, pooled))


def classifier_logits(weights: Mapping[str, Float32], pooled: ArrayLike) -> Float32:
    """Compute the output of the last layer, before the softmax; see `classifier_forward`."""
    x = np.asarray(pooled, dtype=np.float32)
    inputs = weights["fc1.weight"].shape[1]
    if x.ndim != 2 or x.shape[1] != inputs:
        raise ShapeError(f"pooled features have shape {x.shape}; (N, {inputs}) is needed")
    x = (x - weights["input.mean"]) * weights["input.scale"]
    h = np.maximum(x @ weights["fc1.weight"].T + weights["fc1.bias"], np.float32(0))  # (N, H)
    logits: Float32 = h @ weights["fc2.weight"].T + weights["fc2.bias"]
    return logits


def conv1d(x: NDArray[F], weight: NDArray[F], bias: NDArray[F], dilation: int = 1) -> NDArray[F]:
    """Convolve (B, C, T) to (B, H, T): one matrix product per tap of an odd kernel, zero padded.

    If a weight has fewer input channels than `x`, the convolution is grouped.
    """
    groups = x.shape[1] // weight.shape[1]
    if groups > 1:
        split = (np.split(a, groups, axis) for a, axis in ((x, 1), (weight, 0), (bias, 0)))
        parts = [conv1d(a, w, b, dilation) for a, w, b in zip(*split, strict=True)]
        return np.concatenate(parts, axis=1)
    T, taps = x.shape[2], weight.shape[2]
    around = dilation * (taps // 2)
    padded = np.pad(x, ((0, 0), (0, 0), (around, around)))
    out = np.zeros((x.shape[0], weight.shape[0], T), dtype=x.dtype) + bias[:, None]
    for tap in range(taps):
        out += weight[:, :, tap] @ padded[:, :, dilation * tap : dilation * tap + T]
    return out


def softmax(logits: Float32) -> Float32:
    """Compute probabilities that add up to 1 over the second axis."""
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    out: Float32 = grown / grown.sum(axis=1, keepdims=True)
    return out


def sigmoid(x: NDArray[F]) -> NDArray[F]:
    """Compute the logistic function, in the form that cannot overflow."""
    probability: NDArray[F] = 0.5 * (1.0 + np.tanh(0.5 * x))
    return probability
