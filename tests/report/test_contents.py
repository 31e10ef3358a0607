"""Contents that a report gathers, and those that it names as missing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actspan import Proposals, evaluate_recall
from actspan.core.errors import AnnotationError, ConfigError, ResultError
from actspan.core.files import sha256
from actspan.data.annotations.formats import read_annotations, write_annotations
from actspan.data.result_writers import write_result
from actspan.jobs.candidate_files import CANDIDATES, INDEX
from actspan.jobs.run import RESULT, SCORES, Run
from actspan.jobs.sinks import write_info
from actspan.report.contents import GroundTruth, gather, name_runs
from actspan.report.video_list import list_videos
from tests.report.conftest import Material


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        pytest.param(["a/run"], ["run"], id="one"),
        pytest.param(["a/new", "a/old"], ["new", "old"], id="folders"),
        pytest.param(["a/run", "b/run"], ["a/run", "b/run"], id="same-name"),
        pytest.param(["x/a/run", "y/a/run", "run"], ["x/a/run", "y/a/run", None], id="deep"),
    ],
)
def test_runs_are_named_by_what_tells_them_apart(
    tmp_path: Path, paths: list[str], names: list[str | None]
) -> None:
    given = name_runs([tmp_path / path for path in paths])
    assert [a for a, b in zip(given, names, strict=True) if b] == [b for b in names if b]


@pytest.mark.parametrize("count", [0, 8])
def test_too_few_or_too_many_runs(tmp_path: Path, count: int) -> None:
    with pytest.raises(ConfigError, match="compares 1 to 7"):
        gather([tmp_path / str(i) for i in range(count)])


def test_a_run_twice(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="given twice"):
        gather([tmp_path, tmp_path / "x" / ".."])


def test_two_runs_with_everything(material: Material) -> None:
    contents = gather([material.first, material.second], GroundTruth(material.truth))
    first, second = contents.runs
    assert contents.source
    assert len(contents.videos) == 30
    expected = evaluate_recall(material.truth, material.first)
    assert first.recall is not None
    assert first.recall.summary() == expected.summary()
    assert first.diagnosis is not None
    assert first.calibration is not None
    assert first.detection is None
    assert second.detection is not None
    assert second.mistakes is not None
    assert not [note for note in contents.notes if "missing" in note]


def test_a_result_alone_says_what_is_missing(material: Material) -> None:
    contents = gather([material.first / RESULT], GroundTruth(material.truth))
    (side,) = contents.runs
    assert side.recall is not None
    assert side.diagnosis is None
    assert "no curves and no diagnosis" in contents.notes[0]


@pytest.mark.parametrize("name", [SCORES, CANDIDATES, INDEX])
def test_a_run_with_a_file_missing(material: Material, tmp_path: Path, name: str) -> None:
    run = shutil.copytree(material.first, tmp_path / "run")
    (run / name).unlink()
    contents = gather([run], GroundTruth(material.truth))
    assert contents.runs[0].diagnosis is None
    assert any(f"{name} missing" in note for note in contents.notes)


def test_without_ground_truth(material: Material) -> None:
    contents = gather([material.first])
    assert not contents.source
    assert contents.runs[0].recall is None
    assert "--ground-truth" in contents.notes[-1]
    assert len(list_videos(contents).videos) == 30


def test_the_ground_truth_that_a_run_was_made_from(material: Material, tmp_path: Path) -> None:
    run = shutil.copytree(material.first, tmp_path / "run")
    checksum = sha256(material.truth / "annotations.json")
    made_from = {"path": str(material.truth), "annotations_sha256": checksum}
    write_info(run, {"dataset": made_from})
    assert "which the run was made from" in gather([run]).source
    write_info(run, {"dataset": made_from | {"annotations_sha256": "0" * 64}})
    assert not gather([run]).source
    write_info(run, {"dataset": made_from})
    for path in (None, material.truth):
        with pytest.raises(AnnotationError, match="subsets with instances: 'validation'"):
            gather([run], GroundTruth(path, subset="testing"))


def test_a_run_of_videos_that_are_not_annotated_is_shown_without_ground_truth(
    material: Material, tmp_path: Path
) -> None:
    run = shutil.copytree(material.first, tmp_path / "run")
    document = json.loads((material.truth / "annotations.json").read_text())
    for entry in document["database"].values():
        entry["annotations"] = []
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    checksum = sha256(tmp_path / "annotations.json")
    write_info(run, {"dataset": {"path": str(tmp_path), "annotations_sha256": checksum}})
    contents = gather([run])
    assert not contents.source
    assert any("no instances in subset 'validation'" in note for note in contents.notes)


def test_a_run_of_another_subset_says_which(material: Material, tmp_path: Path) -> None:
    videos = read_annotations(material.truth).videos
    (annotated, other) = [video for video in videos if len(video.segments)][:2]
    write_annotations(tmp_path / "annotations.json", [replace(annotated, subset="training"), other])
    write_result(
        tmp_path / "result.json", {annotated.id: Proposals([1.0], [2.0], [0.5], unit="seconds")}
    )
    with pytest.raises(ResultError, match="pass --subset training"):
        gather([tmp_path / "result.json"], GroundTruth(tmp_path))


@pytest.mark.parametrize("subset", ["training", "validation", "testing"])
def test_runs_of_different_subsets_have_nothing_in_common(
    material: Material, tmp_path: Path, subset: str
) -> None:
    # No subset fits both, so none is advised.
    videos = [v for v in read_annotations(material.truth).videos if len(v.segments)][:3]
    parts = ("training", "validation", "testing")
    split = [replace(video, subset=part) for video, part in zip(videos, parts, strict=True)]
    write_annotations(tmp_path / "annotations.json", split)
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, video in zip(files, split, strict=False):
        write_result(file, {video.id: Proposals([1.0], [2.0], [0.5], unit="seconds")})
    message = "^a.json is of training, b.json is of validation: no videos in common; report each"
    with pytest.raises(ResultError, match=message):
        gather(files, GroundTruth(tmp_path, subset=subset))


def test_neither_a_run_nor_a_result(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"no result\.json"):
        gather([tmp_path])


def test_videos_are_listed_worst_first(material: Material) -> None:
    contents = gather([material.first, material.second], GroundTruth(material.truth))
    listing = list_videos(contents)
    mean = listing.auc.mean(axis=0)
    assert (np.diff(mean[:-1]) >= 0).all()
    assert np.isnan(mean[-1])  # the video without instances
    worst, best = listing.extremes(3)
    assert worst == [0, 1, 2]
    assert best == [28, 27, 26]
    video = listing.videos[0]
    alone = evaluate_recall([video], {video.id: Run.load(material.first).proposals()[video.id]})
    assert listing.auc[0, 0] == alone.auc_percent


def test_a_choice_of_videos(material: Material) -> None:
    contents = gather([material.first], GroundTruth(material.truth))
    everything = [video.id for video in list_videos(contents).videos]
    some = list_videos(contents, ["5"])
    assert [v.id for v in some.videos] == [*everything[:3], *everything[27:29]]
    assert some.unlisted == 25
    assert {v.id for v in list_videos(contents, ["v_video3", "video4"]).videos} == {
        "video3",
        "video4",
    }
    assert list_videos(contents, ["1000"]).unlisted == 1  # the one that cannot be judged
    with pytest.raises(ConfigError, match="nobody"):
        list_videos(contents, ["video3", "nobody"])


def test_videos_without_proposals_are_missed_entirely(material: Material, tmp_path: Path) -> None:
    document = json.loads((material.first / RESULT).read_text())
    del document["results"]["video3"]
    (tmp_path / "result.json").write_text(json.dumps(document))
    contents = gather([tmp_path / "result.json"], GroundTruth(material.truth))
    listing = list_videos(contents, ["video3"])
    assert listing.auc[0, 0] == 0
    assert listing.missed[0, 0] == len(listing.videos[0].segments)
    assert any("counted as missed" in note for note in contents.notes)
