"""Seconds of position 1.0: the authors' floor for their own features, feature_frame elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Dataset
from actspan.config.stages import FeatureSpec
from actspan.core.types import Video
from actspan.data.annotations.convert import convert_annotations
from actspan.data.check import check_dataset
from actspan.data.data_requests import ConvertRequest, PackRequest
from actspan.data.pack import pack_dataset
from actspan.data.timebase import SpanRule, annotated_seconds, infer_grid, snippet_grid, span_rule
from actspan.data.videos import Videos

STRIDE = FeatureSpec(stride_frames=8)


def authors(folder: Path, *counts: tuple[float, int, int | None], spec: str = "") -> Path:
    """Return videos of (seconds, duration_frame, feature_frame) in the authors' form."""
    folder.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {}
    for i, (seconds, frames, covered) in enumerate(counts):
        instance = {"segment": [seconds / 2, seconds], "label": "x"}
        entry = {"duration_second": seconds, "duration_frame": frames, "subset": "validation"}
        document[f"v_w{i}"] = {**entry, "feature_frame": covered, "annotations": [instance]}
    (folder / "anet_anno_action.json").write_text(json.dumps(document))
    if spec:
        (folder / "dataset.toml").write_text(f"[features]\n{spec}\n")
    return folder


def with_features(folder: Path, rows: int = 10) -> Path:
    (folder / "features").mkdir()
    for i in range(len(json.loads((folder / "anet_anno_action.json").read_text()))):
        values = np.arange(4 * rows, dtype=np.float32).reshape(rows, 4)
        np.save(folder / "features" / f"w{i}.npy", values)
    return folder


def seconds_of(folder: Path) -> list[float]:
    dataset = Dataset.load(folder, features=False)
    return [dataset.annotated_seconds(video) for video in dataset]


@pytest.mark.parametrize(
    ("counts", "seconds"),
    [
        pytest.param([(40.0, 200, 200)], [40.0], id="40 s at 5 frames a second"),
        pytest.param([(15.0, 15, 15)], [15.0], id="shorter than 16 frames"),
        pytest.param([(1.0, 30, 30)], [1.0], id="1 s"),
        pytest.param([(10.0, 310, 304)], [304 / 310 * 10], id="the authors' own, floored"),
        pytest.param([(10.0, 310, 288)], [304 / 310 * 10], id="the floor is of all frames"),
        pytest.param([(10.0, 310, 288), (9.0, 90, 90)], [288 / 31, 9.0], id="one rule for all"),
    ],
)
def test_what_position_one_stands_for(
    counts: list[tuple[float, int, int]], seconds: list[float], tmp_path: Path
) -> None:
    folder = authors(tmp_path / "set", *counts)
    assert seconds_of(folder) == pytest.approx(seconds)
    # files that were converted keep both counts, and with them the rule
    convert_annotations(ConvertRequest(folder, tmp_path / "annotations.json"))
    assert seconds_of(tmp_path) == pytest.approx(seconds)


def test_a_stride_of_the_dataset_rules_the_floor_out(tmp_path: Path) -> None:
    folder = authors(tmp_path, (10.0, 310, 288), spec="channels = 4\nstride_frames = 8")
    assert seconds_of(folder) == pytest.approx([288 / 310 * 10])
    (note,) = Dataset.load(folder, features=False).notes
    assert note.endswith("(dataset.toml gives the stride)")


def test_the_rule_is_said_and_is_the_same_for_each_subset(tmp_path: Path) -> None:
    dataset = Dataset.load(authors(tmp_path, (9.0, 90, 90), (10.0, 310, 304)), features=False)
    (note,) = dataset.notes
    assert note == (
        "results are scaled by feature_frame / duration_frame of each duration "
        "(16 does not divide every feature_frame)"
    )
    part = dataset.select([dataset["w1"]])
    assert part.annotated_seconds(part["w1"]) == pytest.approx(304 / 31)


def test_rows_counted_as_frames_are_named(tmp_path: Path) -> None:
    folder = authors(tmp_path, (40.0, 1000, 100), (40.0, 1000, 1000))
    notes = Dataset.load(folder, features=False).notes
    assert notes[1].startswith(
        "feature_frame is less than 40% of duration_frame in 1 video (w0): it counts frames"
    )


@pytest.mark.parametrize("floored", [False, True])
def test_features_and_scores_have_the_same_seconds(tmp_path: Path, floored: bool) -> None:
    counts = (10.0, 310, 304) if floored else (10.0, 310, 300)
    folder = with_features(authors(tmp_path, counts, spec="channels = 4"))
    dataset = check_dataset(Dataset.load(folder))
    expected = 304 / 31 if floored else 300 / 31
    assert dataset.read("w0").seconds == pytest.approx(expected)
    assert dataset.open("w0").seconds == pytest.approx(expected)
    assert dataset.annotated_seconds(dataset["w0"]) == pytest.approx(expected)


@pytest.mark.parametrize("length", [None, 6])
def test_stores_that_were_packed_with_the_floor_are_corrected(
    tmp_path: Path, length: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = with_features(authors(tmp_path / "set", (40.0, 200, 200), spec="channels = 4"))
    with monkeypatch.context() as before:  # there was one rule
        before.setattr("actspan.data.dataset.span_rule", lambda videos, spec: (SpanRule.FLOOR, ()))
        pack_dataset(PackRequest(folder, tmp_path / "old", length=length))
    pack_dataset(PackRequest(folder, tmp_path / "new", length=length))
    for store in ("old", "new"):
        dataset = check_dataset(Dataset.load(tmp_path / store))
        assert dataset.read("w0").seconds == pytest.approx(40.0)


@pytest.mark.parametrize("counts", [(10, None), (None, 10), (0, 10), (10, 0), (None, None)])
def test_without_both_counts_the_duration_counts(counts: tuple[int | None, int | None]) -> None:
    video = Video("a", 8.0, frames=counts[0], feature_frames=counts[1])
    assert span_rule(Videos([video]), FeatureSpec()) == (SpanRule.COVERED, ())
    assert annotated_seconds(video, SpanRule.FLOOR) == 8.0
    assert snippet_grid(video, FeatureSpec(stride_seconds=2.0), 4).stride == 2.0


@given(st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 2000)), min_size=1), st.booleans())
def test_no_video_ends_before_its_features_do_but_the_authors(
    counts: list[tuple[int, int]], stride: bool
) -> None:
    videos = Videos(
        Video(f"v{i}", 10.0, frames=frames, feature_frames=covered)
        for i, (frames, covered) in enumerate(counts)
    )
    rule, _ = span_rule(videos, STRIDE if stride else FeatureSpec())
    divides = all(covered % 16 == 0 for _, covered in counts)
    assert rule is (SpanRule.FLOOR if divides and not stride else SpanRule.COVERED)
    for video in videos:
        grid = snippet_grid(video, FeatureSpec(), 7, rule)
        assert grid.stride * 7 == pytest.approx(video.feature_frames / video.frames * 10)
        assert grid.output_span == annotated_seconds(video, rule)
        assert rule is SpanRule.FLOOR or grid.output_span == grid.covered


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("stride_frames = 30", ""),
        ("stride_frames = 15", "2 videos (w0, w1)"),
        ("stride_seconds = 1.0", "1 video (w1)"),
    ],
)
def test_a_stride_that_feature_frame_overrules_is_named(
    tmp_path: Path, spec: str, names: str
) -> None:
    folder = authors(tmp_path, (10.0, 300, 300), (20.0, 300, 300), spec=f"channels = 4\n{spec}")
    notes = check_dataset(Dataset.load(with_features(folder))).notes[1:]
    assert [note.rpartition(": ")[2] for note in notes] == ([names] if names else [])


def test_no_stride_is_guessed_beside_feature_frames() -> None:
    videos = Videos([Video("a", 8.0, frames=200, feature_frames=192), Video("b", 4.0, frames=100)])
    settled, (note,) = infer_grid(videos, [24, 12], FeatureSpec())
    assert settled == FeatureSpec()
    assert note == "features cover feature_frame frames, and the whole duration of 1 other video"


def test_the_published_annotations_keep_their_floor(data: Path) -> None:
    dataset = Dataset.load(data / "activitynet", features=False)
    assert dataset.span_rule is SpanRule.FLOOR
    for video in list(dataset)[:200]:
        assert video.frames
        expected = video.frames // 16 * 16 / video.frames * video.duration
        assert dataset.annotated_seconds(video) == expected
