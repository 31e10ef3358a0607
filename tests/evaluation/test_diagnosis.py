"""Diagnosis of missed instances: the stages add up, and each miss is counted at its stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from actspan import Bundle, Dataset, Proposals, Run, Video, evaluate_recall, soft_nms
from actspan.config.stages import PipelineConfig, SoftNmsConfig
from actspan.core.errors import ResultError
from actspan.evaluation.diagnosis import Diagnosis, bins_of, diagnose
from actspan.evaluation.stage_losses import (
    IDEAL,
    STAGES,
    Evidence,
    Grid,
    make_evidence,
    read_run_videos,
    stage_of_loss,
    trace,
)
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from tests.examples import write_bundle, write_dataset

FOUND = len(STAGES)


def made_run(
    folder: Path, mode: str = "rescale", keep: int = 1000, curves: int = 0
) -> tuple[Path, Path]:
    """Return a run on synthetic videos, and its dataset."""
    write_bundle(folder / "bundle", mode=mode, curves=curves)  # type: ignore[arg-type]
    manifest = folder / "bundle" / "model.toml"
    text = manifest.read_text()
    assert "keep = 1000" in text
    manifest.write_text(text.replace("keep = 1000", f"keep = {keep}"))
    write_dataset(folder / "set", videos=6, subsets=("validation",))
    propose(ProposeRequest(model=folder / "bundle", dataset=folder / "set", out=folder / "run"))
    return folder / "run", folder / "set"


@pytest.mark.parametrize("curves", [0, 2])
@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_the_account_adds_up_to_recall(tmp_path: Path, mode: str, curves: int) -> None:
    run, dataset = made_run(tmp_path, mode, curves=curves)
    for budget in (100, 7):
        found = diagnose(run, dataset, max_proposals=budget)
        recall = evaluate_recall(dataset, run, max_proposals=budget)
        np.testing.assert_array_equal(found.recall.recall, recall.recall)
        losses = found.losses()
        np.testing.assert_allclose(losses.sum(axis=1), 1)
        np.testing.assert_allclose(losses[:, FOUND], recall.recall[:, -1])
        assert (np.diff(found.best, axis=1) <= 0).all()
        for bins in found.bins.values():
            assert sum(b.instances for b in bins) == recall.instances
            known = [b for b in bins if b.instances]
            average = sum(b.instances * b.average_recall for b in known) / recall.instances
            assert average == pytest.approx(recall.average_recall[-1])


@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_evidence_gives_the_answer_of_the_run(tmp_path: Path, mode: str) -> None:
    run_path, dataset = made_run(tmp_path, mode)
    run = Run.load(run_path)
    answers = run.proposals()
    config = Bundle.load(tmp_path / "bundle").config
    for item in read_run_videos(run, Dataset.load(dataset).videos):
        evidence = make_evidence(item, config, None)
        again = soft_nms(evidence.candidates, config.soft_nms, span=evidence.span)
        answer = answers[item.video.id]
        np.testing.assert_allclose(again.score, answer.score, rtol=1e-12)
        np.testing.assert_allclose(again.start * evidence.scale, answer.start, atol=1e-9)


def test_what_the_top_k_cut_costs_needs_the_bundle(tmp_path: Path) -> None:
    run, dataset = made_run(tmp_path, keep=4)
    found = diagnose(run, dataset)
    cut = STAGES.index("top-k")
    assert (found.lost == cut).any()
    assert found.gains()["top-k"]["AR@100"] > 0
    assert found.notes == ()
    write_bundle(tmp_path / "other", hidden=4)
    other = diagnose(run, dataset, model=Bundle.load(tmp_path / "other"))
    assert "top-k" not in other.gains()
    assert "is not the bundle of this run" in other.notes[0]
    (tmp_path / "bundle").rename(tmp_path / "moved")
    assert "no gain for top-k" in diagnose(run, dataset).notes[0]
    moved = diagnose(run, dataset, model=Bundle.load(tmp_path / "moved"))
    assert moved.gains() == found.gains()


def test_boundaries_within_cells_lose_nothing_to_the_resolution(tmp_path: Path) -> None:
    run, dataset = made_run(tmp_path, keep=4, curves=2)
    found = diagnose(run, dataset)
    resolution, cut = STAGES.index("resolution"), STAGES.index("top-k")
    np.testing.assert_allclose(found.best[:, resolution], 1.0)
    assert (found.lost == cut).any()
    assert "top-k" not in found.gains()
    (note,) = found.notes
    assert note == "no gain for top-k, which needs learnt curves: a run does not contain them"


def test_a_video_without_an_answer_is_lost_at_once(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    folder = write_dataset(tmp_path / "set", videos=4, subsets=("validation",))
    (folder / "features" / "video2.npy").unlink()
    propose(
        ProposeRequest(tmp_path / "bundle", folder, tmp_path / "run", on_error="skip", threads=1)
    )
    found = diagnose(tmp_path / "run", folder)
    lost = np.array(found.videos) == "video2"
    assert (found.lost[:, lost] == STAGES.index("video")).all()
    assert (found.lost[:, ~lost] > STAGES.index("video")).all()


def test_a_result_file_is_not_enough(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(ResultError, match="not a run"):
        diagnose(tmp_path, tmp_path)


# --- one stage at a time, on a video of 10 cells of a second ---


def evidence(
    instances: list[tuple[float, float]],
    candidates: list[tuple[float, float, float]],
    cut: list[tuple[float, float, float]] | None = None,
) -> Evidence:
    """Return everything in seconds of a video of 10 s."""

    def proposals(rows: list[tuple[float, float, float]]) -> Proposals:
        start, end, score = np.array(rows).reshape(-1, 3).T
        ones = np.ones(len(start))
        return Proposals(start / 10, end / 10, score, ones, ones, unit="fraction")

    segments = np.array(instances, dtype=np.float64)
    return Evidence(
        video=Video("a", 10.0, "validation", segments, ("x",) * len(segments)),
        instances=segments / 10,
        candidates=proposals(candidates),
        cut=proposals(cut or []),
        scale=10.0,
        span=1.0,
        cell=1.0,
        grid=Grid(first=0.5, last=9, longest=9),
    )


def stage_of(case: Evidence, threshold: float, keep: int = 2) -> list[str]:
    config = SoftNmsConfig(keep=keep, picks=keep)
    answer = soft_nms(case.candidates, config).to_seconds(10.0)
    best = trace(case, answer, len(answer), config).best
    return [(*STAGES, "found")[stage] for stage in stage_of_loss(best, np.array([threshold]))[0]]


def test_found() -> None:
    assert stage_of(evidence([(1.5, 4.5)], [(1.5, 4.5, 0.9)]), 0.95) == ["found"]


def test_too_short_for_the_cells() -> None:
    case = evidence([(2.6, 3.0)], [(1.5, 4.5, 0.9)])
    assert stage_of(case, 0.5) == ["resolution"]
    assert stage_of(case, 0.1) == ["found"]


def test_no_pair_of_peaks() -> None:
    assert stage_of(evidence([(1.5, 4.5)], [(5.5, 8.5, 0.9)]), 0.5) == ["boundaries"]


def test_cut_by_top_k() -> None:
    case = evidence([(1.5, 4.5)], [(5.5, 8.5, 0.9)], cut=[(1.5, 4.5, 0.1)])
    assert stage_of(case, 0.5) == ["top-k"]


def test_ranked_too_low() -> None:
    rows = [(5.5, 8.5, 0.9), (5.5, 7.5, 0.8), (1.5, 4.5, 0.1)]
    assert stage_of(evidence([(1.5, 4.5)], rows), 0.5) == ["ranking"]


def test_suppressed_by_a_better_neighbour() -> None:
    # scores enough to be second, but its neighbour takes most of that
    rows = [(1.5, 5.5, 0.9), (1.5, 4.5, 0.8), (6.5, 8.5, 0.6)]
    case = evidence([(1.5, 4.5)], rows)
    assert stage_of(case, 0.9) == ["suppression"]
    assert stage_of(case, 0.7) == ["found"]


def test_each_instance_has_its_own_stage() -> None:
    rows = [(1.5, 4.5, 0.9), (5.5, 6.5, 0.8), (6.5, 8.5, 0.1)]
    assert stage_of(evidence([(1.5, 4.5), (6.5, 8.5)], rows), 0.5) == ["found", "ranking"]


def ideal(stage: str, case: Evidence, keep: int = 2) -> Proposals:
    config = SoftNmsConfig(keep=keep, picks=keep + 1)
    answer = soft_nms(case.candidates, config).to_seconds(10.0)
    return trace(case, answer, len(answer), config).ideal[stage]


def rows_of(proposals: Proposals) -> list[tuple[float, float]]:
    return [(round(s, 6), round(e, 6)) for s, e in zip(proposals.start, proposals.end, strict=True)]


def test_perfect_boundaries_stand_where_the_nearest_candidate_stood() -> None:
    found = ideal("boundaries", evidence([(2, 5)], [(6.5, 8.5, 0.9), (1.5, 4.5, 0.5)]))
    assert rows_of(found) == [(6.5, 8.5), (2, 5)]
    assert found.score[1] == 0.5


def test_instances_that_end_before_they_start_have_no_perfect_boundaries() -> None:
    candidates = [(6.5, 8.5, 0.9), (1.5, 4.5, 0.5)]
    found = ideal("boundaries", evidence([(5, 2), (2, 5)], candidates))
    assert rows_of(found) == [(6.5, 8.5), (2, 5)]


def test_perfect_ranking_puts_the_closest_first() -> None:
    rows = [(6.5, 8.5, 0.9), (1.5, 5.5, 0.5), (1.5, 4.5, 0.1)]
    found = ideal("ranking", evidence([(1.5, 4.5)], rows))
    assert rows_of(found)[0] == (1.5, 4.5)


def test_perfect_top_k_keeps_all() -> None:
    case = evidence([(1.5, 4.5)], [(6.5, 8.5, 0.5)], cut=[(1.5, 4.5, 0.4)])
    assert rows_of(ideal("top-k", case)) == [(6.5, 8.5), (1.5, 4.5)]


def test_perfect_suppression_keeps_the_closest_in_the_place_of_the_best() -> None:
    rows = [(1.5, 5.5, 0.9), (6.5, 8.5, 0.6), (1.5, 4.5, 0.3), (1.5, 4.0, 0.2)]
    found = ideal("suppression", evidence([(1.5, 4.5)], rows))
    assert rows_of(found) == [(1.5, 4.5), (6.5, 8.5)]
    assert found.score.tolist() == [0.9, 0.6]


def test_videos_without_candidates_break_nothing() -> None:
    case = evidence([(1.5, 4.5)], [])
    for stage in IDEAL:
        assert len(ideal(stage, case)) == 0
    assert stage_of(case, 0.5) == ["boundaries"]


@pytest.mark.parametrize("seed", range(3))
def test_perfect_stages_never_cost_recall_at_the_end(tmp_path: Path, seed: int) -> None:
    write_bundle(tmp_path / "bundle", length=40)
    folder = write_dataset(tmp_path / "set", videos=8, subsets=("validation",), seed=seed)
    propose(ProposeRequest(tmp_path / "bundle", folder, tmp_path / "run", threads=1))
    found: Diagnosis = diagnose(tmp_path / "run", folder)
    assert set(found.ideal) == set(IDEAL)
    for gains in found.gains().values():
        assert gains["AR@100"] >= 0


def test_bins_have_every_instance_once() -> None:
    seconds = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    coverage = np.array([0.0, 0.2, 0.21, 0.8, 1.0, 1.2])
    crowd = np.array([1.0, 2.0, 4.0, 5.0, 9.0, 8.0])
    found = np.array([[True, True, False, False, True, False]])
    bins = bins_of(seconds, coverage, crowd, found)
    assert [b.instances for b in bins["coverage"]] == [2, 1, 0, 1, 2]
    assert [b.instances for b in bins["instances"]] == [1, 2, 2, 1]
    assert sum(b.instances for b in bins["length"]) == 6
    assert bins["coverage"][0].recall == (1.0,)
    assert np.isnan(bins["coverage"][2].average_recall)


def test_real_candidates_give_the_golden_answer(data: Path, golden: Path, tmp_path: Path) -> None:
    # The published TEM scores and the authors' PEM, through a run and back.
    from actspan.config.stages import FeatureSpec, PemConfig
    from actspan.model.checkpoints import read_checkpoint
    from actspan.model.manifest import Source
    from actspan.runtime.export import export_bundle

    checkpoint = read_checkpoint(data / "weights" / "pem_best.pth.tar")
    bundle = Bundle.create(
        tmp_path / "bundle",
        config=PipelineConfig(pem=PemConfig()),
        features=FeatureSpec(channels=400),
        source=Source(),
        weights={"pem": checkpoint.weights},
    )
    export_bundle(bundle, check_torch=False)
    with np.load(golden / "dense" / "stages.npz") as stages:
        scores = {k.partition("/")[0]: stages[k] for k in stages.files if k.endswith("/tem")}
    np.savez(tmp_path / "scores.npz", **scores)
    (tmp_path / "set").mkdir()
    truth = golden / "dense" / "ground_truth.json"
    (tmp_path / "set" / "annotations.json").write_bytes(truth.read_bytes())
    request = ProposeRequest(
        bundle.path, tmp_path / "set", tmp_path / "run", scores=tmp_path / "scores.npz"
    )
    propose(replace(request, subset="validation"))
    found = diagnose(tmp_path / "run", tmp_path / "set")
    assert found.notes == ()
    assert (found.lost == STAGES.index("suppression")).any()
    np.testing.assert_allclose(found.losses()[:, FOUND], found.recall.recall[:, -1])


def test_a_run_knows_durations_that_the_ground_truth_lacks(tmp_path: Path) -> None:
    run, dataset = made_run(tmp_path)
    videos = list(Dataset.load(dataset).videos)
    unknown = [replace_duration(video, np.nan) for video in videos]
    expected, found = diagnose(run, videos), diagnose(run, unknown)
    assert sum(b.instances for b in found.bins["coverage"]) == found.recall.instances
    counts = [[b.instances for b in each.bins["coverage"]] for each in (found, expected)]
    assert counts[0] == counts[1]
    other = replace_duration(Video("x", 9.0, "validation", [[1, 2]], ("act",)), np.nan)
    assert "1 instance of videos of unknown duration" in diagnose(run, [*unknown, other]).notes[0]


def replace_duration(video: Video, duration: float) -> Video:
    return Video(video.id, duration, video.subset, video.segments, video.labels)
