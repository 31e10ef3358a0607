"""Recorded outputs of BMN's published codes: their settings by name, and their weights."""

from __future__ import annotations

from pathlib import Path

from actspan.config.bmn import Anchor, BmnLossConfig, MapAxes
from actspan.core.types import Float32
from actspan.model.checkpoints import read_checkpoint
from tests.model.bmn_checkpoints import LAYERS

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


def our_name(published: str) -> str:
    """Return our name of a published weight or bias."""
    layer, _, kind = published.removeprefix("module.").rpartition(".")
    return f"{next(ours for ours, theirs, _ in LAYERS if theirs == layer)}.{kind}"


def made_up_weights(folder: Path) -> dict[str, Float32]:
    """Return the weights that the recorded outputs were made with, by our names."""
    return read_checkpoint(folder / "bmn_made_up.pth.tar", preset="jjboy2020").weights
