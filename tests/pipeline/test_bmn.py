"""Confidence maps through the pipeline: recorded outputs of published code, batches, windows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from actspan import Features, Pipeline, Proposals
from actspan.config.bmn_presets import BMN_PIPELINES
from actspan.config.stages import FusionConfig
from actspan.data.cells import pad_window, plan_windows
from actspan.proposals.matching import match_boundaries_plain
from actspan.proposals.suppression import soft_nms_plain
from tests.bmn_data import CODES, published_outputs, result_seconds
from tests.bmn_sessions import (
    LENGTH,
    STRIDE,
    Recorded,
    model,
    network,
    outcomes_of,
    recordings,
)
from tests.examples import add_classifier, write_bundle


@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("preset", CODES)
def test_results_of_the_published_code(preset: str, batch: int, data: Path) -> None:
    code, result = CODES[preset]
    folder = data / "bmn"
    videos = json.loads((folder / "videos.json").read_text())
    expected = json.loads((folder / result).read_text())["results"]
    session = Recorded([published_outputs(folder, name, code) for name in videos])
    features = []
    for number, (name, info) in enumerate(videos.items()):
        seconds = result_seconds(name, info, preset)
        stride = info["duration_second"] / 100
        features.append(Features(np.full((100, 1), number), stride, stride, seconds))
    config = BMN_PIPELINES[preset]
    assert config.bmn is not None
    config = replace(config, bmn=replace(config.bmn, channels=1))
    outcomes = outcomes_of(session, config, features, batch=batch, threads=2)
    assert len(outcomes) == len(videos)
    for name, outcome in zip(videos, outcomes, strict=True):
        assert outcome.proposals is not None
        rows = expected[name.removeprefix("v_")]
        segments = np.c_[outcome.proposals.start, outcome.proposals.end]
        np.testing.assert_allclose(segments, [row["segment"] for row in rows], rtol=0, atol=1e-9)
        scores = [row["score"] for row in rows]
        np.testing.assert_allclose(outcome.proposals.score, scores, rtol=0, atol=1e-12)


MODELS = [
    pytest.param("start-end", None, id="start-end"),
    pytest.param("duration-start", None, id="duration-start"),
    pytest.param("duration-start", 5, id="short-durations"),
]


@pytest.mark.parametrize(("axes", "durations"), MODELS)
def test_results_depend_on_neither_batch_nor_threads(axes: str, durations: int | None) -> None:
    config, videos = model(axes, durations=durations), recordings(*range(3, 40))
    session = network(config)
    alone = outcomes_of(session, config, videos, batch=1, threads=1)
    together = outcomes_of(session, config, videos, batch=7, threads=3)
    for one, other in zip(alone, together, strict=True):
        assert_equal(one.proposals, other.proposals)
        np.testing.assert_array_equal(np.asarray(one.scores), np.asarray(other.scores))


def assert_equal(one: Proposals | None, other: Proposals | None) -> None:
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.start, other.start)
    np.testing.assert_array_equal(one.end, other.end)
    np.testing.assert_array_equal(one.score, other.score)


@pytest.mark.parametrize(("axes", "durations"), MODELS)
def test_a_recording_in_windows(axes: str, durations: int | None) -> None:
    # The same in plain NumPy: candidates of each window in seconds, and one Soft-NMS over all.
    config = model(axes, durations=durations, mode="window")
    session = network(config)
    assert config.bmn is not None
    for recording in recordings(7, 12, 13, 40):
        outcomes = outcomes_of(session, config, [recording], batch=2)
        parts = []
        for window in plan_windows(len(recording), LENGTH):
            video = pad_window(recording.values[window.first : window.last], LENGTH).T[None]
            output = {name: array[0] for name, array in session.run({"video": video}).items()}
            n = len(window)
            rows = slice(n if axes == "start-end" else None)
            grid = output["confidence_map"][:, rows, :n]
            found, _ = match_boundaries_plain(
                grid,
                output["start"][:n],
                output["end"][:n],
                config.bmn.axes,
                config.matching,
                window.inner_edges(),
            )
            offset, seconds = window.first * STRIDE, n * STRIDE
            start, end = offset + found.start * seconds, offset + found.end * seconds
            parts.append(Proposals(start, end, found.score, unit="seconds"))
        span = LENGTH * STRIDE
        expected = soft_nms_plain(Proposals.concat(parts), config.soft_nms, span=span)
        final = outcomes[-1].proposals
        assert final is not None
        np.testing.assert_allclose(final.start, expected.start, rtol=0, atol=1e-9)
        np.testing.assert_allclose(final.end, expected.end, rtol=0, atol=1e-9)
        np.testing.assert_allclose(final.score, expected.score, rtol=1e-9)
        assert final.end.max() <= len(recording) * STRIDE + 1e-9


def test_recordings_in_windows_are_as_each_alone() -> None:
    config = model("duration-start", mode="window")
    session, videos = network(config), recordings(55, 7, 12, 41)
    together = [o for o in outcomes_of(session, config, videos, batch=3) if o.proposals is not None]
    assert [outcome.id for outcome in together] == ["0", "1", "2", "3"]
    for video, outcome in zip(videos, together, strict=True):
        assert_equal(outcomes_of(session, config, [video])[-1].proposals, outcome.proposals)


def test_fusion_changes_the_score_of_candidates() -> None:
    config, videos = model("duration-start"), recordings(30)
    session = network(config)
    (usual,) = outcomes_of(session, config, videos)
    alone = replace(config, fusion=FusionConfig(start=0, end=0))
    (by_confidence,) = outcomes_of(session, alone, videos)
    for outcome, exponent in ((usual, 1), (by_confidence, 0)):
        assert outcome.candidates.start_score is not None
        assert outcome.candidates.end_score is not None
        boundaries = (outcome.candidates.start_score * outcome.candidates.end_score) ** exponent
        assert outcome.proposals is not None
        best = (boundaries * outcome.confidence).max()
        assert outcome.proposals.score[0] == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_detections_are_the_labelled_proposals(mode: Any, tmp_path: Path) -> None:
    config, videos = model("start-end", mode=mode), recordings(7, 30, 41)
    labels = ("jump", "long run")
    bundle = add_classifier(write_bundle(tmp_path / "bundle", channels=3, mode=mode), labels)
    with Pipeline({"bmn": network(config)}, config, bundle=bundle) as pipeline:
        plain = list(pipeline.propose(videos))
        labelled = list(pipeline.propose(videos, detections=True))
    for proposals, found in zip(plain, labelled, strict=True):
        assert found.label is not None
        assert set(found.label.tolist()) <= set(labels)
        in_time = proposals[np.lexsort((proposals.end, proposals.start))]
        other = found[np.lexsort((found.end, found.start))]
        np.testing.assert_array_equal(in_time.start, other.start)
        np.testing.assert_array_equal(in_time.end, other.end)
