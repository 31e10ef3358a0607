"""One cause that most files of a dataset share is one finding, with a remedy for the set."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actspan import Dataset
from actspan.config.stages import FeatureSpec
from actspan.core.errors import AnnotationError, DataError, DatasetError, FeatureError, by_kind
from actspan.core.problems import Problem, Skipped, raise_errors, skipped_line
from actspan.core.types import Video
from actspan.data.check import check_dataset
from actspan.data.faults import missing_features
from actspan.data.layout import spec_error
from actspan.data.videos import Videos
from actspan.evaluation.recall import evaluate_recall
from tests.examples import CHANNELS, STRIDE, edit_annotations, write_annotations, write_dataset

TOML = f"[features]\nstride_seconds = {STRIDE}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "set", videos=8)


def each_file(folder: Path, change: Callable[[Path], object]) -> None:
    for file in sorted((folder / "features").iterdir()):
        change(file)


def turn(file: Path) -> None:
    np.save(file, np.load(file).T)


@pytest.mark.parametrize(
    ("toml", "turned", "remedy"),
    [
        pytest.param('channels = 6\nlayout = "CT"', False, 'write layout = "TC" to', id="layout"),
        pytest.param('channels = 6\nlayout = "TC"', True, 'write layout = "CT" to', id="turned"),
        pytest.param("channels = 9", False, "write channels = 6 to", id="channels"),
        pytest.param(
            'channels = 9\nlayout = "TC"', True, 'channels = 6 and layout = "CT"', id="both"
        ),
        pytest.param('layout = "TC"', True, 'write layout = "CT" to', id="layout-alone"),
    ],
)
def test_a_wrong_dataset_toml_is_one_line_that_says_what_to_write(
    folder: Path, toml: str, turned: bool, remedy: str
) -> None:
    if turned:
        each_file(folder, turn)
    (folder / "dataset.toml").write_text(f"{TOML}{toml}\n")
    for on_error in ("fail", "skip"):
        with pytest.raises(FeatureError) as caught:
            check_dataset(Dataset.load(folder), on_error=on_error)
        assert remedy in str(caught.value)
        assert "\n" not in str(caught.value)
    (folder / "dataset.toml").write_text(
        f'{TOML}channels = 6\nlayout = "{"CT" if turned else "TC"}"\n'
    )
    assert len(check_dataset(Dataset.load(folder))) == 8


def test_a_wrong_dataset_toml_is_named_before_the_model(folder: Path) -> None:
    (folder / "dataset.toml").write_text(f"{TOML}channels = 9\n")
    with pytest.raises(FeatureError, match="write channels = 6 to"):
        check_dataset(Dataset.load(folder), channels=CHANNELS)
    (folder / "dataset.toml").write_text(f'{TOML}layout = "TC"\n')
    with pytest.raises(FeatureError, match="have 6 channels, but the model expects 9"):
        check_dataset(Dataset.load(folder), channels=9)


def test_few_wrong_files_are_no_wrong_dataset_toml() -> None:
    shapes = [(50, 6)] * 5 + [(6, 50)] * 5
    assert spec_error(shapes, "TC", 6, None, FeatureSpec(channels=6)) == ""
    assert spec_error(shapes, "TC", 6, None, FeatureSpec()) == ""


RENAMED = [
    pytest.param(lambda name: f"{name}_rgb", "'video0' instead of 'video0_rgb'", id="suffix"),
    pytest.param(lambda name: f"v2_{name}", "'video0' instead of 'v2_video0'", id="prefix"),
    pytest.param(str.upper, "'video0' instead of 'VIDEO0'", id="capitals"),
    pytest.param(
        lambda name: f"{sum(map(ord, name)) ** 3}", "check that they belong together", id="other"
    ),
]


@pytest.mark.parametrize(("rename", "remedy"), RENAMED)
def test_features_of_other_names_are_one_finding(
    folder: Path, rename: Callable[[str], str], remedy: str
) -> None:
    each_file(folder, lambda file: file.rename(file.with_stem(rename(file.stem))))
    with pytest.raises(DatasetError) as caught:
        check_dataset(Dataset.load(folder))
    ((first, *others),) = by_kind(caught.value.problems)
    assert len(others) == 7
    assert remedy in first.remedy
    assert "--on-error" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_features_of_one_subset_suggest_the_subset(folder: Path) -> None:
    for i in range(0, 8, 2):  # training
        (folder / "features" / f"video{i}.npy").unlink()
    with pytest.raises(DatasetError) as caught:
        check_dataset(Dataset.load(folder))
    (kind,) = by_kind(caught.value.problems)
    assert kind[0].problem == "no features for any video of subset 'training'"
    assert "pass --subset validation" in kind[0].remedy
    assert len(check_dataset(Dataset.load(folder).subset("validation"))) == 4


def test_few_missing_features_stay_findings_of_their_own(folder: Path) -> None:
    (folder / "features" / "video0.npy").rename(folder / "features" / "stranger.npy")
    with pytest.raises(DatasetError) as caught:
        check_dataset(Dataset.load(folder))
    found = {p.video: p.problem for p in caught.value.problems}
    assert found == {"video0": "no features", "stranger": "features without annotation"}
    assert "--on-error skip" in caught.value.remedy
    videos = Videos([Video("a", 1.0), Video("b", 1.0)])
    assert missing_features(videos, {"a": 0}, [], folder) == ("", "")


def test_many_gaps_that_differ_are_a_note_per_video_and_one_row(folder: Path) -> None:
    for i in range(8):
        edit_annotations(folder, f"video{i}", duration=100.0 + 30 * i)
    dataset = check_dataset(Dataset.load(folder))
    assert len(dataset.problems) == 8
    assert len(by_kind(dataset.problems)) == 1
    assert not any(p.is_error for p in dataset.problems)


@pytest.mark.parametrize("seconds", [False, True])
def test_the_stride_that_would_fit_is_proposed(folder: Path, seconds: bool) -> None:
    stride = "stride_seconds = 2.0" if seconds else "stride_frames = 32\nfps = 16"
    (folder / "dataset.toml").write_text(f"[features]\nchannels = {CHANNELS}\n{stride}\n")
    (note,) = check_dataset(Dataset.load(folder)).problems
    assert note.remedy.startswith("stride_seconds = 0.5" if seconds else "stride_frames = 8 ")


def test_faults_of_annotations_never_stop_what_does_not_use_them(folder: Path) -> None:
    text = (folder / "annotations.json").read_text()
    entry = json.dumps(json.loads(text)["database"]["video0"])
    (folder / "annotations.json").write_text(
        text.replace('"database": {', f'"database": {{"video0": {entry}, "ghost": 3, ')
    )
    checked = check_dataset(Dataset.load(folder))
    assert len(checked) == 8
    assert {p.skipped for p in checked.problems} == {Skipped.NOTHING}
    assert {p.remedy for p in checked.problems} == {"annotations are not used here"}
    with pytest.raises(DatasetError, match="listed twice"):
        check_dataset(Dataset.load(folder), uses_instances=True)


def test_an_entry_that_takes_a_video_from_the_work_stops_it(folder: Path) -> None:
    edit_annotations(folder, "video1", annotations="none")
    with pytest.raises(DatasetError, match="video1: bad entry"):
        check_dataset(Dataset.load(folder))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.MKV"])
def test_a_video_in_place_of_a_dataset(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"0")
    with pytest.raises(DataError, match=r"a video, not a dataset; .* actspan propose \S+ --model"):
        Dataset.load(tmp_path / name)
    with pytest.raises(DataError, match=r"contains videos and no features; .* actspan extract"):
        Dataset.load(tmp_path)


def test_a_dataset_of_videos_alone_says_extract(tmp_path: Path) -> None:
    (tmp_path / "set" / "videos").mkdir(parents=True)
    (tmp_path / "set" / "videos" / "a.mp4").write_bytes(b"0")
    write_annotations(tmp_path / "set", {"a": {"duration": 5.0}})
    with pytest.raises(DatasetError, match=r"no features, only videos .* actspan extract"):
        check_dataset(Dataset.load(tmp_path / "set"))
    shutil.rmtree(tmp_path / "set" / "videos")
    with pytest.raises(DatasetError, match=r"a: no features \("):
        check_dataset(Dataset.load(tmp_path / "set"))


def test_findings_that_differ_in_numbers_are_of_one_kind() -> None:
    first, second = (Problem("a", "f", f"segment [{i}, 2.5]: zero", "fix it") for i in (1, 27))
    other = Problem("a", "f", "segment [1, 2]: ends", "fix it")
    assert [len(kind) for kind in by_kind([first, other, second])] == [2, 1]
    beside = [Problem(v, "f", f"second features, beside {v}.npy", "fix") for v in ("one", "other")]
    quoted = [Problem("a", "f", f"{text!r} is no time", "fix") for text in ("soon", "1:x")]
    assert [len(kind) for kind in by_kind([*beside, *quoted])] == [2, 2]


def test_what_is_left_out_is_counted_and_named() -> None:
    def problem(video: str, loss: Skipped) -> Problem:
        return Problem(video, "file.csv", "x", "y", loss)

    assert skipped_line([problem("a", Skipped.NOTHING)]) == ""
    found = [problem(v, Skipped.VIDEO) for v in "abcda"] + [problem("e", Skipped.SEGMENT)] * 2
    found.append(problem("", Skipped.FILE))
    assert skipped_line(found) == (
        "skipped: 4 videos (a, b, c and 1 more), 2 instances (e), 1 file (file.csv)"
    )
    with pytest.raises(DatasetError, match="nothing would be left"):
        raise_errors(found, leaves_something=False)


def test_messages_are_right_in_number() -> None:
    found = [Problem(v, f"{v}.npy", f"{v} is bad", f"replace '{v}.npy'") for v in ("one", "two")]
    with pytest.raises(DatasetError) as caught:
        raise_errors(found)
    assert str(caught.value).splitlines() == [
        "2 problems found. Fix them, or skip what cannot be used: --on-error skip.",
        "  one and 1 more: one is bad, for example (one.npy): replace 'one.npy', for example",
    ]
    with pytest.raises(DatasetError, match=r"^1 problem found\. Fix it, or skip "):
        raise_errors(found[:1])


def test_training_stops_where_most_instances_are_bad(folder: Path) -> None:
    document = json.loads((folder / "annotations.json").read_text())["database"]
    for entry in document.values():
        for annotation in entry["annotations"]:
            annotation["segment"] = annotation["segment"][::-1]
    write_annotations(folder, document)
    count = sum(len(entry["annotations"]) for entry in document.values())
    with pytest.raises(DatasetError, match="ends before it starts") as caught:
        check_dataset(Dataset.load(folder), uses_instances=True)
    assert len(caught.value.problems) == count
    assert len(check_dataset(Dataset.load(folder), uses_instances=True, on_error="skip")) == 8
    assert len(check_dataset(Dataset.load(folder))) == 8
    with pytest.raises(AnnotationError, match=r"without length .*: check the order of times"):
        evaluate_recall(folder, {})


@pytest.mark.parametrize("name", ["annotations.json", "features"])
def test_a_part_of_a_dataset_in_its_place_names_the_folder(folder: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"give the dataset folder.*: {folder}$"):
        Dataset.load(folder / name)
