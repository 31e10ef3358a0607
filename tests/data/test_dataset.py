from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from actspan import Dataset
from actspan.core.errors import AnnotationError, ConfigError, DataError, DatasetError, FeatureError
from actspan.core.problems import Problem, Skipped, skipped_line
from actspan.data.check import check_dataset
from tests.examples import CHANNELS, STRIDE, edit_annotations, write_annotations, write_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "set")


def features_of(folder: Path, video: str = "video0") -> Path:
    return folder / "features" / f"{video}.npy"


def findings(folder: Path, **options: object) -> list[tuple[str, str]]:
    """Return (video, problem) of everything that is reported together."""
    with pytest.raises(DatasetError) as caught:
        check_dataset(Dataset.load(folder), **options)  # type: ignore[arg-type]
    assert all(p.file and p.remedy for p in caught.value.problems)
    return [(p.video, p.problem) for p in caught.value.problems]


def test_a_good_folder_has_no_problems_and_knows_its_grid(folder: Path) -> None:
    dataset = check_dataset(Dataset.load(folder))
    assert not dataset.problems
    assert not dataset.notes
    features = dataset.read("video1")
    assert (features.stride, features.length) == (STRIDE, STRIDE)
    assert features.span == pytest.approx(dataset["video1"].duration)


def test_subsets(folder: Path) -> None:
    assert len(Dataset.load(folder).subset("validation")) == 2
    with pytest.raises(AnnotationError, match="'testing'; available: 'training', 'validation'"):
        Dataset.load(folder).subset("testing")


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".h5"])
def test_every_feature_format_reads_the_same(folder: Path, suffix: str) -> None:
    expected = check_dataset(Dataset.load(folder)).read("video0").values
    source = features_of(folder)
    target = source.with_suffix(suffix).with_stem("v_video0")
    if suffix == ".csv":
        header = ",".join(f"f{i}" for i in range(CHANNELS))
        np.savetxt(target, expected, delimiter=",", header=header, comments="", fmt="%.9g")
    elif suffix == ".npz":
        np.savez(target, features=expected)
    else:
        with h5py.File(target, "w") as store:
            store["anything"] = expected
    source.unlink()
    dataset = check_dataset(Dataset.load(folder))
    np.testing.assert_array_equal(dataset.read("video0").values, expected)


def test_one_hdf5_file_for_all(folder: Path) -> None:
    with h5py.File(folder / "features.h5", "w") as store:
        for file in sorted((folder / "features").iterdir()):
            store[f"v_{file.stem}"] = np.load(file)
            file.unlink()
    (folder / "features").rmdir()
    assert len(check_dataset(Dataset.load(folder))) == 4


def test_all_problems_are_reported_together(folder: Path) -> None:
    values = np.load(features_of(folder))
    features_of(folder).unlink()
    np.save(features_of(folder, "stranger"), values)
    np.save(features_of(folder, "video2"), values[:, :-1])
    values[3, 2] = np.nan
    np.save(features_of(folder, "video1"), values)
    features_of(folder, "video3").write_bytes(features_of(folder, "video1").read_bytes()[:300])
    edit_annotations(
        folder,
        "video3",
        duration=10.0,
        annotations=[{"segment": s} for s in ([2, 2], [5, 4], [3, 99], [1, 2], [9.5, 10.5])],
    )
    found = dict(findings(folder))
    assert found["video0"] == "no features"
    assert found["stranger"] == "features without annotation"
    assert found["video1"] == "1 value NaN or infinite"
    assert found["video2"].startswith("5 channels, 6 expected")
    assert "damaged or truncated" in found["video3"]


def test_bad_instances_are_left_out_of_training_and_noted_elsewhere(folder: Path) -> None:
    segments = ([2, 2], [5, 4], [3, 99], [12, 13], [-1, 2], [1, 2], [9.5, 10.5])
    annotations = [{"segment": segment, "label": "x"} for segment in segments]
    edit_annotations(folder, "video3", duration=10.0, annotations=annotations)
    trained = check_dataset(Dataset.load(folder), uses_instances=True)
    assert trained["video3"].segments.tolist() == [[1, 2], [9.5, 10.5]]
    assert [p.problem for p in trained.problems if p.skipped is Skipped.SEGMENT] == [
        "segment [2, 2]: zero length",
        "segment [5, 4]: ends before it starts",
        "segment [3, 99]: ends 89 s after the video, which lasts 10 s",
        "segment [12, 13]: starts 2 s after the end of the video, 10 s",
        "segment [-1, 2]: starts 1 s before the video",
    ]
    assert skipped_line(trained.problems) == "skipped: 5 instances (video3)"
    assert any("1 instance ends up to 0.5 s after" in note for note in trained.notes)
    noted = check_dataset(Dataset.load(folder))
    assert not any(p.is_error for p in noted.problems)
    about = [p.problem for p in noted.problems if "fault" in p.problem]
    assert about[0] == "1 annotation fault: video video3: segment [2, 2]: zero length"
    assert len(about) == 5  # one per kind


def test_skip_goes_on_without_what_is_bad(folder: Path) -> None:
    features_of(folder).write_bytes(b"")
    edit_annotations(
        folder, "video1", annotations=[{"segment": [2, 2]}, {"segment": [1, 2], "label": "good"}]
    )
    dataset = check_dataset(Dataset.load(folder), on_error="skip", uses_instances=True)
    assert [v.id for v in dataset] == ["video1", "video2", "video3"]
    assert dataset["video1"].labels == ("good",)
    assert {p.video for p in dataset.problems} == {"video0", "video1"}


def test_nothing_left_is_an_error_even_when_skipping(folder: Path) -> None:
    for file in (folder / "features").iterdir():
        file.write_bytes(b"")
    assert "the file is empty" in dict(findings(folder, on_error="skip"))["video0"]


def test_nothing_left_does_not_advise_to_skip(folder: Path) -> None:
    for file in (folder / "features").iterdir():
        np.save(file, np.full((9, CHANNELS), np.nan, np.float32))
    for on_error in ("fail", "skip"):
        with pytest.raises(DatasetError) as caught:
            check_dataset(Dataset.load(folder), on_error=on_error)
        assert "--on-error" not in caught.value.remedy
        assert caught.value.problems[0].file == str(features_of(folder))
    assert "None of 4 videos can be used" in caught.value.remedy


def test_a_bad_entry_is_one_problem(folder: Path) -> None:
    edit_annotations(folder, "video1", annotations="none")
    assert [video for video, _ in findings(folder)] == ["video1"]


def test_two_files_for_one_video(folder: Path) -> None:
    np.save(features_of(folder, "v_video0"), np.load(features_of(folder)))
    assert dict(findings(folder))["video0"].startswith("second features for this video")


def test_pickled_content_is_refused(folder: Path) -> None:
    np.save(features_of(folder), np.array([{}, []], dtype=object), allow_pickle=True)
    assert dict(findings(folder))["video0"].endswith("it contains Python objects, not numbers")


@pytest.mark.parametrize("layout", ["TC", "CT"])
def test_layout_follows_from_the_known_channel_count(folder: Path, layout: str) -> None:
    if layout == "CT":
        for file in (folder / "features").iterdir():
            np.save(file, np.load(file).T)
    dataset = check_dataset(Dataset.load(folder))
    assert dataset.spec.layout == layout
    assert dataset.read("video0").values.shape[1] == CHANNELS


def test_one_file_turned_round_is_named(folder: Path) -> None:
    np.save(features_of(folder), np.load(features_of(folder)).T)
    assert dict(findings(folder))["video0"].startswith("axes swapped")


def test_unknown_channels_and_layout_is_an_error_that_says_so(folder: Path) -> None:
    (folder / "dataset.toml").unlink()
    with pytest.raises(FeatureError, match=r"cannot tell whether .* dataset\.toml"):
        check_dataset(Dataset.load(folder))
    dataset = check_dataset(Dataset.load(folder), channels=CHANNELS)
    assert dataset.notes == ("features assumed to be spread evenly over each video's duration",)
    (folder / "dataset.toml").write_text("[features]\nchannels = 6\n")
    with pytest.raises(FeatureError, match="6 channels, but the model expects 7"):
        check_dataset(Dataset.load(folder), channels=7)


def test_a_subset_that_training_set_apart_is_suggested(folder: Path) -> None:
    dataset = Dataset.load(folder)
    dataset = dataset.select(v for v in dataset if v.subset == "training")
    with pytest.raises(AnnotationError, match=r"'valdation' \(did you mean 'validation'\?\)"):
        dataset.subset("valdation", dataset.videos.ids[:1])
    assert dataset.subset("validation", dataset.videos.ids[:1]).videos.ids == dataset.videos.ids[:1]


def test_files_that_are_not_read_are_named_beside_an_unknown_layout(folder: Path) -> None:
    (folder / "dataset.toml").unlink()
    features_of(folder).rename(folder / "features/video0.pkl")
    with pytest.raises(FeatureError, match=r"besides, 1 file: \.pkl is not read: write \.npy"):
        check_dataset(Dataset.load(folder))


def test_a_grid_that_nothing_gives_has_one_remedy_that_works(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features/a.npy", np.random.default_rng(0).random((9, CHANNELS)))
    toml = tmp_path / "dataset.toml"
    toml.write_text(f"[features]\nchannels = {CHANNELS}\nfps = 25\n")
    (problem,) = check_problems(tmp_path)
    assert problem.problem == "the times of its snippets are unknown"
    assert problem.remedy == "write stride_seconds = ... under [features] in dataset.toml"
    toml.write_text(toml.read_text() + "stride_seconds = 0.5\n")
    assert check_dataset(Dataset.load(tmp_path)).spec.stride_seconds == 0.5


def check_problems(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(DatasetError) as caught:
        check_dataset(Dataset.load(path))
    return tuple(caught.value.problems)


def test_keys_without_their_table_are_named(folder: Path) -> None:
    (folder / "dataset.toml").write_text("channels = 6\n")
    with pytest.raises(DataError, match=r"write \[features\] above channels"):
        Dataset.load(folder)


def test_training_without_annotations_says_so_first(folder: Path) -> None:
    from actspan.training.parts import trainable

    (folder / "annotations.json").unlink()
    (folder / "dataset.toml").unlink()
    with pytest.raises(AnnotationError, match=r"no annotations\.json in this folder"):
        trainable(Dataset.load(folder))


def test_a_stride_in_frames_is_inferred_and_said(folder: Path) -> None:
    (folder / "dataset.toml").write_text(f"[features]\nchannels = {CHANNELS}\n")
    for i in range(4):
        rows = len(np.load(features_of(folder, f"video{i}")))
        edit_annotations(folder, f"video{i}", frames=rows * 8 + 3, fps=16.0)
    dataset = check_dataset(Dataset.load(folder))
    assert dataset.notes == ("snippets of 8 frames, from the number of rows and frames",)
    assert dataset.read("video0").stride == 0.5


def test_frames_without_a_rate_are_a_problem(folder: Path) -> None:
    (folder / "dataset.toml").write_text("[features]\nchannels = 6\nstride_frames = 16\n")
    assert "nothing gives a frame rate" in dict(findings(folder))["video0"]


def test_a_wrong_stride_is_noted(folder: Path) -> None:
    (folder / "dataset.toml").write_text("[features]\nchannels = 6\nstride_seconds = 2.0\n")
    dataset = check_dataset(Dataset.load(folder))
    (note,) = dataset.problems
    assert not note.is_error
    assert note.problem == "features cover 4 times the length of the video, in 4 of 4 videos"
    assert note.remedy == "stride_seconds = 0.5 in dataset.toml would fit"
    edit_annotations(folder, "video0", duration=300.0)
    edit_annotations(folder, "video1", duration=250.0)
    dataset = check_dataset(Dataset.load(folder))
    assert [p.video for p in dataset.problems] == ["video0", "video1", "video2", "video3"]
    assert "of 250.0 s" in dataset.problems[1].problem


def test_features_alone_are_a_dataset(folder: Path) -> None:
    (folder / "annotations.json").unlink()
    dataset = check_dataset(Dataset.load(folder))
    assert (dataset.format, len(dataset)) == ("features", 4)
    assert "every feature file is used as a video" in dataset.notes[0]
    assert dataset.read("video0").stride == STRIDE


def test_unknown_settings_and_empty_folders(folder: Path, tmp_path: Path) -> None:
    (folder / "dataset.toml").write_text("[features]\nstrides = 1\n")
    with pytest.raises(ConfigError, match="strides"):
        Dataset.load(folder)
    (folder / "dataset.toml").write_text("[feature]\n")
    with pytest.raises(DataError, match="only the table"):
        Dataset.load(folder)
    with pytest.raises(DataError, match="does not exist; a dataset folder"):
        Dataset.load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnnotationError, match="no annotations"):
        Dataset.load(tmp_path / "empty")


def test_the_authors_layout_keeps_both_spans(tmp_path: Path) -> None:
    entry = {"duration_second": 10.0, "duration_frame": 310, "feature_frame": 304}
    instance = {"segment": [1.0, 2.0], "label": "a"}
    document = {"v_x": {**entry, "annotations": [instance]}}
    annotations = tmp_path / "activitynet_annotations"
    features = tmp_path / "activitynet_feature_cuhk" / "csv_mean_100"
    annotations.mkdir()
    features.mkdir(parents=True)
    (annotations / "anet_anno_action.json").write_text(json.dumps(document))
    (annotations / "video_info_new.csv").write_text("video,subset\nv_x,validation\n")
    header = ",".join(f"f{i}" for i in range(400))
    values = np.random.default_rng(0).normal(size=(100, 400)).astype(np.float32)
    np.savetxt(features / "v_x.csv", values, delimiter=",", header=header, comments="")
    dataset = check_dataset(Dataset.load(tmp_path), channels=400)
    assert (dataset.format, dataset.edge) == ("authors", "zero")
    assert "authors' layout" in dataset.notes[0]
    found = dataset.read("x")
    np.testing.assert_allclose(found.values, values)
    assert found.span == pytest.approx(304 / 310 * 10)
    assert found.seconds == pytest.approx(310 // 16 * 16 / 310 * 10)


@pytest.mark.parametrize("name", ["ucf-spliced", "hapt"])
def test_the_real_sets_are_clean(data: Path, name: str) -> None:
    dataset = check_dataset(Dataset.load(data / name).subset("validation"))
    assert not dataset.problems
    assert len(dataset) == {"ucf-spliced": 120, "hapt": 8}[name]


def test_an_annotation_may_be_all_there_is(tmp_path: Path) -> None:
    write_annotations(tmp_path, {"a": {"duration": 5.0}})
    assert len(Dataset.load(tmp_path, features=False)) == 1
    assert dict(findings(tmp_path))["a"] == "no features"
