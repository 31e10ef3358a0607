"""Pipeline settings of the published codes of BMN (bmn.md, table of presets)."""

from __future__ import annotations

from actspan.config.bmn import BmnConfig, BmnPreset, MatchingConfig
from actspan.config.stages import PipelineConfig, SoftNmsConfig

# JJBOY and PaddleVideo compute the same form of tIoU, and leave the last candidate.
_SUPPRESSION = SoftNmsConfig(
    threshold_short=0.5, threshold_long=0.9, decay=0.4, union="neighbour-first", leave_last=True
)

BMN_PIPELINES: dict[BmnPreset, PipelineConfig] = {
    # JJBOY/BMN-Boundary-Matching-Network of June 2020
    "jjboy2020": PipelineConfig(
        bmn=BmnConfig(axes="start-end"),
        matching=MatchingConfig(select="all", end="next"),
        soft_nms=_SUPPRESSION,
    ),
    # The same repository in October 2019
    "jjboy2019": PipelineConfig(
        bmn=BmnConfig(axes="duration-start"),
        matching=MatchingConfig(select="inner-peaks", end="next"),
        soft_nms=_SUPPRESSION,
    ),
    # OpenMMLab's mmaction2 1.x
    "mmaction2": PipelineConfig(
        bmn=BmnConfig(axes="duration-start"),
        matching=MatchingConfig(select="inner-peaks", end="next"),
        soft_nms=SoftNmsConfig(threshold_short=0.5, threshold_long=0.9, decay=0.4),
    ),
    # PaddleVideo, by the authors of the paper
    "paddle": PipelineConfig(
        bmn=BmnConfig(axes="duration-start", sampled=128),
        matching=MatchingConfig(select="peaks", end="last", product="map-first"),
        soft_nms=SoftNmsConfig(
            threshold_short=0.55,
            threshold_long=0.9,
            decay=0.4,
            union="neighbour-first",
            leave_last=True,
        ),
    ),
}
