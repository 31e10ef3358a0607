"""ActSpan: when do actions happen in a long video?

Temporal action proposals, from a video or its features to scored segments. The names in `__all__`
are the stable interface. They are loaded when first used, so that `import actspan` stays fast and
light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from actspan.config.bmn import BmnConfig, MatchingConfig
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
    from actspan.core.errors import ActSpanError, UnitError
    from actspan.core.segments import Proposals, Segment
    from actspan.core.types import BoundaryScores, Features, Video
    from actspan.data.cells import rescale_features
    from actspan.data.dataset import Dataset
    from actspan.evaluation.detection import DetectionResult
    from actspan.evaluation.evaluate import evaluate
    from actspan.evaluation.recall import RecallResult, evaluate_recall
    from actspan.jobs.propose import propose
    from actspan.jobs.run import Run
    from actspan.model.bundle import Bundle
    from actspan.pipeline.core import Pipeline
    from actspan.pipeline.loading import load
    from actspan.proposals.bsp import bsp_features
    from actspan.proposals.candidates import generate_proposals
    from actspan.proposals.matching import match_boundaries
    from actspan.proposals.suppression import soft_nms
    from actspan.streams.arrays import extract_samples
    from actspan.streams.extract import extract
    from actspan.training.train import train

_HOME = {
    "ActSpanError": "actspan.core.errors",
    "BmnConfig": "actspan.config.bmn",
    "BoundaryScores": "actspan.core.types",
    "BspConfig": "actspan.config.stages",
    "Bundle": "actspan.model.bundle",
    "Dataset": "actspan.data.dataset",
    "DetectionResult": "actspan.evaluation.detection",
    "Features": "actspan.core.types",
    "FusionConfig": "actspan.config.stages",
    "MatchingConfig": "actspan.config.bmn",
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
    "UnitError": "actspan.core.errors",
    "Video": "actspan.core.types",
    "bsp_features": "actspan.proposals.bsp",
    "evaluate": "actspan.evaluation.evaluate",
    "evaluate_recall": "actspan.evaluation.recall",
    "extract": "actspan.streams.extract",
    "extract_samples": "actspan.streams.arrays",
    "generate_proposals": "actspan.proposals.candidates",
    "load": "actspan.pipeline.loading",
    "match_boundaries": "actspan.proposals.matching",
    "propose": "actspan.jobs.propose",
    "rescale_features": "actspan.data.cells",
    "soft_nms": "actspan.proposals.suppression",
    "train": "actspan.training.train",
}

__all__ = [
    "ActSpanError",
    "BmnConfig",
    "BoundaryScores",
    "BspConfig",
    "Bundle",
    "Dataset",
    "DetectionResult",
    "Features",
    "FusionConfig",
    "MatchingConfig",
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
    "UnitError",
    "Video",
    "bsp_features",
    "evaluate",
    "evaluate_recall",
    "extract",
    "extract_samples",
    "generate_proposals",
    "load",
    "match_boundaries",
    "propose",
    "rescale_features",
    "soft_nms",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'actspan' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return ["__version__", *__all__]
