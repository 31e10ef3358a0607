"""Ensembles merged into one network, whose logits are the mean of the members' logits.

The members lie side by side in the hidden layers: TEM's second convolution has one group
per member, and the last layers hold all their weights, divided by the number of members. The
bundle, its graphs and every backend see one wider network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from actspan.core.types import Float32
from actspan.model.bsn.networks import Pem, Tem

Weights = Mapping[str, Float32]


def merge_tems(members: Sequence[Tem]) -> Tem:
    """Merge TEMs of equal size, which must standardise their input alike."""
    if len(members) == 1:
        return members[0]
    weights = [member.weights() for member in members]
    config, count = members[0].config, len(members)
    merged = Tem(
        msgspec.structs.replace(
            config, hidden=config.hidden * count, members=config.members * count
        )
    )
    scaling = {name: w for name, w in weights[0].items() if name.startswith("input.")}
    merged.load_weights(scaling | _side_by_side(weights, ("conv1", "conv2"), "conv3"))
    return merged.eval()


def merge_pems(members: Sequence[Pem]) -> Pem:
    """Merge PEMs of equal size."""
    if len(members) == 1:
        return members[0]
    config, count = members[0].config, len(members)
    merged = Pem(msgspec.structs.replace(config, hidden=config.hidden * count))
    merged.load_weights(_side_by_side([m.weights() for m in members], ("fc1",), "fc2"))
    return merged.eval()


def _side_by_side(
    members: Sequence[Weights], hidden: Sequence[str], last: str
) -> dict[str, Float32]:
    """Stack weights: hidden layers by output, the last layer by input and divided."""
    merged = {
        f"{layer}.{part}": np.concatenate([w[f"{layer}.{part}"] for w in members])
        for layer in hidden
        for part in ("weight", "bias")
    }
    weight = np.concatenate([w[f"{last}.weight"] for w in members], axis=1)
    merged[f"{last}.weight"] = weight / np.float32(len(members))
    merged[f"{last}.bias"] = np.mean([w[f"{last}.bias"] for w in members], axis=0)
    return merged
