"""ActSpan: when do actions happen in a long video?

Boundary-sensitive temporal action proposals (BSN), from trained checkpoint to accelerator to
answer. The names in `__all__` are the stable interface; they are loaded when first used, so that
`import actspan` stays fast and light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from actspan.bundle import Bundle
    from actspan.config import (
        BspConfig,
        PemConfig,
        PgmConfig,
        PipelineConfig,
        RescaleConfig,
        SoftNmsConfig,
        TemConfig,
        TrainConfig,
    )
    from actspan.data.dataset import Dataset
    from actspan.data.rescale import rescale_features
    from actspan.errors import ActSpanError
    from actspan.evaluation.recall import RecallResult, evaluate_recall
    from actspan.pipeline import Pipeline
    from actspan.proposals import bsp_features, generate_proposals, soft_nms
    from actspan.run import Run
    from actspan.types import BoundaryScores, Features, Proposals, Video

_HOME = {
    "ActSpanError": "actspan.errors",
    "BoundaryScores": "actspan.types",
    "BspConfig": "actspan.config",
    "Bundle": "actspan.bundle",
    "Dataset": "actspan.data.dataset",
    "Features": "actspan.types",
    "PemConfig": "actspan.config",
    "PgmConfig": "actspan.config",
    "Pipeline": "actspan.pipeline",
    "PipelineConfig": "actspan.config",
    "Proposals": "actspan.types",
    "RecallResult": "actspan.evaluation.recall",
    "RescaleConfig": "actspan.config",
    "Run": "actspan.run",
    "SoftNmsConfig": "actspan.config",
    "TemConfig": "actspan.config",
    "TrainConfig": "actspan.config",
    "Video": "actspan.types",
    "bsp_features": "actspan.proposals",
    "evaluate_recall": "actspan.evaluation.recall",
    "generate_proposals": "actspan.proposals",
    "rescale_features": "actspan.data.rescale",
    "soft_nms": "actspan.proposals",
}

__all__ = [
    "ActSpanError",
    "BoundaryScores",
    "BspConfig",
    "Bundle",
    "Dataset",
    "Features",
    "PemConfig",
    "PgmConfig",
    "Pipeline",
    "PipelineConfig",
    "Proposals",
    "RecallResult",
    "RescaleConfig",
    "Run",
    "SoftNmsConfig",
    "TemConfig",
    "TrainConfig",
    "Video",
    "bsp_features",
    "evaluate_recall",
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
