"""Videos that arguments name."""

from __future__ import annotations

from pathlib import Path

import pytest

from actspan.core.errors import VideoError
from actspan.streams.video_lists import find_videos
from tests.examples import write_annotations


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.mp4", "day/b.MKV", "day/v_c.avi", "day/notes.txt", ".hidden.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        (["a.mp4"], ["a"]),
        (["."], ["a", "b", "c"]),
        (["day"], ["b", "c"]),
        (["*.mp4", "day/*.avi"], ["a", "c"]),
        (["**/*.avi"], ["c"]),
        (["da?"], ["b", "c"]),
        (["**"], ["a", "b", "c", "list", "notes"]),
        (["a.mp4", "./a.mp4"], ["a"]),
        (["@day/list.txt"], ["a", "b"]),
    ],
)
def test_arguments(given: list[str], ids: list[str], folder: Path) -> None:
    (folder / "day" / "list.txt").write_text("# from the second day\n../a.mp4\n\nb.MKV\n")
    assert sorted(find_videos(given).paths) == ids


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["none.mp4"], "no such file or folder$"),
        (["dya"], r"no such file or folder \(did you mean 'day'\?\)"),
        (["*.mov"], "no file matches"),
        (["empty"], "no videos in this folder"),
        (["@none.txt"], r"^none\.txt: no such list of videos"),
        (["@bad.txt"], r"bad\.txt, line 2: .*no such file"),
        ([], "no videos: name files"),
        (["a.mp4", "bad.txt"], r"^bad\.txt: not a video; a list of videos is given as @bad\.txt$"),
        (["seg.CSV"], r"^seg\.CSV: not a video; a list of videos is given as @seg\.CSV$"),
        (["my set"], "dataset of features, not of videos: actspan propose --dataset 'my set'$"),
        (["packed"], "dataset of features, not of videos: actspan propose --dataset packed$"),
    ],
)
def test_arguments_that_match_nothing_are_refused(given: list[str], why: str, folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "bad.txt").write_text("a.mp4\nnone.mp4\n")
    (folder / "seg.CSV").touch()
    (folder / "my set" / "features").mkdir(parents=True)
    (folder / "packed").mkdir()
    (folder / "packed" / "store.toml").touch()
    with pytest.raises(VideoError, match=why):
        find_videos(given)


def test_files_of_other_suffixes_are_counted(folder: Path) -> None:
    for name in ("d.dav", "e.DAV", "f", "x/g.insv", "x/.DS_Store"):
        (folder / "day" / name).parent.mkdir(exist_ok=True)
        (folder / "day" / name).touch()
    (note,) = find_videos(["day"]).problems
    assert note.problem == "5 files of other suffixes ignored: .dav (2), none, .txt, .insv"
    assert (note.video, note.file, note.is_error) == ("", "day", False)
    assert "pass the videos among them by name" in note.remedy
    with pytest.raises(
        VideoError, match=r"no videos in .*; 1 file of another suffix ignored: .ins"
    ):
        find_videos(["day/x"])
    assert not find_videos(["day/*.avi", "day/d.dav"]).problems


def test_two_videos_of_one_name(folder: Path) -> None:
    (folder / "day" / "a.mp4").touch()
    found = find_videos(["."])
    (problem, _) = found.problems
    assert problem.is_error
    assert "another video has this name: a.mp4" in problem.problem


def test_a_dataset(folder: Path) -> None:
    (folder / "day").rename(folder / "videos")
    write_annotations(folder, {name: {"duration": 1.0, "annotations": []} for name in "bd"})
    found = find_videos([str(folder)])
    assert list(found.paths) == ["b"]
    assert found.annotations is not None
    assert {p.video: p.is_error for p in found.problems} == {"c": False, "d": True, "": False}


def test_ignored_files_are_named_by_what_they_are(folder: Path) -> None:
    mixed = folder / "mixed"
    mixed.mkdir()
    for name in ("a.mp4", "b.csv", "c.wav", "d.wav", "e.raw"):
        (mixed / name).write_bytes(b"")
    assert [(p.problem, p.remedy) for p in find_videos([str(mixed)]).problems] == [
        ("1 table ignored: .csv", "give tables to a command of their own"),
        ("2 recordings ignored: .wav (2)", "give recordings to a command of their own"),
        (
            "1 file of another suffix ignored: .raw",
            "pass the videos among them by name, or rename them (.mp4)",
        ),
    ]
