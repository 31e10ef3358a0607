from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actspan import Dataset, Pipeline
from actspan.core.errors import ShapeError
from actspan.jobs.ray_engine import ProposeStage

# Ray issues warnings itself
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def rows(folder: Path, count: int = 6) -> list[dict[str, Any]]:
    dataset = Dataset.load(folder / "set")
    read = {video.id: dataset.read(video.id) for video in dataset.videos[:count]}
    return [{"video": v, "features": f.values, "stride": f.stride} for v, f in read.items()]


def columns(batch: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in batch], object) for name in batch[0]}


def test_the_stage_gives_the_proposals_of_the_pipeline(folder: Path) -> None:
    found = ProposeStage(folder / "bundle")(columns(rows(folder)))
    dataset = Dataset.load(folder / "set")
    with Pipeline.load(folder / "bundle") as pipeline:
        for video in dataset.videos[:6]:
            expected, mine = pipeline.propose(dataset.read(video.id)), found["video"] == video.id
            for name in ("start", "end", "score"):
                np.testing.assert_array_equal(found[name][mine], getattr(expected, name))


def test_missing_columns_are_named(folder: Path) -> None:
    stage = ProposeStage(folder / "bundle")
    with pytest.raises(ShapeError, match="no column stride"):
        stage({"video": ["a"], "features": [np.ones((5, 6))]})


def test_an_empty_batch_gives_empty_columns_of_the_same_types(folder: Path) -> None:
    found = ProposeStage(folder / "bundle")({name: [] for name in ("video", "features", "stride")})
    assert {name: column.dtype.kind for name, column in found.items()} == {
        "video": "U",
        "start": "f",
        "end": "f",
        "score": "f",
    }
