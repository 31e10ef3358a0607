"""Checkpoints of BMN in the forms of three published codes, with random weights."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np

from actspan import BmnConfig
from actspan.core.types import Float32
from actspan.model.bmn.sampling import sample_mask
from actspan.model.weights import weight_shapes

State = dict[str, Any]

# Layers in a bundle, in JJBOY's code (and OpenMMLab's), and in PaddleVideo's
LAYERS = [
    ("base.conv1", "x_1d_b.0", "b_conv1"),
    ("base.conv2", "x_1d_b.2", "b_conv2"),
    ("start.conv1", "x_1d_s.0", "ts_conv1"),
    ("start.conv2", "x_1d_s.2", "ts_conv2"),
    ("end.conv1", "x_1d_e.0", "te_conv1"),
    ("end.conv2", "x_1d_e.2", "te_conv2"),
    ("sampled.conv", "x_1d_p.0", "p_conv1"),
    ("matched.conv", "x_3d_p.0", "p_conv3d1"),
    ("map.conv1", "x_2d_p.0", "p_conv2d1"),
    ("map.conv2", "x_2d_p.2", "p_conv2d2"),
    ("map.conv3", "x_2d_p.4", "p_conv2d3"),
    ("map.conv4", "x_2d_p.6", "p_conv2d4"),
]
SMALL = BmnConfig(
    channels=8, length=6, axes="start-end", samples=3, base=4, sampled=5, matched=6, hidden=7
)


def weights(config: BmnConfig = SMALL) -> dict[str, Float32]:
    """Return random weights under the names of a bundle; outputs are neither 0 nor 1."""
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(scale=np.prod(shape[1:]) ** -0.5, size=shape).astype(np.float32)
        for name, shape in weight_shapes(config).items()
    }


def _named(config: BmnConfig, column: int, prefix: str) -> dict[str, Float32]:
    state = {}
    for name, array in weights(config).items():
        layer, _, part = name.rpartition(".")
        theirs = next(row[column] for row in LAYERS if row[0] == layer)
        form = (*array.shape, 1, 1) if name == "matched.conv.weight" else array.shape
        state[f"{prefix}{theirs}.{part}"] = array.reshape(form)
    return state


def jjboy_arrays(
    config: BmnConfig = SMALL, *, prefix: str = "module.", mask: bool = True
) -> dict[str, Float32]:
    """Return the entries of JJBOY's and, without a prefix, of OpenMMLab's state."""
    masks = {f"{prefix}sample_mask": sample_mask(config)} if mask else {}
    return masks | _named(config, 1, prefix)


def paddle_state(config: BmnConfig = SMALL) -> State:
    """Return the content of a `.pdparams` file."""
    arrays = _named(config, 2, "backbone.")
    names = {name: f"conv_{i}" for i, name in enumerate(arrays)}
    return collections.OrderedDict(arrays) | {"StructuredToParameterName@@": names}
