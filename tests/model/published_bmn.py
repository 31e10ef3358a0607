"""Settings of the recorded outputs of BMN's published codes, by the names of the recordings."""

from __future__ import annotations

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
