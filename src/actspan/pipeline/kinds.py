"""The stages of each kind of model, and their kernels."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from actspan.config.stages import Edge, PipelineConfig
from actspan.core.types import BoundaryScores, Features
from actspan.data.cells import fit_to_cells
from actspan.model.nets import Net
from actspan.pipeline.bmn_steps import BmnSteps
from actspan.pipeline.bsn_steps import BsnSteps, find_candidates
from actspan.pipeline.label_free_steps import LabelFreeSteps
from actspan.pipeline.outcomes import ScoredVideo
from actspan.pipeline.steps import Steps
from actspan.proposals.confidence_map import boundary_scores
from actspan.proposals.matching import match_boundaries_batch
from actspan.proposals.suppression import soft_nms_batch
from actspan.runtime.session import Session


def steps_of(
    config: PipelineConfig,
    sessions: Mapping[Net, Session],
    edge: Edge,
    memory: threading.local | None = None,
) -> Steps:
    """Return the stages of the kind of model that the settings describe; see `Steps`."""
    if config.label_free is not None:
        return LabelFreeSteps(config, sessions, edge, memory)
    kind = BsnSteps if config.bmn is None else BmnSteps
    return kind(config, sessions, edge, memory)


def load_kernels(config: PipelineConfig) -> None:
    """Call every kernel of a model once to load its compiled form, or to compile it."""
    cells = np.full((2, 1), 0.5, dtype=np.float32)
    fit_to_cells(Features(cells, stride=1.0, length=1.0), 3, "clamp")
    flat = cells.ravel()
    if config.bmn is None:
        learnt = np.full((2 + config.curves, 2), 0.5, dtype=np.float32)
        video = ScoredVideo(BoundaryScores(flat, flat, flat), 1.0, learnt)
        candidates, _ = find_candidates([video], [None], config)
    else:
        grid = np.full((2, 2, 2), 0.5, dtype=np.float32)
        boundary_scores(grid, flat, flat, config.bmn.axes)
        candidates, _ = match_boundaries_batch(
            grid[None],
            flat[None],
            flat[None],
            config.bmn.axes,
            config.matching,
            [2],
            [(False, False)],
        )
    soft_nms_batch(candidates, candidates.together.score, config.soft_nms)
