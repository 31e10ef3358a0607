"""Candidates and Soft-NMS of BMN against the outputs of the published codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from actspan import Proposals, soft_nms
from actspan.config.bmn_presets import BMN_PIPELINES
from actspan.core.types import Float32
from actspan.proposals.matching import match_boundaries_batch
from actspan.proposals.suppression import soft_nms_plain
from tests.bmn_data import CODES, published_outputs, result_seconds


@pytest.fixture(scope="module")
def bmn(data: Path) -> Path:
    return data / "bmn"


@pytest.fixture(scope="module")
def videos(bmn: Path) -> dict[str, Any]:
    return json.loads((bmn / "videos.json").read_text())


def candidates(folder: Path, video: str, preset: str) -> tuple[Proposals, Float32]:
    """Return the candidates of recorded outputs of the network, and their confidence."""
    config = BMN_PIPELINES[preset]
    assert config.bmn is not None
    outputs = published_outputs(folder, video, CODES[preset][0])
    given = [array[None] for array in outputs]
    edges = [(False, False)]
    ragged, confidence = match_boundaries_batch(
        *given, config.bmn.axes, config.matching, [100], edges
    )
    return ragged.together, confidence


@pytest.mark.parametrize("preset", ["jjboy2020", "mmaction2"])
def test_candidates_equal(preset: str, bmn: Path, videos: dict[str, Any]) -> None:
    with np.load(bmn / "proposals.npz") as archive:
        published = {video: archive[f"{video}/{CODES[preset][0]}/candidates"] for video in videos}
    for video, expected in published.items():
        found, confidence = candidates(bmn, video, preset)
        ours = [found.start, found.end, found.start_score, found.end_score, found.score]
        np.testing.assert_array_equal(np.stack(ours, axis=1), expected[:, [0, 1, 2, 3, 6]])
        classification, regression = expected[:, 4:6].T.astype(np.float32)
        np.testing.assert_array_equal(confidence, regression * classification)


@pytest.mark.parametrize("suppressing", [soft_nms, soft_nms_plain])
@pytest.mark.parametrize("preset", ["jjboy2020", "mmaction2"])
def test_picks_equal_in_order(
    preset: str, suppressing: Any, bmn: Path, videos: dict[str, Any]
) -> None:
    config = replace(BMN_PIPELINES[preset].soft_nms, keep=101)
    with np.load(bmn / "proposals.npz") as archive:
        published = {video: archive[f"{video}/{CODES[preset][0]}/picked"] for video in videos}
    for video, expected in published.items():
        found = suppressing(candidates(bmn, video, preset)[0], config)
        np.testing.assert_array_equal(np.c_[found.start, found.end], expected[:, :2])
        np.testing.assert_allclose(found.score, expected[:, 2], rtol=0, atol=1e-15)


@pytest.mark.parametrize("preset", CODES)
def test_results_are_reproduced(preset: str, bmn: Path, videos: dict[str, Any]) -> None:
    results = json.loads((bmn / CODES[preset][1]).read_text())["results"]
    assert len(results) == len(videos)
    for name, info in videos.items():
        kept = soft_nms(candidates(bmn, name, preset)[0], BMN_PIPELINES[preset].soft_nms)
        expected = results[name.removeprefix("v_")]
        seconds = result_seconds(name, info, preset)
        segments = np.c_[kept.start, kept.end] * seconds
        np.testing.assert_allclose(
            segments, [row["segment"] for row in expected], rtol=0, atol=1e-9
        )
        np.testing.assert_allclose(
            kept.score, [row["score"] for row in expected], rtol=0, atol=1e-12
        )


def test_the_order_of_the_union_decides_at_the_threshold(bmn: Path) -> None:
    config = BMN_PIPELINES["jjboy2020"].soft_nms
    found = candidates(bmn, "v_dense_a", "jjboy2020")[0]
    published, other = soft_nms(found, config), soft_nms(found, replace(config, union="pick-first"))
    assert (published.score != other.score).any()
