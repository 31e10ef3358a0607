"""Durations, instances and features: the one that disagrees with the other two is named."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from actspan import Dataset
from actspan.cli import main
from actspan.core.errors import DataError, DatasetError
from actspan.data.check import check_dataset
from tests.examples import CHANNELS, STRIDE, write_annotations, write_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "set", videos=8)


def change(
    folder: Path,
    *,
    durations: float | None = 1,
    times: float = 1,
    stride: float = 1,
    shift: float = 0,
    toml: str = "",
    **facts: float,
) -> Path:
    """Give durations, instances or features another scale; no duration for None."""
    document = json.loads((folder / "annotations.json").read_text())["database"]
    for entry in document.values():
        entry["duration"] *= durations or 1
        entry |= facts
        for annotation in entry["annotations"]:
            annotation["segment"] = [times * x + shift for x in annotation["segment"]]
        if durations is None:
            del entry["duration"]
    write_annotations(folder, document)
    text = f"channels = {CHANNELS}\nstride_seconds = {STRIDE * stride}"
    (folder / "dataset.toml").write_text(f"[features]\n{toml or text}\n")
    return folder


FITS = "stride_seconds = 0.5 in dataset.toml would fit"
CASES = [
    pytest.param(
        {"durations": 1000},
        "durations look like milliseconds (1,000 times what the features cover, in 8 of 8 videos; "
        "the instances fit the features): divide them by 1,000 in {set}/annotations.json",
        id="durations-in-milliseconds",
    ),
    pytest.param(
        {"durations": 1 / 3},
        "durations look wrong (0.33 times what the features cover, in 8 of 8 videos; the "
        "instances fit the features): correct the durations in {set}/annotations.json",
        id="durations-a-third",
    ),
    pytest.param(
        {"durations": 30},
        "durations look wrong (30 times what the features cover, in 8 of 8 videos; the instances "
        "fit the features): correct the durations in {set}/annotations.json",
        id="durations-in-frames",
    ),
    pytest.param(
        {"stride": 0.1},
        f"features cover 0.1 times the length of the video, in 8 of 8 videos: {FITS}",
        id="stride-ten-times-too-small",
    ),
    pytest.param(
        {"stride": 4},
        f"features cover 4 times the length of the video, in 8 of 8 videos: {FITS}",
        id="stride-four-times-too-large",
    ),
    pytest.param(
        {"stride": 1000},
        f"features cover 1,000 times the length of the video, in 8 of 8 videos: {FITS}",
        id="stride-in-milliseconds",
    ),
    pytest.param(
        {"durations": 25, "times": 25},
        "features cover 0.04 times the length of the video, in 8 of 8 videos: stride_seconds = "
        "12.5 in dataset.toml would fit; or, if times and durations are frames: convert them: ",
        id="either-the-stride-or-both-in-frames",
    ),
    pytest.param(
        {"durations": 25, "times": 25, "fps": 25.0},
        "times and durations look like frames: features cover 0.04 times the length of the video, "
        "in 8 of 8 videos: convert them: ",
        id="both-in-frames",
    ),
    pytest.param(
        {"durations": 1000, "times": 1000},
        "times and durations look like milliseconds: features cover 0.001 times the length of the "
        "video, in 8 of 8 videos: convert them: ",
        id="both-in-milliseconds",
    ),
]


@pytest.mark.parametrize(("changes", "expected"), CASES)
def test_the_one_that_disagrees_is_named(
    folder: Path, changes: dict[str, float], expected: str
) -> None:
    change(folder, **changes)
    expected = expected.format(set=folder)
    (note,) = check_dataset(Dataset.load(folder)).problems
    assert not note.is_error
    assert f"{note.problem}: {note.remedy}".startswith(expected)
    with pytest.raises(DataError) as caught:
        check_dataset(Dataset.load(folder), uses_instances=True)
    assert str(caught.value) == f"{folder}: {note.problem}: {note.remedy}"
    assert "--clip" not in str(caught.value)
    assert "--force" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_instances_nothing_is_certain(folder: Path) -> None:
    change(folder, durations=1000)
    document = json.loads((folder / "annotations.json").read_text())["database"]
    write_annotations(folder, {v: {**entry, "annotations": []} for v, entry in document.items()})
    (note,) = check_dataset(Dataset.load(folder)).problems
    assert note.remedy == "durations may be milliseconds: check them"
    change(folder, durations=1 / 250)  # 4 times what the features cover
    (note,) = check_dataset(Dataset.load(folder)).problems
    assert note.remedy == "stride_seconds = 2 in dataset.toml would fit, if the durations are right"


@pytest.mark.parametrize(
    ("changes", "otherwise"),
    [
        pytest.param({}, "", id="durations-agree-with-features"),
        pytest.param(
            {"durations": None}, "; or correct the stride in dataset.toml, if times are seconds",
            id="no-durations",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("toml", "rate"), [("", "--fps RATE"), ("fps = 12.5", "--fps 12.5")], ids=["unknown", "known"]
)
def test_times_in_frames_are_converted_to_a_new_file(
    folder: Path, changes: dict[str, None], otherwise: str, toml: str, rate: str
) -> None:
    grid = f"channels = {CHANNELS}\nstride_seconds = {STRIDE}\n{toml}"
    change(folder, times=12.5, toml=grid, **changes)
    before = (folder / "annotations.json").read_bytes()
    with pytest.raises(DataError, match="times look like frames") as caught:
        check_dataset(Dataset.load(folder), uses_instances=True)
    message = str(caught.value)
    assert rate in message
    assert message.endswith(f"and keep the original{otherwise}")
    command = message.partition("convert them: actspan ")[2].rpartition(", then use")[0]
    words = shlex.split(command.partition(" (RATE")[0].replace("RATE", "12.5"))
    assert CliRunner().invoke(main, words).exit_code == 0
    assert (folder / "annotations.json").read_bytes() == before
    (folder / "annotations-seconds.json").replace(folder / "annotations.json")
    assert not check_dataset(Dataset.load(folder), uses_instances=True).problems


def test_one_instance_after_the_features_is_left_out_where_no_duration_is_known(
    folder: Path,
) -> None:
    change(folder, durations=None)
    document = json.loads((folder / "annotations.json").read_text())["database"]
    document["video0"]["annotations"].append({"segment": [5000, 6000], "label": "act"})
    write_annotations(folder, document)
    dataset = check_dataset(Dataset.load(folder), uses_instances=True)
    (problem,) = dataset.problems
    assert problem.problem.startswith("segment [5000, 6000]: starts 5,000 s after the end of the")
    assert dataset.videos.segments.max() < 5000
    document["video0"]["annotations"] = [{"segment": [30, 39], "label": "act"}] * 50
    write_annotations(folder, document)
    with pytest.raises(DatasetError, match="50 problems"):
        check_dataset(Dataset.load(folder), uses_instances=True)


def test_instances_after_the_features_are_noted_where_the_video_is_longer(folder: Path) -> None:
    rows = len(np.load(folder / "features" / "video2.npy"))
    document = json.loads((folder / "annotations.json").read_text())["database"]
    document["video2"] |= {"duration": 4 * rows * STRIDE}
    last = {"segment": [2 * rows * STRIDE, 3 * rows * STRIDE], "label": "act"}
    document["video2"]["annotations"].append(last)
    write_annotations(folder, document)
    note = "nothing is learned from 1 instance after the end of the features (video2)"
    assert note in check_dataset(Dataset.load(folder), uses_instances=True).notes
    assert note not in check_dataset(Dataset.load(folder)).notes


def test_times_in_frames_are_one_note_where_instances_are_not_used(folder: Path) -> None:
    change(folder, durations=None, times=25)
    (note,) = check_dataset(Dataset.load(folder)).problems
    assert note.problem.startswith("times look like frames")
    assert note.remedy == "annotations are not used here; train and evaluate refuse them"
