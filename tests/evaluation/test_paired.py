"""Recall by video and its interval, against the evaluator; matches, against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actspan import Proposals, Video
from actspan.core.errors import ResultError
from actspan.core.tiou import evaluated_tiou
from actspan.evaluation.matching import count_unshared, match_instances, partners
from actspan.evaluation.paired import compare_recall, estimate_auc, evaluate_each, recall_by_video
from actspan.evaluation.recall import evaluate_recall, evaluate_video


def random_proposals(rng: np.random.Generator, count: int) -> Proposals:
    edges = np.sort(rng.uniform(0, 60, (2, count)), axis=0)
    score = np.sort(rng.random(count).round(2))[::-1]
    return Proposals(edges[0], edges[1], score, unit="seconds")


def random_set(seed: int, count: int) -> tuple[list[Video], dict[str, Proposals]]:
    rng = np.random.default_rng(seed)
    videos = []
    for number in range(count):
        cuts = np.sort(rng.uniform(0, 60, (int(rng.integers(1, 5)), 2)), axis=1)
        videos.append(Video(f"v{number}", 60.0, "", cuts, ("x",) * len(cuts)))
    found = {v.id: random_proposals(rng, int(rng.integers(0, 150))) for v in videos}
    found["v0"] = random_proposals(rng, 20)
    return videos, found


seeds = st.integers(0, 10_000)


@given(seeds, st.integers(1, 12), st.sampled_from([1, 10, 100]))
@settings(max_examples=40, deadline=None)
def test_the_sum_over_videos_is_what_the_evaluator_computes(
    seed: int, count: int, largest: int
) -> None:
    videos, found = random_set(seed, count)
    whole = evaluate_recall(videos, found, subset=None, max_proposals=largest)
    each = recall_by_video(videos, found, max_proposals=largest)
    assert each.figures() == pytest.approx(whole.summary())
    assert each.missed.sum() == round(whole.instances * (1 - whole.recall[0, -1]))


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_each_video_is_evaluated_as_if_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    videos, _ = random_set(seed, 8)
    counts = [0, 100, 3, 100, 3, 100, 250, 1]
    found = {v.id: random_proposals(rng, n) for v, n in zip(videos, counts, strict=True)}
    del found["v0"]
    for options in ({}, {"max_proposals": 20, "tiou": [0.3, 0.7]}):
        each = evaluate_each(videos, found, **options)
        for video in videos:
            auc, missed = evaluate_video(video, found.get(video.id), **options)
            assert each[video.id] == (pytest.approx(auc), missed)


@given(seeds, st.integers(2, 30))
@settings(max_examples=20, deadline=None)
def test_the_interval_is_that_of_the_videos(seed: int, count: int) -> None:
    videos, found = random_set(seed, count)
    _, others = random_set(seed + 1, count)
    a, b = recall_by_video(videos, found), recall_by_video(videos, others)
    forwards, backwards = compare_recall(a, b, resamples=300), compare_recall(b, a, resamples=300)
    assert forwards == compare_recall(a, b, resamples=300)  # seeded
    assert forwards.auc == pytest.approx(b.figures()["AUC"] - a.figures()["AUC"])
    assert forwards.low <= forwards.high
    assert (forwards.low, forwards.high) == pytest.approx((-backwards.high, -backwards.low))
    same = compare_recall(a, a, resamples=50)
    assert (same.auc, same.low, same.high) == (0, 0, 0)
    per_video = b.auc - a.auc
    assert per_video.min() - 1e-9 <= forwards.low
    assert forwards.high <= per_video.max() + 1e-9


def test_the_interval_of_a_run_is_that_of_its_videos() -> None:
    videos, found = random_set(3, 40)
    recall = recall_by_video(videos, found)
    estimate = estimate_auc(recall, resamples=300)
    assert estimate == estimate_auc(recall, resamples=300)  # seeded
    assert estimate.auc == recall.figures()["AUC"]
    assert estimate.low < estimate.auc < estimate.high
    nothing = {video.id: Proposals([59.9], [60.0], [1.0], unit="seconds") for video in videos}
    none = recall_by_video(videos, nothing)
    difference = compare_recall(none, recall, resamples=300)  # from a run that finds nothing
    assert (difference.low, difference.high) == pytest.approx((estimate.low, estimate.high))


def test_an_interval_covers_the_difference_of_all_videos_as_often_as_it_says() -> None:
    videos, found = random_set(5, 400)
    _, others = random_set(6, 400)
    a, b = recall_by_video(videos, found), recall_by_video(videos, others)
    true = b.figures()["AUC"] - a.figures()["AUC"]
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        chosen = rng.integers(0, 400, 60).tolist()
        part = compare_recall(a.select(chosen), b.select(chosen), resamples=300)
        covered += part.low <= true <= part.high
    assert 85 <= covered <= 100


def test_no_proposals_at_all_are_an_error() -> None:
    videos, _ = random_set(1, 3)
    with pytest.raises(ResultError, match="no proposals"):
        recall_by_video(videos, {})


@given(seeds, st.sampled_from([0.3, 0.5, 0.75]))
@settings(max_examples=40, deadline=None)
def test_matches_are_their_definition(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    segments = np.sort(rng.uniform(0, 60, (int(rng.integers(0, 5)), 2)), axis=1)
    proposals = random_proposals(rng, int(rng.integers(0, 40)))
    matches = match_instances(segments, proposals, threshold)
    assert len(matches.instance) == len(proposals)
    for i, (start, end) in enumerate(segments):
        overlap = evaluated_tiou(
            np.full(len(proposals), start),
            np.full(len(proposals), end),
            proposals.start,
            proposals.end,
        ).tolist()
        found = [rank for rank, value in enumerate(overlap) if value >= threshold]
        assert matches.rank[i] == (found[0] if found else -1)
        assert matches.tiou[i] == max(overlap, default=0.0)
        if matches.best[i] >= 0:
            assert overlap[matches.best[i]] == max(overlap)
        for rank, value in enumerate(overlap):
            assert matches.instance[rank] != i or value >= threshold


@given(seeds, st.sampled_from([0.3, 0.6, 1.0]), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_partners_are_close_and_counted_alike(seed: int, threshold: float, top: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"v{number}" for number in range(6)]
    a, b = ({n: random_proposals(rng, int(rng.integers(0, 30))) for n in names} for _ in range(2))
    del b["v3"]
    expected = []
    for name in names:
        first, second = a[name][:top], b.get(name, Proposals.empty("seconds"))[:top]
        of_first, of_second = partners(first, second, threshold), partners(second, first, threshold)
        expected.append((of_first < 0).sum() + (of_second < 0).sum())
        for index, partner in enumerate(of_first.tolist()):
            one, other = first[index : index + 1], second
            overlap = [
                evaluated_tiou(one.start, one.end, other.start[i : i + 1], other.end[i : i + 1])[0]
                for i in range(len(other))
            ]
            assert (partner >= 0) == (max(overlap, default=0.0) >= threshold)
            assert partner < 0 or overlap[partner] == max(overlap)
    assert count_unshared(a, b, names, threshold, top).tolist() == expected
    assert (partners(a["v0"], a["v0"], 1.0) >= 0).all()
