"""ActSpan: when do actions happen in a long video?

Boundary-sensitive temporal action proposals (BSN), from trained checkpoint to accelerator to
scored segments. The names in `__all__` are the stable interface. They are loaded when first used,
so that `import actspan` stays fast and light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from actspan.config.stages import (
        BspConfig,
        FusionConfig,
        PemConfig,
        PgmConfig,
        PipelineConfig,
        RescaleConfig,
        SoftNmsConfig,
        TemConfig,
    )
    from actspan.config.training import TrainConfig
    from actspan.core.errors import ActSpanError
    from actspan.core.segments import Proposals
    from actspan.core.types import BoundaryScores, Features, Video
    from actspan.data.cells import rescale_features
    from actspan.data.dataset import Dataset
    from actspan.evaluation.recall import RecallResult, evaluate_recall
    from actspan.jobs.run import Run
    from actspan.model.bundle import Bundle
    from actspan.pipeline.core import Pipeline
    from actspan.proposals.bsp import bsp_features
    from actspan.proposals.candidates import generate_proposals
    from actspan.proposals.suppression import soft_nms
    from actspan.streams.arrays import extract_samples

_HOME = {
    "ActSpanError": "actspan.core.errors",
    "BoundaryScores": "actspan.core.types",
    "BspConfig": "actspan.config.stages",
    "Bundle": "actspan.model.bundle",
    "Dataset": "actspan.data.dataset",
    "Features": "actspan.core.types",
    "FusionConfig": "actspan.config.stages",
    "PemConfig": "actspan.config.stages",
    "PgmConfig": "actspan.config.stages",
    "Pipeline": "actspan.pipeline.core",
    "PipelineConfig": "actspan.config.stages",
    "Proposals": "actspan.core.segments",
    "RecallResult": "actspan.evaluation.recall",
    "RescaleConfig": "actspan.config.stages",
    "Run": "actspan.jobs.run",
    "Segment": "actspan.core.segments",
    "SoftNmsConfig": "actspan.config.stages",
    "TemConfig": "actspan.config.stages",
    "TrainConfig": "actspan.config.training",
    "Video": "actspan.core.types",
    "bsp_features": "actspan.proposals.bsp",
    "evaluate_recall": "actspan.evaluation.recall",
    "extract_samples": "actspan.streams.arrays",
    "generate_proposals": "actspan.proposals.candidates",
    "rescale_features": "actspan.data.cells",
    "soft_nms": "actspan.proposals.suppression",
}

__all__ = [
    "ActSpanError",
    "BoundaryScores",
    "BspConfig",
    "Bundle",
    "Dataset",
    "Features",
    "FusionConfig",
    "PemConfig",
    "PgmConfig",
    "Pipeline",
    "PipelineConfig",
    "Proposals",
    "RecallResult",
    "RescaleConfig",
    "Run",
    "Segment",
    "SoftNmsConfig",
    "TemConfig",
    "TrainConfig",
    "Video",
    "bsp_features",
    "evaluate_recall",
    "extract_samples",
    "generate_proposals",
    "rescale_features",
    "soft_nms",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'actspan' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
