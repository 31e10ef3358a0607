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
from actspan.pipeline.bsn_steps import BsnSteps
from actspan.pipeline.label_free_steps import LabelFreeSteps
from actspan.pipeline.steps import Steps
from actspan.proposals.bsp import bsp_features_batch
from actspan.proposals.candidates import generate_proposals_batch
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


def load_kernels() -> None:
    """Call every kernel once to load its compiled form, or to compile it the first time."""
    cells = np.full((2, 1), 0.5, dtype=np.float32)
    fit_to_cells(Features(cells, stride=1.0, length=1.0), 3, "clamp")
    scores = BoundaryScores(*(cells.ravel() for _ in range(3)))
    config = PipelineConfig()
    candidates = generate_proposals_batch([scores], config.pgm, [(False, False)])
    rows = np.empty((len(candidates.together), config.bsp.size), dtype=np.float32)
    bsp_features_batch(rows, [scores], candidates, config.bsp)
    soft_nms_batch(candidates, candidates.together.score, config.soft_nms)
