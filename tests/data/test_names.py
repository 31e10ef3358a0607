"""Ids that are names of video files, and names that readers ignore."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from actspan import Dataset
from actspan.data.annotations.formats import read_annotations
from actspan.data.names import FileNames, Ignored, file_stem
from actspan.data.shards import PackedIndex
from actspan.data.videos import canonical_id
from actspan.streams.video_lists import find_videos
from tests.data.annotation_files import write_thumos


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        pytest.param("clip.mp4", "clip", id="suffix"),
        pytest.param("GOPR01.MTS", "GOPR01", id="capitals"),
        pytest.param("day 1/clip.mov", "clip", id="folder"),
        pytest.param("C:\\films\\clip.avi", "clip", id="windows"),
        pytest.param("clip.mp4.mp4", "clip", id="twice"),
        pytest.param("clip.cut.webm", "clip.cut", id="two-points"),
        pytest.param("a.b", "a.b", id="no-video"),
        pytest.param("a/b", "a/b", id="no-suffix"),
        pytest.param("Abuse028_x264", "Abuse028_x264", id="codec"),
        pytest.param(".mp4", ".mp4", id="only-a-suffix"),
        pytest.param("day/.mp4", "day/.mp4", id="only-a-suffix-in-a-folder"),
        pytest.param("", "", id="empty"),
    ],
)
def test_stems(name: str, stem: str) -> None:
    assert file_stem(name) == stem
    assert file_stem(stem) == stem
    assert canonical_id(name) == stem


def test_two_files_of_one_stem_are_refused() -> None:
    files = FileNames()
    assert [files.stem(name) for name in ("a/x.mp4", "x", "A/x.MP4")] == ["x", "x", "x"]
    with pytest.raises(ValueError, match=r"'a/x\.mp4' and 'b/x\.mp4' have one id, 'x'"):
        files.stem("b/x.mp4")


def test_notes() -> None:
    files = FileNames()
    assert files.notes("a.csv") == ()
    for name in ("x.mp4", "y.mp4", "y.mp4", "z", "w.avi"):
        files.stem(name)
    (note,) = files.notes("a.csv")
    assert note == "a.csv: ids are file names: dropped the suffix .mp4 from 2, .avi from 1"


SEGMENT = {"annotations": [{"segment": [1.0, 2.0], "label": "jump"}]}


def in_a_table(folder: Path) -> Path:
    (folder / "x.csv").write_text("filename,start,end,label\nday/clip.mp4,1,2,jump\n")
    return folder / "x.csv"


def in_json(folder: Path) -> Path:
    (folder / "x.json").write_text(json.dumps({"database": {"day/clip.mp4": SEGMENT}}))
    return folder / "x.json"


def in_thumos(folder: Path) -> Path:
    return write_thumos(folder / "TH14", {"jump_val": ["day/clip.mp4 1 2"]})


@pytest.mark.parametrize("write", [in_a_table, in_json, in_thumos], ids=lambda f: f.__name__)
def test_readers_drop_suffixes_with_a_note(write: object, tmp_path: Path) -> None:
    assert callable(write)
    path = write(tmp_path)
    found = read_annotations(path)
    (video,) = found.videos
    assert (video.id, list(video.instances())) == ("clip", [(1.0, 2.0, "jump")])
    note = f"{path}: ids are file names: dropped folder and suffix .mp4 from 1"
    assert found.notes == (note,)


EAF = """<ANNOTATION_DOCUMENT><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="2000"/>
</TIME_ORDER><TIER TIER_ID="x"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="1"
TIME_SLOT_REF1="a" TIME_SLOT_REF2="b"><ANNOTATION_VALUE>jump</ANNOTATION_VALUE>
</ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""
TEXT_GRID = '"ooTextFile" "TextGrid" 0 9 <exists> 1 "IntervalTier" "x" 0 9 1 1 2 "jump"'
BORIS = json.dumps(
    {
        "behaviors_conf": {"0": {"code": "jump", "type": "State event"}},
        "observations": {"clip.mp4": {"events": [[1, "", "jump"], [2, "", "jump"]]}},
    }
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("clip.mp4.srt", "1\n00:00:01,000 --> 00:00:02,000\njump\n", id="srt"),
        pytest.param("clip.mp4.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\njump\n", id="vtt"),
        pytest.param("clip.mp4.TextGrid", TEXT_GRID, id="textgrid"),
        pytest.param("clip.mp4.eaf", EAF, id="elan"),
        pytest.param("project.boris", BORIS, id="boris"),
    ],
)
def test_readers_of_tools_drop_suffixes_with_a_note(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    found = read_annotations(path)
    (video,) = found.videos
    assert (video.id, list(video.instances())) == ("clip", [(1.0, 2.0, "jump")])
    assert f"{path}: ids are file names: dropped the suffix .mp4 from 1" in found.notes


def test_one_id_of_two_files_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("video,start,end\na/x.mp4,1,2\nb/x.mp4,3,4\n")
    (tmp_path / "x.json").write_text(json.dumps({"database": {"a/x.mp4": {}, "b/x.mp4": {}}}))
    for name in ("x.csv", "x.json"):
        found = read_annotations(tmp_path / name)
        assert [v.id for v in found.videos] == ["x"]
        (problem,) = found.problems
        assert "have one id, 'x'" in problem.problem


def test_features_named_after_video_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features" / "clip.mp4.npy", np.zeros((4, 8), np.float32))
    document = {"database": {"clip.mp4": {"duration": 9.0, **SEGMENT}}}
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    dataset = Dataset.load(tmp_path)
    assert list(dataset.entries) == list(dataset.videos.ids) == ["clip"]


class Shard:
    """Ids as a store has them that was packed when ids kept their suffix."""

    name = "00000.arrow"

    def __len__(self) -> int:
        return 2

    def ids(self) -> Iterator[str]:
        return map(self.id, range(2))

    def id(self, row: int) -> str:
        return ("clip.mp4", "other")[row]


def test_stores_that_have_ids_with_suffix_fit(tmp_path: Path) -> None:
    places = PackedIndex([Shard()], tmp_path)  # type: ignore[list-item]
    assert list(places) == ["clip", "other"]
    assert [places[name].id for name in places] == ["clip", "other"]


def test_videos_of_a_dataset_fit_ids_with_suffix(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "clip.mp4").touch()
    (tmp_path / "annotations.csv").write_text("filename,start,end\nclip.mp4,1,2\n")
    found = find_videos([str(tmp_path)])
    assert (list(found.paths), found.problems) == (["clip"], ())


def test_ignored_names_have_one_line_per_kind() -> None:
    ignored = Ignored()
    assert not ignored
    ignored["columns", "type"] += 1
    ignored["columns", "type_idx"] += 1
    ignored["keys", "class"] += 2_000
    assert ignored
    assert ignored.notes("a.csv") == (
        "a.csv: ignored columns: type, type_idx",
        "a.csv: ignored keys: class (2,000)",
    )


def test_long_lists_of_ignored_names_are_cut_and_counted() -> None:
    ignored = Ignored()
    for place in range(40):
        ignored["columns", f"c{place}"] += 1
    assert ignored.notes("a.csv")[0].endswith("c11 and 28 more")
