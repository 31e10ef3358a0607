"""Networks, weights and recorded outputs of BMN for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from actspan.config.bmn import BmnConfig, MapAxes
from actspan.core.types import Float32
from actspan.model.weights import weight_shapes

CODES: dict[str, MapAxes] = {"jjboy": "start-end", "mmaction2": "duration-start"}
FILES = {"jjboy": "bmn_made_up.pth.tar", "mmaction2": "bmn_made_up_mmaction2.pth"}
SMALL: dict[str, Any] = {
    "channels": 8,
    "length": 9,
    "samples": 3,
    "base": 8,
    "sampled": 6,
    "matched": 7,
    "hidden": 5,
}
_LAYERS = {"x_1d_b": "base", "x_1d_s": "start", "x_1d_e": "end", "x_2d_p": "map"}
_SINGLE = {"x_1d_p.0": "sampled.conv", "x_3d_p.0": "matched.conv"}


def published_weights(path: Path) -> dict[str, Float32]:
    """Return the weights of a checkpoint of JJBOY or mmaction2 under the names of a bundle."""
    import torch

    state = torch.load(path, weights_only=True)["state_dict"]
    weights: dict[str, Float32] = {}
    for name, tensor in state.items():
        if name.endswith("mask"):
            continue
        layer, _, kind = name.removeprefix("module.").rpartition(".")
        branch, _, index = layer.partition(".")
        name = _SINGLE.get(layer) or f"{_LAYERS[branch]}.conv{1 + int(index) // 2}"
        weights[f"{name}.{kind}"] = tensor.numpy()
    weights["matched.conv.weight"] = weights["matched.conv.weight"][..., 0, 0]
    return weights


def random_weights(config: BmnConfig, seed: int = 0) -> dict[str, Float32]:
    """Return weights whose outputs are neither 0 nor 1."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in weight_shapes(config).items():
        scale = np.sqrt(2 / max(1, np.prod(shape[1:]))) if len(shape) > 1 else 0.3
        weights[name] = rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)
    return weights
