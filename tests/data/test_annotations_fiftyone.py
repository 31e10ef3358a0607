"""FiftyOne's files: what it reads and writes, through FiftyOne itself where it is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actspan import Video
from actspan.core.errors import AnnotationError
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.formats import read_annotations, write_annotations
from tests.streams.example_videos import write_video

FPS = 25.0
FRAMES = 250
LENGTH = FRAMES / FPS
VIDEO = Video(
    "a.b", LENGTH, "validation",
    segments=[[5.1, 7.5], [1.5, 4.02], [3.0, 9.123456789]], labels=("jump", "", "naïve 跳ぶ"),
    scores=[0.9, 0.8, 0.7], fps=FPS,
)  # fmt: skip
EMPTY = Video("actions", LENGTH, fps=FPS)  # the id is also a key of ActivityNet's format


def exported(folder: Path, labels: dict[str, Any], **more: Any) -> Annotations:
    """Return what is read of a labels.json with these labels."""
    folder.mkdir(exist_ok=True)
    document = {"classes": None, "labels": labels, **more}
    (folder / "labels.json").write_text(json.dumps(document))
    return read_annotations(folder, fps=FPS)


def instances(found: Annotations) -> dict[str, list[tuple[float, float, str]]]:
    return {video.id: list(video.instances()) for video in found.videos}


def test_a_folder_comes_back(tmp_path: Path) -> None:
    link = {"a.b": "../videos/day 1/other.MKV", "actions": "../videos/actions.mp4"}
    files = write_annotations(
        tmp_path / "x", [VIDEO, EMPTY], format="fiftyone", media=lambda video: link[video.id]
    )
    assert [file.name for file in files] == ["labels.json", "data.json"]
    assert files[0].read_bytes().isascii()  # FiftyOne reads it in the encoding of the system
    assert json.loads(files[1].read_text()) == {
        "a.b.MKV": "../videos/day 1/other.MKV",
        "actions.mp4": "../videos/actions.mp4",
    }
    for source in (tmp_path / "x", files[0]):
        found = read_annotations(source)
        assert (found.format, found.problems, found.notes) == ("fiftyone", (), ())
        first, empty = found.videos
        assert sorted(first.instances()) == sorted(VIDEO.instances())
        assert (first.id, first.subset, first.fps) == ("a.b", "validation", FPS)
        assert (empty.id, empty.duration) == ("actions", LENGTH)


def test_without_links_the_labels_are_alone(tmp_path: Path) -> None:
    write_annotations(tmp_path / "x", [VIDEO], format="fiftyone")
    assert [file.name for file in (tmp_path / "x").iterdir()] == ["labels.json"]


def test_times_of_all_kinds(tmp_path: Path) -> None:
    found = exported(
        tmp_path,
        {
            "/films/day 1/one": [{"label": 1, "support": [26, 50]}],
            "two": [{"label": "run", "timestamps": ["00:00:01.500", 2]}],
            "three": [],
        },
        classes=["walk", "jump"],
    )
    assert instances(found) == {
        "one": [(1.0, 2.0, "jump")],
        "two": [(1.5, 2.0, "run")],
        "three": [],
    }
    assert (found.problems, found.notes, found.unit) == ((), (), "frames")


def test_frames_need_a_rate(tmp_path: Path) -> None:
    exported(tmp_path, {"a": [{"label": "x", "support": [1, 25]}]})
    (problem,) = read_annotations(tmp_path).problems
    assert "nothing gives a frame rate" in problem.problem
    assert problem.remedy == "pass --fps RATE, or export with use_timestamps=True"


def test_what_is_not_used_is_named(tmp_path: Path) -> None:
    extra = {"attributes": {"by": "ann"}, "confidence": 0.5}
    found = exported(
        tmp_path, {"a": [{"label": "x", "timestamps": [1, 2], **extra}], "b": None, "c": None}
    )
    assert instances(found) == {"a": [(1.0, 2.0, "x")]}
    file = tmp_path / "labels.json"
    assert found.notes == (
        f"{file}: ignored keys of detections: attributes",
        f"{file}: ignored videos that are not labelled, which are left out: b, c",
    )


@pytest.mark.parametrize(
    ("detection", "what"),
    [
        ({"label": "x", "bounding_box": [0, 0, 1, 1]}, "neither timestamps nor support"),
        ({"label": 2, "timestamps": [1, 2]}, "label 2 is not one of 2 classes"),
        ({"label": ["x"], "timestamps": [1, 2]}, "label ['x'] is not text or a number"),
        ({"label": True, "timestamps": [1, 2]}, "label True is not text or a number"),
        ({"label": 1, "timestamps": [1, 2]}, "label {} is not text or a number"),
        ({"label": "x", "timestamps": [2, 1]}, "ends before it starts"),
        ({"label": "x", "timestamps": [1, True]}, "time True is not a number"),
        ({"label": "x", "timestamps": [1]}, "timestamps [1] is not a start and an end"),
        ({"label": "x", "support": None}, "support None is not"),
        (3, "3 is not an object"),
    ],
)
def test_detections_that_cannot_be_used(detection: Any, what: str, tmp_path: Path) -> None:
    good = {"label": "y", "timestamps": [1, 2]}
    found = exported(tmp_path, {"a": [detection, good]}, classes=["u", {}])
    assert instances(found) == {"a": [(1.0, 2.0, "y")]}
    (problem,) = found.problems
    assert what in problem.problem
    assert problem.file == f"{tmp_path / 'labels.json'}: video 'a', detection 1"


def test_videos_that_cannot_be_used(tmp_path: Path) -> None:
    facts = {"d": {"fps": "x"}}
    labels = {"a": "cat", "b": [], "x/b": [], "d": []}
    found = exported(tmp_path, labels, actspan=facts)
    assert instances(found) == {"b": []}
    assert [p.problem for p in found.problems] == [
        "'cat' is not a list of detections",
        "video 'b' is in an earlier entry too",
        "'fps' is 'x', not a number",
    ]


@pytest.mark.parametrize("labels", ["3", "[]", "null"])
def test_labels_that_are_no_object_are_refused(labels: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(f'{{"classes": null, "labels": {labels}}}')
    with pytest.raises(AnnotationError, match=r"labels\.json: 'labels' is not an object"):
        read_annotations(tmp_path)
    with pytest.raises(AnnotationError, match="not FiftyOne's temporal detections"):
        read_annotations(tmp_path / "labels.json", format="fiftyone")


def test_other_labels_of_a_folder_are_not_taken_for_its(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('["jump"')
    (tmp_path / "a.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\njump\n")
    assert read_annotations(tmp_path).format == "vtt"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its libraries use deprecated functions
class TestInFiftyOne:
    """Import and export by the real program."""

    @pytest.fixture
    def loaded(self, tmp_path: Path) -> Iterator[Any]:
        """Return our files as FiftyOne imports them."""
        fo = pytest.importorskip("fiftyone", reason="needs FiftyOne, and the database it uses")
        (tmp_path / "day 1").mkdir()
        for video in (VIDEO, EMPTY):
            times = [number / FPS for number in range(FRAMES)]
            write_video(tmp_path / "day 1" / f"v_{video.id}.mp4", times)
        write_annotations(
            tmp_path / "x", [VIDEO, EMPTY], format="fiftyone",
            media=lambda video: f"../day 1/v_{video.id}.mp4",
        )  # fmt: skip
        dataset = fo.Dataset.from_dir(
            dataset_dir=str(tmp_path / "x"),
            data_path="data.json",  # it looks for data/ alone, if this is not given
            dataset_type=fo.types.FiftyOneTemporalDetectionDataset,
            label_field="actions",
        )
        yield dataset
        dataset.delete()

    def test_it_imports_what_is_written(self, loaded: Any, tmp_path: Path) -> None:
        first, empty = loaded.sort_by("filepath")
        assert first.filepath == str(tmp_path / "day 1" / "v_a.b.mp4")
        found = [(d.label, *d.support, d.confidence) for d in first.actions.detections]
        assert found == [
            ("(no label)", 38, 101, 0.8),
            ("naïve 跳ぶ", 76, 228, 0.7),
            ("jump", 128, 188, 0.9),
        ]
        assert empty.actions.detections == []

    @pytest.mark.parametrize("seconds", [True, False])
    def test_what_it_exports_is_read(self, seconds: bool, loaded: Any, tmp_path: Path) -> None:
        import fiftyone as fo

        first = loaded.sort_by("filepath").first()
        first.actions.detections[0].label = "corrected"
        first.save()
        loaded.compute_metadata()
        loaded.export(
            export_dir=str(tmp_path / "y"),
            dataset_type=fo.types.FiftyOneTemporalDetectionDataset,
            label_field="actions",
            export_media=False,
            use_timestamps=seconds,
        )
        found = read_annotations(tmp_path / "y", fps=None if seconds else FPS)
        assert (found.format, found.problems) == ("fiftyone", ())
        corrected, empty = sorted(found.videos, key=lambda video: video.id)
        assert (corrected.id, empty.id, len(empty.segments)) == ("a.b", "actions", 0)
        rows = sorted(corrected.instances())
        expected = sorted(VIDEO.instances())
        assert [label for _, _, label in rows] == ["corrected", "naïve 跳ぶ", "jump"]
        for row, known in zip(rows, expected, strict=True):
            assert row[:2] == pytest.approx(known[:2], abs=1.5 / FPS)
