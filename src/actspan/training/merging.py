"""Networks of an ensemble merged into one wider network of the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
import numpy as np

from actspan.config.stages import TemConfig
from actspan.core.types import Float32
from actspan.model.bsn.networks import Network, Pem
from actspan.model.weights import last_layer

N = TypeVar("N", bound=Network)

# Rows of the last layers: scores and positions are the mean of all members; curves are of one each.
_SHARED, _OWN = slice(0, 5), slice(5, None)


def merge_members(members: Sequence[N], *, curves: int = 0) -> N:
    """Merge networks of equal size, which must standardise their input alike.

    The logits of the merged network are the mean of the members' logits. The members lie side by
    side in the hidden layers: TEM's second convolution has one group per member, and the last
    layer contains all their weights, divided by their number. The bundle, its graphs and every
    backend see one wider network.

    The learnt curves of the TEMs lie side by side as well. `curves` is their number per member if
    the networks are PEMs that see them: each sees those of its member.
    """
    first, count = members[0], len(members)
    if count == 1:
        return first
    config, weights = first.config, [member.weights() for member in members]
    sizes = {"hidden": config.hidden * count}
    if isinstance(config, TemConfig):
        sizes |= {"members": config.members * count, "curves": config.curves * count}
    elif curves:
        sizes["inputs"] = (weights[0]["fc1.weight"].shape[1] - 1) * count + 1
    merged = {}
    for name in weights[0]:
        layer, _, kind = name.rpartition(".")
        arrays = [w[name] for w in weights]
        if layer == "input":
            merged[name] = arrays[0]
        elif layer == _last_layer(first):
            merged[name] = _merge_last(arrays)
        elif kind == "bias" or not isinstance(first, Pem):
            merged[name] = np.concatenate(arrays)
        elif layer != "fc1":
            merged[name] = _diagonal(arrays)
        else:
            merged[name] = _merge_first(arrays, curves) if curves else np.concatenate(arrays)
    net = type(first)(msgspec.structs.replace(config, **sizes))
    net.load_weights(merged)
    return net.eval()


def _last_layer(net: Network) -> str:
    return last_layer(net.config.layers) if isinstance(net, Pem) else "conv3"


def _merge_last(arrays: Sequence[Float32]) -> Float32:
    """Merge weights or biases of the last layers: the mean, and the rows of curves after it."""
    shared, own = ([a[rows] for a in arrays] for rows in (_SHARED, _OWN))
    if arrays[0].ndim == 1:
        return np.concatenate([np.mean(shared, axis=0), *own])
    mean = np.concatenate(shared, axis=1) / np.float32(len(arrays))
    return np.concatenate([mean, _diagonal(own)])


def _merge_first(arrays: Sequence[Float32], curves: int) -> Float32:
    """Merge the first layers of PEMs, (H, positions * curves + 1): each sees its own curves."""
    count, hidden = len(arrays), len(arrays[0])
    positions = (arrays[0].shape[1] - 1) // curves
    sampled = np.zeros((count, hidden, positions, count, curves), dtype=np.float32)
    for member, array in enumerate(arrays):
        sampled[member, :, :, member] = array[:, :-1].reshape(hidden, positions, curves)
    duration = np.concatenate([array[:, -1:] for array in arrays])
    return np.concatenate([sampled.reshape(count * hidden, -1), duration], axis=1)


def _diagonal(blocks: Sequence[Float32]) -> Float32:
    """Return matrices, (rows, columns, ...), along the diagonal of a matrix of zeros."""
    count, (rows, columns, *rest) = len(blocks), blocks[0].shape
    out = np.zeros((count, rows, count, columns, *rest), dtype=np.float32)
    for member, block in enumerate(blocks):
        out[member, :, member] = block
    return out.reshape(count * rows, count * columns, *rest)
