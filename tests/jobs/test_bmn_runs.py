"""Runs of BMN on disk: the scores of candidates, which are not those of their boundaries."""

from __future__ import annotations

import io
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from actspan import PipelineConfig, Proposals, Run, SoftNmsConfig, Video, soft_nms
from actspan.config.base import to_dict
from actspan.data.videos import Videos
from actspan.evaluation.stage_losses import make_evidence, read_run_videos, trace
from actspan.jobs.resuppression import suppress_again
from actspan.jobs.shard_format import decode_shard, write_shard
from actspan.jobs.sinks import run_writer, write_info
from actspan.pipeline.outcomes import Outcome
from tests.bmn_sessions import STRIDE, model, network, outcomes_of, recordings

SIZES = (7, 12, 30, 41)


def outcomes(config: PipelineConfig) -> list[Outcome]:
    return outcomes_of(network(config), config, recordings(*SIZES))


def write_run(folder: Path, config: PipelineConfig, results: list[Outcome]) -> Run:
    folder.mkdir()
    with run_writer(folder) as add:
        for outcome in results:
            add(outcome)
    write_info(folder, {"pipeline": to_dict(config), "bundle": {"path": "bmn"}})
    return Run.load(folder)


@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_suppressing_the_candidates_of_a_run_again_gives_its_proposals(
    mode: str, tmp_path: Path
) -> None:
    config = model("duration-start", mode=mode)
    run = write_run(tmp_path / "run", config, outcomes(config))
    answers = run.proposals()
    found = list(run.candidates())
    boundaries = found[0].proposals.start_score * found[0].proposals.end_score  # type: ignore[operator]
    assert (found[0].proposals.score < boundaries).all()
    for size, (name, parts) in zip(SIZES, groupby(found, key=attrgetter("video")), strict=True):
        again = suppress_again(list(parts), config, size)
        np.testing.assert_array_equal(again.start, answers[name].start)
        np.testing.assert_array_equal(again.end, answers[name].end)
        np.testing.assert_array_equal(again.score, answers[name].score)


@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_shards_return_the_scores_of_candidates(mode: str) -> None:
    written = outcomes(model("start-end", mode=mode))
    stream = io.BytesIO()
    list(write_shard(stream, "plan", 0, "run", written))
    stream.seek(0)
    read: Any = list(decode_shard("plan", 0, stream, ids=["0", "1", "2", "3"], where="shard"))
    for one, other in zip(written, read, strict=True):
        assert other.own_scores
        np.testing.assert_array_equal(one.candidates.score, other.candidates.score)
        np.testing.assert_array_equal(one.confidence, other.confidence)


def evidence_of(folder: Path, config: PipelineConfig, instance: tuple[float, float]) -> Any:
    """Return the evidence of the last recording, in which one action is annotated."""
    run = write_run(folder, config, outcomes(config))
    videos = Videos.of([Video("3", SIZES[-1] * STRIDE, "validation", [instance], ("x",))])
    (item,) = read_run_videos(run, videos)
    return make_evidence(item, config, None), run.proposals()["3"]


@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_evidence_of_a_diagnosis_gives_the_answer_of_the_run(mode: str, tmp_path: Path) -> None:
    config = model("duration-start", mode=mode)
    evidence, answer = evidence_of(tmp_path / "run", config, (2.0, 5.0))
    again = soft_nms(evidence.candidates, config.soft_nms, span=evidence.span)
    np.testing.assert_allclose(again.score, answer.score, rtol=1e-12)
    np.testing.assert_allclose(again.start * evidence.scale, answer.start, atol=1e-9)
    assert len(evidence.cut) == 0


def test_candidates_beyond_the_limit_are_known_to_a_diagnosis(tmp_path: Path) -> None:
    config = model("duration-start")
    limited = replace(config, matching=replace(config.matching, keep=5))
    whole, _ = evidence_of(tmp_path / "whole", config, (2.0, 5.0))
    evidence, _ = evidence_of(tmp_path / "limited", limited, (2.0, 5.0))
    assert len(evidence.candidates) == 5

    def pairs(proposals: Proposals) -> set[tuple[float, float]]:
        return set(zip(proposals.start.tolist(), proposals.end.tolist(), strict=True))

    assert pairs(evidence.uncut) == pairs(whole.candidates)


@pytest.mark.parametrize(
    ("end", "reached"), [("last", True), ("next", False)], ids=["to-the-end", "before-the-end"]
)
def test_an_action_up_to_the_end_needs_candidates_that_end_there(
    end: Any, reached: bool, tmp_path: Path
) -> None:
    # 12 cells in 20.5 s: the last one is an action.
    config = model("start-end")
    config = replace(config, matching=replace(config.matching, end=end))
    span = SIZES[-1] * STRIDE
    evidence, answer = evidence_of(tmp_path / "run", config, (span * 11 / 12, span))
    best = trace(evidence, answer, len(answer), SoftNmsConfig()).best
    assert (best[0, 1] > 0.99) == reached
