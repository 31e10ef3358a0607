"""Recorded outputs of BMN's published codes: their settings by name, and their weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from actspan.config.bmn import Anchor, BmnLossConfig, MapAxes

AXES: dict[str, MapAxes] = {
    "jjboy": "start-end",
    "mmaction2": "duration-start",
    "paddle": "duration-start",
}
ANCHORS: dict[str, Anchor] = {
    "jjboy": "around-edge",
    "mmaction2": "around-cell",
    "paddle": "cell",
}
LOSSES = {
    "jjboy": BmnLossConfig(),
    "mmaction2": BmnLossConfig(epsilon=1e-5, least_ratio=1.05, most_ratio=21.0),
    "paddle": BmnLossConfig(without_overlap=True, shared_draw=True),
}

_LAYERS = {  # layers of the published checkpoints
    "x_1d_b.0": "base.conv1",
    "x_1d_b.2": "base.conv2",
    "x_1d_s.0": "start.conv1",
    "x_1d_s.2": "start.conv2",
    "x_1d_e.0": "end.conv1",
    "x_1d_e.2": "end.conv2",
    "x_1d_p.0": "sampled.conv",
    "x_3d_p.0": "matched.conv",
    "x_2d_p.0": "map.conv1",
    "x_2d_p.2": "map.conv2",
    "x_2d_p.4": "map.conv3",
    "x_2d_p.6": "map.conv4",
}


def our_name(published: str) -> str:
    """Return our name of a published weight or bias."""
    layer, _, kind = published.removeprefix("module.").rpartition(".")
    return f"{_LAYERS[layer]}.{kind}"


def made_up_weights(folder: Path) -> dict[str, np.ndarray]:
    """Return the weights that the recorded outputs were made with, by our names."""
    file = torch.load(folder / "bmn_made_up.pth.tar", map_location="cpu", weights_only=True)
    weights = {our_name(name): value.numpy() for name, value in file["state_dict"].items()}
    matched = weights["matched.conv.weight"]
    weights["matched.conv.weight"] = matched.reshape(matched.shape[:3])
    return weights
