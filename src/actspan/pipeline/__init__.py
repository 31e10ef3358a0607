"""Features to proposals: every stage in memory, batched, on all cores."""

from actspan.pipeline.core import BATCH, Pipeline
from actspan.pipeline.jobs import (
    STAGES,
    Job,
    Outcome,
    ScoredVideo,
    Source,
    Stage,
    StageClock,
)

__all__ = [
    "BATCH",
    "STAGES",
    "Job",
    "Outcome",
    "Pipeline",
    "ScoredVideo",
    "Source",
    "Stage",
    "StageClock",
]
