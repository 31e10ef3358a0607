"""Features to proposals: every stage in memory, batched, on all cores."""

from actspan.pipeline.core import BATCH, Pipeline, open_nets, with_onnx
from actspan.pipeline.jobs import (
    STAGES,
    Job,
    Lost,
    Outcome,
    Piece,
    ScoredVideo,
    Source,
    Stage,
    StageClock,
)
from actspan.pipeline.recordings import Recordings
from actspan.pipeline.steps import (
    final_proposals,
    find_candidates,
    make_outcomes,
    pieces,
    rate_candidates,
    scored_videos,
    settled_edge,
    tem_input,
)

__all__ = [
    "BATCH",
    "STAGES",
    "Job",
    "Lost",
    "Outcome",
    "Piece",
    "Pipeline",
    "Recordings",
    "ScoredVideo",
    "Source",
    "Stage",
    "StageClock",
    "final_proposals",
    "find_candidates",
    "make_outcomes",
    "open_nets",
    "pieces",
    "rate_candidates",
    "scored_videos",
    "settled_edge",
    "tem_input",
    "with_onnx",
]
