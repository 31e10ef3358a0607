from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from actspan import BoundaryScores, Bundle, Features, Pipeline
from actspan.core.errors import BundleError, ShapeError
from actspan.pipeline.outcomes import Outcome, ScoredVideo, StageClock, VideoInput
from tests.examples import CHANNELS, write_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("models") / "bundle")


@pytest.fixture(scope="module")
def pipeline(bundle: Bundle) -> Iterator[Pipeline]:
    with Pipeline.load(bundle) as pipeline:
        yield pipeline


def videos(count: int) -> list[Features]:
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 60, count)
    return [Features(rng.normal(size=(n, CHANNELS)), stride=0.5, length=1.0) for n in sizes]


def test_one_video_gives_proposals_in_its_seconds(pipeline: Pipeline) -> None:
    (video,) = videos(1)
    proposals = pipeline.propose(video)
    assert 1 <= len(proposals) <= 100
    assert (proposals.start >= 0).all()
    assert (proposals.end <= video.seconds).all()
    assert (np.diff(proposals.score) <= 0).all()


@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize("threads", [1, 3])
def test_results_depend_on_neither_batch_nor_threads(
    bundle: Bundle, pipeline: Pipeline, batch: int, threads: int
) -> None:
    many = videos(20)
    expected = list(pipeline.propose(many))
    jobs = [VideoInput(str(i), lambda f=f: f) for i, f in enumerate(many)]  # type: ignore[misc]
    with Pipeline.load(bundle, threads=threads) as other:
        outcomes = list(other.run(jobs, batch=batch))
    assert [o.id for o in outcomes] == [str(i) for i in range(20)]
    for outcome, want in zip(outcomes, expected, strict=True):
        np.testing.assert_array_equal(outcome.proposals.start, want.start)
        np.testing.assert_allclose(outcome.proposals.score, want.score, rtol=1e-6)


def test_videos_are_not_kept_in_memory(pipeline: Pipeline) -> None:
    taken = 0

    def endless() -> Iterator[VideoInput]:
        nonlocal taken
        while True:
            taken += 1
            yield VideoInput("", lambda: videos(1)[0])

    outcomes = pipeline.run(endless(), batch=2)
    for _ in range(4):
        next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert taken <= 2 * (2 * pipeline.threads + 4)


def outcome_of(pipeline: Pipeline, item: Features | ScoredVideo) -> Outcome:
    return next(pipeline.run([VideoInput("x", lambda: item)]))


def test_given_boundary_scores_give_the_same_proposals(pipeline: Pipeline) -> None:
    whole = outcome_of(pipeline, videos(1)[0])
    again = outcome_of(pipeline, ScoredVideo(whole.scores, whole.seconds))
    np.testing.assert_array_equal(again.proposals.score, whole.proposals.score)
    np.testing.assert_array_equal(again.proposals.end, whole.proposals.end)


def test_without_pem_candidates_rank_by_start_times_end(bundle: Bundle) -> None:
    scores = BoundaryScores(*np.random.default_rng(0).random((3, 20), dtype=np.float32))
    with Pipeline.load(bundle, without=["pem"]) as pipeline:
        best = outcome_of(pipeline, ScoredVideo(scores, 10.0))
    assert best.proposals.score[0] == best.candidates.score[0]


@pytest.mark.parametrize(
    ("values", "warned"),
    [
        pytest.param((0.0, 0.0, 0.0), True, id="all flat"),
        pytest.param((0.049, 0.0, 0.3), True, id="most flat"),
        pytest.param((0.0, 0.051), False, id="half flat"),
        pytest.param((0.3, 0.3), False, id="none flat"),
        pytest.param((), False, id="nothing scored"),
    ],
)
def test_flat_scores_are_counted(values: tuple[float, ...], warned: bool) -> None:
    output = np.full((len(values), 3, 20), 0.5, np.float32)
    output[:, 0, 9] = 1.0  # action does not matter
    output[:, :, [0, 1, -2, -1]] = 0.9  # what TEM's padding makes of the outer cells neither
    output[:, 2, 10] += np.array(values, np.float32)
    clock, all_workers = StageClock(), StageClock()
    clock.count_flat(output[:, 1:])
    all_workers.add(clock.drain())
    assert clock == StageClock()
    warnings = all_workers.warnings("window")
    assert bool(warnings) == warned
    if warned:
        flat = sum(value < 0.05 for value in values)
        assert f"flat in {flat} of {len(values)} windows" in warnings[0]


def test_constant_features_give_flat_scores(pipeline: Pipeline) -> None:
    nothing = Features(np.zeros((40, CHANNELS)), 1.0, 1.0)
    before = pipeline.clock.flat
    pipeline.propose(nothing)
    assert pipeline.clock.flat == before + 1


def test_output_span_of_the_authors_layout(pipeline: Pipeline) -> None:
    video = videos(1)[0]
    other = Features(video.values, video.stride, video.length, output_span=video.span / 2)
    np.testing.assert_allclose(
        pipeline.propose(other).end, pipeline.propose(video).end / 2, rtol=1e-12
    )


def test_one_cell_videos_give_no_proposals_and_do_not_crash(pipeline: Pipeline) -> None:
    scores = BoundaryScores([0.5], [0.5], [0.5])
    assert len(outcome_of(pipeline, ScoredVideo(scores, 1.0)).proposals) == 0


def test_wrong_channels_are_refused(pipeline: Pipeline) -> None:
    with pytest.raises(ShapeError, match="4 channels, the model expects 6"):
        pipeline.propose(Features(np.ones((10, 4)), 0.5, 0.5))


def test_a_bundle_without_tem_takes_scores_only(tmp_path: Path) -> None:
    with Pipeline.load(write_bundle(tmp_path / "pem", tem=False)) as pipeline:
        with pytest.raises(BundleError, match="no TEM"):
            pipeline.propose(videos(1)[0])
        scores = BoundaryScores(*np.ones((3, 9), dtype=np.float32))
        assert len(outcome_of(pipeline, ScoredVideo(scores, 5.0)).proposals) == 36


def test_times_of_the_stages_add_up(pipeline: Pipeline) -> None:
    list(pipeline.propose(videos(5)))
    assert sum(pipeline.clock.shares().values()) == pytest.approx(1.0)


def test_label_free_proposals_beside_the_networks(tmp_path: Path, bundle: Bundle) -> None:
    # They change confidence and add candidates; boundary scores alone are refused.
    (video,) = videos(1)
    beside = write_bundle(tmp_path / "bundle", label_free=1.0)
    with Pipeline.load(bundle) as one, Pipeline.load(beside) as other:
        alone, with_them = outcome_of(one, video), outcome_of(other, video)
        count = len(alone.candidates)
        assert (with_them.confidence[:count] <= alone.confidence).all()
        assert len(with_them.candidates) > count
        with pytest.raises(ShapeError, match=r"--set fusion\.label_free=0"):
            outcome_of(other, ScoredVideo(alone.scores, video.seconds))
