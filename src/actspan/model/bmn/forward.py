"""BMN in plain NumPy: the reference for every exported graph and every backend (bmn.md section 1).

Weights have the bundle's names (see `weight_shapes`) and define the precision: float64 weights
compute in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actspan.config.bmn import BmnConfig
from actspan.core.errors import ShapeError
from actspan.model.bmn.blocks import sample_blocks
from actspan.model.bmn.sampling import map_cells, map_shape
from actspan.model.bsn.forward import conv1d

F = TypeVar("F", np.float32, np.float64)


class BmnLogits(NamedTuple):
    """Outputs of the last layers before the sigmoid, in the order of the graph's outputs."""

    confidence_map: NDArray[np.floating]  # (B, 2, rows, columns)
    start: NDArray[np.floating]  # (B, T)
    end: NDArray[np.floating]  # (B, T)


def bmn_logits(weights: Mapping[str, NDArray[F]], video: ArrayLike, config: BmnConfig) -> BmnLogits:
    """Compute the output of BMN before the sigmoids, for (B, C, T) features.

    The samples of a proposal are linear in the features, and so is the layer that combines them,
    which is therefore applied first (bmn.md section 13). Raises ShapeError for another input.
    """
    x = np.asarray(video, dtype=weights["base.conv1.weight"].dtype)
    if x.ndim != 3 or x.shape[1:] != (config.channels, config.length):
        needed = f"(B, {config.channels}, {config.length})"
        raise ShapeError(f"video has shape {x.shape}; {needed} is needed")
    if "input.mean" in weights:
        x = (x - weights["input.mean"][:, None]) * weights["input.scale"][:, None]

    def layer(x: NDArray[F], name: str) -> NDArray[F]:
        return conv1d(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    base = _relu(layer(_relu(layer(x, "base.conv1")), "base.conv2"))  # (B, H, T)
    start, end = (
        layer(_relu(layer(base, f"{side}.conv1")), f"{side}.conv2")[:, 0]
        for side in ("start", "end")
    )
    sampled = _relu(layer(base, "sampled.conv"))  # (B, S, T)
    maps = [_map_logits(weights, each, config) for each in sampled]
    return BmnLogits(np.stack(maps), start, end)


def _map_logits(
    weights: Mapping[str, NDArray[F]], sampled: NDArray[F], config: BmnConfig
) -> NDArray[F]:
    """Compute the map of one video, (2, rows, columns), from the features to sample, (S, T)."""
    matrix, bias = weights["matched.conv.weight"], weights["matched.conv.bias"]  # (M, S, N), (M,)
    positions = np.einsum("msn,st->tnm", matrix, sampled, optimize=True)  # before sampling
    positions = positions.reshape(-1, len(bias))  # (T * N, M)
    cells = map_cells(config)
    combined = np.zeros((len(cells.rows) + 1, len(bias)), dtype=sampled.dtype)
    for block in chain.from_iterable(sample_blocks(config)):
        products = block.weights.astype(sampled.dtype) @ positions[block.columns]
        combined[block.proposals] = products
    places = np.full(map_shape(config), len(cells.rows))  # the last row is zero: no proposal
    places[cells.rows, cells.columns] = np.arange(len(cells.rows))
    x = proposal_layers(weights, combined)[places]  # (rows, columns, hidden)
    return map_layers(weights, x.transpose(2, 0, 1))


def proposal_layers(weights: Mapping[str, NDArray[F]], combined: NDArray[F]) -> NDArray[F]:
    """Compute what the layers over the map see of proposals, (n, hidden).

    `combined` are their samples after matched.conv without its bias, (n, M); zero for cells of the
    map that are no proposal.
    """
    x = _relu(combined + weights["matched.conv.bias"])
    return _relu(x @ weights["map.conv1.weight"][:, :, 0, 0].T + weights["map.conv1.bias"])


def map_layers(weights: Mapping[str, NDArray[F]], x: NDArray[F]) -> NDArray[F]:
    """Compute the logits (2, rows, columns) of a map (hidden, rows, columns)."""
    for name in ("map.conv2", "map.conv3"):
        x = _relu(_conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"]))
    return _conv2d(x, weights["map.conv4.weight"], weights["map.conv4.bias"])


def _relu(x: NDArray[F]) -> NDArray[F]:
    return np.maximum(x, 0)


def _conv2d(x: NDArray[F], weight: NDArray[F], bias: NDArray[F]) -> NDArray[F]:
    """Convolve (C, rows, columns): one matrix product per tap of an odd kernel, zero padded."""
    taps, (_, rows, columns) = weight.shape[2], x.shape
    padded = np.pad(x, ((0, 0), (taps // 2, taps // 2), (taps // 2, taps // 2)))
    out = np.repeat(bias[:, None], rows * columns, axis=1)
    for i in range(taps):
        for j in range(taps):
            window = padded[:, i : i + rows, j : j + columns].reshape(len(x), -1)
            out += weight[:, :, i, j] @ window
    return out.reshape(-1, rows, columns)
