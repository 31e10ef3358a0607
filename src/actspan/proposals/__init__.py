"""From boundary scores to ranked segments: candidates, BSP features, Soft-NMS.

Each stage is a function over one video, with a plain NumPy twin (`*_plain`) that follows
the spec literally. The fast version is a numba kernel over many videos that releases the GIL;
the pipeline calls it once per chunk (`generate_all`, `sample_all`, `suppress`).
"""

from __future__ import annotations

from actspan.proposals.bsp import bsp_features, bsp_features_plain
from actspan.proposals.candidates import (
    fuse,
    generate_proposals,
    generate_proposals_plain,
    match_instances,
)
from actspan.proposals.suppression import soft_nms, soft_nms_plain

__all__ = [
    "bsp_features",
    "bsp_features_plain",
    "fuse",
    "generate_proposals",
    "generate_proposals_plain",
    "match_instances",
    "soft_nms",
    "soft_nms_plain",
]
