"""Merging of the members of an ensemble into one network, whose logits are the mean of theirs.

The members lie side by side in the hidden layers, and the last layer contains all their weights,
divided by their number. The bundle, its graphs and every backend see one wider network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from actspan.config.stages import BspConfig
from actspan.core.types import Float32
from actspan.model.bsn.networks import Pem, Tem
from actspan.model.weights import last_layer

Weights = Mapping[str, Float32]


def merge_tems(members: Sequence[Tem]) -> Tem:
    """Merge TEMs of equal size, which must standardise their input alike.

    The second convolution and the residual layers have one group per member. Learnt curves are not
    averaged: the merged network has those of all members, one member after the other.
    """
    first, count = members[0], len(members)
    if count == 1:
        return first
    config, parts = first.config, [member.weights() for member in members]
    shared = config.outputs - config.curves  # outputs that are averaged
    merged = {}
    for name in parts[0]:
        layer = name.partition(".")[0]
        arrays = [part[name] for part in parts]
        if layer == "input":
            merged[name] = arrays[0]
        elif layer == "conv3":
            averaged = _mean([array[:shared] for array in arrays])
            own = [array[shared:] for array in arrays]
            curves = np.concatenate(own) if own[0].ndim == 1 else _block_diagonal(own)
            merged[name] = np.concatenate([averaged, curves])
        else:
            merged[name] = np.concatenate(arrays)
    net = Tem(
        replace(
            config,
            hidden=config.hidden * count,
            members=config.members * count,
            curves=config.curves * count,
        )
    )
    net.load_weights(merged)
    return net.eval()


def merge_pems(members: Sequence[Pem], curves: int = 0, config: BspConfig | None = None) -> Pem:
    """Merge PEMs of equal size.

    With `curves`, the number of learnt curves of a member's TEM, each member sees its own curves
    among those of the merged TEM. Without, all see the same features.
    """
    first, count = members[0], len(members)
    if count == 1:
        return first
    config = config or BspConfig()
    inputs = config.curve_size(curves * count) if curves else first.config.inputs
    last, parts = last_layer(first.config.layers), [member.weights() for member in members]
    merged = {}
    for name in parts[0]:
        layer, _, kind = name.partition(".")
        arrays = [part[name] for part in parts]
        if layer == last:
            merged[name] = _mean(arrays)
        elif kind == "bias" or (layer == "fc1" and not curves):
            merged[name] = np.concatenate(arrays)
        elif layer == "fc1":
            columns = np.arange(inputs - 1).reshape(-1, count, curves)  # positions, members, curves
            merged[name] = np.zeros((len(arrays[0]) * count, inputs), dtype=np.float32)
            for k, (rows, weight) in enumerate(
                zip(np.split(merged[name], count), arrays, strict=True)
            ):
                rows[:, columns[:, k].ravel()] = weight[:, :-1]
                rows[:, -1] = weight[:, -1]  # the duration, which all see
        else:
            merged[name] = _block_diagonal(arrays)
    net = Pem(replace(first.config, hidden=first.config.hidden * count, inputs=inputs))
    net.load_weights(merged)
    return net.eval()


def _mean(arrays: Sequence[Float32]) -> Float32:
    """Return a last layer over the hidden layers of all members: its weight, or its bias."""
    if arrays[0].ndim == 1:
        mean: Float32 = np.mean(arrays, axis=0)
        return mean
    joined: Float32 = np.concatenate(arrays, axis=1) / np.float32(len(arrays))
    return joined


def _block_diagonal(arrays: Sequence[Float32]) -> Float32:
    """Return (sum O, sum I, ...) weights in which each member sees only its own inputs."""
    outputs, inputs, *rest = arrays[0].shape
    merged = np.zeros((outputs * len(arrays), inputs * len(arrays), *rest), dtype=np.float32)
    for k, array in enumerate(arrays):
        merged[k * outputs : (k + 1) * outputs, k * inputs : (k + 1) * inputs] = array
    return merged
