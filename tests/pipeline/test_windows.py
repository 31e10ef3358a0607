"""Window mode through the pipeline and on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actspan import Bundle, Features, Pipeline, Run
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.pipeline.outcomes import Outcome, Recordings, VideoInput
from tests.examples import CHANNELS, STRIDE, write_bundle, write_dataset

LENGTH = 20


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("models") / "windows", mode="window")


@pytest.fixture(scope="module")
def rescaling(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("models") / "rescale")


def recording(snippets: int, seed: int = 0) -> Features:
    values = np.random.default_rng(seed).normal(size=(snippets, CHANNELS))
    return Features(values, stride=STRIDE, length=STRIDE)


def outcomes_of(bundle: Bundle, *features: Features, batch: int = 16) -> list[Outcome]:
    jobs = [VideoInput(str(i), lambda f=f: f) for i, f in enumerate(features)]  # type: ignore[misc]
    with Pipeline.load(bundle) as pipeline:
        return list(pipeline.run(jobs, batch=batch))


def test_both_modes_agree_where_a_video_is_one_window(bundle: Bundle, rescaling: Bundle) -> None:
    (one,) = outcomes_of(bundle, recording(LENGTH))
    (other,) = outcomes_of(rescaling, recording(LENGTH))
    np.testing.assert_array_equal(np.asarray(one.scores), np.asarray(other.scores))
    assert one.proposals is not None
    assert other.proposals is not None
    np.testing.assert_allclose(one.proposals.start[:100], other.proposals.start, atol=1e-9)
    np.testing.assert_allclose(one.proposals.score[:100], other.proposals.score, rtol=1e-9)


def test_a_short_recording_is_padded_without_proposals_in_the_padding(bundle: Bundle) -> None:
    (outcome,) = outcomes_of(bundle, recording(7))
    assert len(outcome.scores) == 7
    assert outcome.proposals is not None
    assert outcome.proposals.end.max() <= 7 * STRIDE


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_windows_of_several_recordings_come_in_order(bundle: Bundle, batch: int) -> None:
    sizes = [55, 7, 20, 41]
    outcomes = outcomes_of(bundle, *map(recording, sizes), batch=batch)
    finals = [o for o in outcomes if o.proposals is not None]
    assert [o.id for o in finals] == ["0", "1", "2", "3"]
    for size, outcome in zip(sizes, finals, strict=True):
        assert outcome.proposals is not None
        assert outcome.proposals.end.max() <= size * STRIDE + 1e-9
    for outcome in outcomes:
        assert outcome.window is not None
        assert outcome.offset == pytest.approx(outcome.window.first * STRIDE)
        inner = outcome.window.inner_edges()
        assert not (inner[0] and (outcome.candidates.start < 1 / LENGTH).any())


def test_a_bounded_pool_does_not_change_the_proposals(bundle: Bundle) -> None:
    outcomes = outcomes_of(bundle, recording(400))
    answers = []
    for pool in (10**6, 1500):
        collected = Recordings(bundle.config, pool=pool)
        final = [collected.add(replace(o, proposals=None)) for o in outcomes][-1]
        answers.append(final.proposals)
    whole, bounded = answers
    assert whole is not None
    assert bounded is not None
    np.testing.assert_array_equal(whole.start[:100], bounded.start[:100])
    np.testing.assert_array_equal(whole.score[:100], bounded.score[:100])


def test_a_run_has_candidates_per_window_and_scores_per_recording(
    bundle: Bundle, tmp_path: Path
) -> None:
    folder = write_dataset(tmp_path / "set", videos=3)
    out = tmp_path / "run"
    summary = propose(ProposeRequest(model=bundle.path, dataset=folder, out=out))
    assert summary.videos == 3
    run = Run.load(out)
    rows = list(run.candidates())
    assert len(rows) > 3
    assert sorted({row.video for row in rows}) == ["video0", "video1", "video2"]
    with run.scores() as scores:
        for name, proposals in run.proposals().items():
            snippets = len(np.load(folder / "features" / f"{name}.npy"))
            assert len(scores.read(name)) == snippets
            assert proposals.end.max() <= snippets * STRIDE
    again = tmp_path / "again.json"
    request = ProposeRequest(model=bundle.path, dataset=folder, out=again, scores=out)
    assert propose(request).videos == 3
