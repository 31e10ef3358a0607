"""Label-free proposals of a stage, for a model that combines its own with them.

They come from the features, so they are written beside the inputs of the network that sees these;
the last step reads them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from actspan.core.problems import Problem
from actspan.core.segments import Proposals
from actspan.core.types import Features, Float32, Float64
from actspan.data.cells import Window
from actspan.deploy.staged.stage import Item, Stage
from actspan.deploy.staged.step_files import write_array
from actspan.model.nets import video_net
from actspan.pipeline.label_free_steps import find_beside
from actspan.proposals.agreement import combine

LABEL_FREE = "label-free"  # beside `input/`: start, end and score of M proposals, (3, M) float64


def write_label_free(path: Path, features: Features, window: Window | None) -> None:
    """Find the label-free proposals of a video or window, and write them."""
    found = find_beside(features, window)
    write_array(path, np.stack([found.start, found.end, found.score]))


def label_free_problem(stage: Stage, item: Item) -> Problem | None:
    """Return the problem of the file of an input; None if it can be used."""
    path = _file(stage, item)
    try:
        _read(path)
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    except ValueError as error:
        what = f"damaged: {error}"
    else:
        return None
    remedy = f"start again: actspan staged {video_net(stage.config)}-inputs"
    return Problem(item.video, str(path), what, remedy)


def add_label_free(
    stage: Stage, item: Item, candidates: Proposals, confidence: Float32
) -> tuple[Proposals, Float32]:
    """Combine the candidates of an input with the label-free proposals; see `combine`."""
    found = Proposals(*_read(_file(stage, item)), unit="fraction")
    return combine(candidates, confidence, found, stage.config.fusion)


def _file(stage: Stage, item: Item) -> Path:
    return stage.path / video_net(stage.config) / LABEL_FREE / f"{item.name}.bin"


def _read(path: Path) -> Float64:
    """Read start, end and score, (3, M); raise ValueError for what cannot be proposals."""
    values = np.fromfile(path)
    if len(values) % 3 or path.stat().st_size % (3 * values.itemsize):
        raise ValueError(f"{path.stat().st_size} bytes, a multiple of {3 * values.itemsize} needed")
    start, end, score = values.reshape(3, -1)
    if not ((start >= 0) & (start <= end) & (end <= 1) & (score >= 0) & (score <= 1)).all():
        raise ValueError("values that are not start, end and score in [0, 1]")
    return values.reshape(3, -1)
