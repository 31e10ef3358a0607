"""The kind of stream in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from actspan.core.errors import ConfigError, VideoError
from actspan.streams.stream_kinds import find_kind, kind_of
from actspan.streams.video_lists import find_videos


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text("scorer,a\n" if "dlc" in name else "t,a\n")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.CSV", "sensors"),
        ("a-dlc.csv", "pose"),
        ("a.tsv", "sensors"),
        ("a.parquet", "sensors"),
        ("a.h5", "pose"),
        ("a.Wav", "audio"),
        ("a.mkv", "video"),
        ("a.txt", None),
        ("a", None),
    ],
)
def test_a_file(name: str, kind: str | None, tmp_path: Path) -> None:
    touch(tmp_path, name)
    assert kind_of(tmp_path / name) == kind


@pytest.mark.parametrize(
    ("given", "kind", "ids"),
    [
        (["walks"], "sensors", ["a", "b"]),
        (["walks/*.csv"], "sensors", ["a"]),
        (["@list.txt"], "sensors", ["b"]),
        (["poses"], "pose", ["m-dlc", "n"]),
        (["birds"], "audio", ["c"]),
        (["videos-and-more"], "video", ["v"]),
        (["set"], "sensors", ["x"]),
        (["unknown.dat"], "video", ["unknown"]),
    ],
)
def test_arguments(
    given: list[str], kind: str, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "walks/a.csv", "walks/day/b.parquet", "walks/p-dlc.csv.txt", "unknown.dat")
    touch(tmp_path, "poses/m-dlc.csv", "poses/n.h5", "birds/c.flac", "set/recordings/x.csv")
    touch(tmp_path, "videos-and-more/v.mp4", "videos-and-more/v.csv", "videos-and-more/v.wav")
    (tmp_path / "list.txt").write_text("# mine\nwalks/day/b.parquet\n")
    monkeypatch.chdir(tmp_path)
    found = find_kind(given)
    assert found == kind
    assert sorted(find_videos(given, found).paths) == ids


def test_several_kinds_need_a_choice(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv", "b.wav")
    with pytest.raises(ConfigError, match="several kinds: audio, sensors; choose one with --kind"):
        find_kind([str(tmp_path)])
    (note,) = find_videos([str(tmp_path)], "audio").problems
    assert (note.problem, note.remedy) == (
        "1 table ignored: .csv",
        "give tables to a command of their own",
    )


def test_sound_of_videos(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mkv")
    assert sorted(find_videos([str(tmp_path)], "audio").paths) == ["a", "b"]
    touch(tmp_path, "c.wav")
    assert sorted(find_videos([str(tmp_path)], "audio").paths) == ["c"]


def test_nothing_found_names_the_kind(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt")
    with pytest.raises(
        VideoError, match=r"no tables .*; read are tables \(\.csv, .*ignored: \.txt"
    ):
        find_videos([str(tmp_path)], "sensors")


def test_features_are_not_recordings(tmp_path: Path) -> None:
    touch(tmp_path, "set/features/a.csv", "set/annotations.csv", "run/run.toml", "run/a.csv")
    for name, why in {
        "set": "this is a dataset of features, not of tables",
        "run": "a run",
    }.items():
        kind = find_kind([str(tmp_path / name)])
        assert kind == "sensors"
        with pytest.raises(VideoError, match=why):
            find_videos([str(tmp_path / name)], kind)


def test_the_sound_of_a_dataset_of_videos(tmp_path: Path) -> None:
    touch(tmp_path, "videos/a.mp4")
    assert list(find_videos([str(tmp_path)], "audio").paths) == ["a"]
