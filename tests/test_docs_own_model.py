"""The commands from videos to a model, clips and corrections, run on pieces of real videos.

Without these, the videos are synthetic.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("torch", reason="needs the extra 'train'")

from actspan import Proposals
from actspan.data.annotations.formats import read_annotations
from actspan.data.result_writers import write_result
from actspan.jobs.clips import cut
from benchmarks.extract import concatenate
from tests.conftest import DATA
from tests.data.annotation_files import task, timeline_region, write_elan, write_label_studio
from tests.pages import blocks, run
from tests.streams.example_videos import steady, write_video

BLOCKS = blocks(
    "start/first-segments.md",
    "start/own-model.md",
    "how-to/segments.md",
    "how-to/correct.md",
    "how-to/live.md",
)
NAMES = ("one", "two", "three")
REAL = DATA / "jhmdb-spliced"
SECONDS = 3.0
Instance = tuple[float, float]


def make_videos(folder: Path) -> dict[str, Instance]:
    """Write short videos; return the instance in each, in seconds."""
    if not REAL.is_dir():
        for name in NAMES:
            write_video(folder / f"{name}.mp4", steady(SECONDS))
        return dict.fromkeys(NAMES, (0.5, 1.5))
    found = {}
    for name, video in zip(NAMES, read_annotations(REAL), strict=False):
        start, end = video.segments[0].tolist()
        begin = max(start - 0.7, 0.0)
        cut(REAL / "videos" / f"{video.id}.mp4", begin, begin + SECONDS, folder / name)
        found[name] = (start - begin, end - begin)
    return found


def make_recording(path: Path) -> None:
    """Write eight seconds of MPEG-TS."""
    if REAL.is_dir():
        concatenate(sorted((REAL / "videos").glob("*.mp4")), 8 / 60, path)
    else:
        write_video(path, steady(8.0), codec="mpeg2video")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the pages were followed up to a model."""
    folder = tmp_path_factory.mktemp("recipe")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("mine/videos").mkdir(parents=True)
        found = make_videos(Path("mine/videos"))
        rows = [f"{name},{start},{end},jump,training" for name, (start, end) in found.items()]
        Path("moments.csv").write_text("\n".join(["video,start,end,label,subset", *rows]))
        run(BLOCKS["table"])
        printed = run(BLOCKS["train"])
        # one of three is held out, and only it is processed
        assert sorted(printed.count(f" {name} ") for name in NAMES) == [0, 0, 3]
        shutil.copytree("mine/videos", "new")
        shutil.copy("mine/videos/one.mp4", "match.mp4")
        make_recording(Path("recording.ts"))
    return folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


def test_every_block_is_run() -> None:
    chained = ["label-free", "table", "train", "propose", "answers", "labels", "look"]
    chained.append("follow")
    handed = ["hand-out", "take-back", "hand-out-labelstudio", "hand-out-others"]
    handed.append("hand-out-editors")
    assert sorted(BLOCKS) == sorted([*chained, *handed, "elan", "labelstudio"])


def test_without_a_model(here: Path) -> None:
    run(BLOCKS["label-free"])
    assert "label-free" in Path("first.html").read_text()
    assert len(list(Path("first-clips").iterdir())) == 3 * 3


def test_a_table_of_segments(here: Path) -> None:
    assert run(BLOCKS["propose"]).count(" match ") == 10


def test_files_and_clips(here: Path) -> None:
    run(BLOCKS["answers"])
    assert Path("best.csv").read_text().count("\n") == 1 + 3 * 20
    assert len(list(Path("best").iterdir())) == 3 * 3


def test_labels(here: Path) -> None:
    table = run(BLOCKS["labels"])
    assert table.count(" jump") >= 3 * 3
    clips = [path.stem for path in Path("labelled").iterdir()]
    assert len(clips) == 3 * 3
    assert all(name.endswith("_jump") for name in clips)


def test_look(here: Path) -> None:
    run(BLOCKS["look"])
    assert Path("report.html").stat().st_size > 10_000


def test_follow(here: Path) -> None:
    *moments, final = run(BLOCKS["follow"]).splitlines()
    assert moments
    assert final.startswith('{"final"')
    assert Path("result.json").is_file()


def test_proposals_are_corrected_and_trained_on(here: Path) -> None:
    shutil.copytree("new", "next/videos")
    run(BLOCKS["hand-out"])
    for file in Path("next/sessions").iterdir():  # what a person would do
        file.write_text(file.read_text().replace(">action<", ">jump<"))
    run(BLOCKS["take-back"])
    videos = read_annotations("next").videos
    assert {video.id for video in videos} == set(NAMES)
    assert {label for video in videos for label in video.labels} == {"jump"}
    assert all(len(video.segments) == 10 for video in videos)
    assert Path("better/model.toml").is_file()


def test_proposals_for_other_tools(here: Path) -> None:
    write_result("found.json", dict.fromkeys(NAMES, Proposals([0.5], [1.5], [0.75])))
    run(BLOCKS["hand-out-labelstudio"])
    run(BLOCKS["hand-out-others"])
    assert {file.name for file in Path("captions").iterdir()} == {f"{name}.vtt" for name in NAMES}
    shutil.copytree("new", "next/videos", dirs_exist_ok=True)
    run(BLOCKS["hand-out-editors"])
    assert {file.name for file in Path("cuts").iterdir()} == {f"{name}.edl" for name in NAMES}
    assert all(Path(f"next/videos/{name}-proj.llc").is_file() for name in NAMES)


@pytest.mark.parametrize("tool", ["elan", "labelstudio"])
def test_labels_from_tools(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("sessions").mkdir()
    for name in NAMES:
        write_elan(Path(f"sessions/{name}.eaf"), {"a": [(0.5, 1.5, "jump")]}, media=f"{name}.mp4")
    regions = [timeline_region(13, 37, "jump")]
    write_label_studio(Path("export.json"), [task(f"{name}.mp4", *regions) for name in NAMES])
    run(BLOCKS[tool])
    videos = read_annotations("mine").videos
    assert {video.id for video in videos} == set(NAMES)
    assert {video.subset for video in videos} == {"training"}
    for video in videos:
        assert video.segments.ravel() == pytest.approx([0.5, 1.5], abs=0.04)
