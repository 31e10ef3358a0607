"""Every stage against the outputs of the published code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actspan import BoundaryScores, bsp_features, generate_proposals, soft_nms
from actspan.proposals.candidates import match_instances


@pytest.fixture(scope="module", params=["", "dense"], ids=["sparse", "dense"])
def stages(request: pytest.FixtureRequest, golden: Path) -> dict[str, Any]:
    folder = golden / request.param
    with np.load(folder / "stages.npz") as archive:
        arrays = dict(archive)
    return {
        "arrays": arrays,
        "videos": json.loads((folder / "videos.json").read_text()),
        "results": json.loads((folder / "result_proposal.json").read_text())["results"],
    }


def test_candidates_in_the_same_order_and_scores_within_1e_9(stages: dict[str, Any]) -> None:
    for name, info in stages["videos"].items():
        scores = BoundaryScores.from_array(stages["arrays"][f"{name}/tem"])
        found, expected = generate_proposals(scores), stages["arrays"][f"{name}/proposals"]
        assert len(found) == len(expected)
        np.testing.assert_array_equal(np.c_[found.start, found.end], expected[:, :2])
        ours = np.c_[found.start_score, found.end_score, found.score]
        np.testing.assert_allclose(ours, expected[:, 2:5], rtol=0, atol=1e-9)
        span = info["feature_frame"] / info["duration_frame"] * info["duration_second"]
        instances = np.array([a["segment"] for a in info["annotations"]]) / span
        matched = np.stack(match_instances(found, instances), axis=1)
        np.testing.assert_allclose(matched, expected[:, 5:], rtol=0, atol=1e-9)


def test_bsp_features_within_1e_6(stages: dict[str, Any]) -> None:
    for name in stages["videos"]:
        scores = BoundaryScores.from_array(stages["arrays"][f"{name}/tem"])
        expected = stages["arrays"][f"{name}/bsp"]
        features = bsp_features(scores, generate_proposals(scores)[: len(expected)])
        np.testing.assert_allclose(features, expected, rtol=0, atol=1e-6)


def test_final_segments_equal_and_scores_within_1e_6(stages: dict[str, Any]) -> None:
    for name, info in stages["videos"].items():
        scores = BoundaryScores.from_array(stages["arrays"][f"{name}/tem"])
        confidence = stages["arrays"][f"{name}/pem"].astype(np.float64)
        found = generate_proposals(scores)[: len(confidence)]
        fused = confidence * found.start_score * found.end_score
        kept = soft_nms(found.with_score(fused))
        frames = info["duration_frame"]
        seconds = frames // 16 * 16 / frames * info["duration_second"]
        expected = stages["results"][name.removeprefix("v_")]
        segments = np.array([row["segment"] for row in expected])
        np.testing.assert_allclose(np.c_[kept.start, kept.end] * seconds, segments, atol=1e-9)
        np.testing.assert_allclose(kept.score, [row["score"] for row in expected], rtol=1e-6)
