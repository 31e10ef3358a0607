"""Frames of the worst videos: the right ones, from the right files, and what is missing."""

from __future__ import annotations

import io
import re
import shutil
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av", reason="needs the extra 'video'")

import av

from actspan import Proposals, Video
from actspan.core.errors import DataError
from actspan.data.result_writers import write_result
from actspan.jobs.run import RUN_FILE, Run
from actspan.jobs.sinks import write_info
from actspan.report.contents import Contents, GroundTruth, gather
from actspan.report.frames import Frame, read_frames
from actspan.report.page import PageOptions, write_report
from actspan.report.video_list import list_videos
from tests.report.runs import write_synthetic_run, write_truth
from tests.streams.example_videos import level, steady, write_video

FPS = 10.0


def two_instances(name: str) -> Video:
    return Video(name, 8.0, "validation", [[1.0, 3.0], [4.0, 7.0]], ("jump", "throw"))


VIDEOS = [two_instances(f"v{i}") for i in range(8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return videos, annotations, and a result that finds fewer instances in the first videos."""
    folder = tmp_path_factory.mktemp("frames")
    write_truth(folder / "set", VIDEOS)
    (folder / "videos").mkdir()
    for video in VIDEOS:
        write_video(folder / "videos" / f"{video.id}.mkv", steady(8.0, FPS))
    found = {
        video.id: Proposals([1.0, 4.0], [3.0 - shift, 7.0], [0.9, 0.8], unit="seconds")
        for video, shift in zip(VIDEOS, np.linspace(1.9, 0, 8), strict=True)
    }
    write_result(folder / "result.json", found)
    return folder


def contents_of(folder: Path) -> Contents:
    return gather([folder / "result.json"], GroundTruth(folder / "set"))


def mean_of(frame: Frame) -> float:
    """Decode a picture, and return its mean brightness."""
    kind, _, content = frame.address.partition(",")
    assert kind == "data:image/jpeg;base64"
    with av.open(io.BytesIO(b64decode(content))) as container:
        return float(next(container.decode(video=0)).to_ndarray(format="gray").mean())


def test_frames_are_those_of_the_least_matched_instances(folder: Path) -> None:
    contents = contents_of(folder)
    listing = list_videos(contents)
    frames = read_frames(contents, listing, folder / "videos")
    assert [listing.videos[v].id for v in frames.rows] == ["v0", "v1", "v2"]
    first = frames.rows[0]
    assert [row.name for row in first] == [
        *("instance jump", "proposal 1, tIoU 0.05"),
        *("instance throw", "proposal 2, tIoU 1.00"),
    ]
    assert [row.is_hit for row in first] == [False, False, True, True]
    assert [frame.place for frame in first[0].frames] == ["start", "middle", "end"]
    assert [frame.time for frame in first[0].frames] == pytest.approx([1.0, 2.0, 3.0], abs=0.05)
    for frame in first[2].frames:
        brightness = 0.75 * level(round(frame.time * FPS)) + 0.25 * 250  # with a bright band
        assert mean_of(frame) == pytest.approx(brightness, abs=3)  # frames differ by 3
    assert frames.notes == ()


def test_a_missing_and_a_damaged_video_are_noted(folder: Path, tmp_path: Path) -> None:
    videos = shutil.copytree(folder / "videos", tmp_path / "videos")
    (videos / "v0.mkv").unlink()
    (videos / "v1.mkv").write_bytes(b"no video")
    contents = contents_of(folder)
    frames = read_frames(contents, list_videos(contents), videos)
    assert list(frames.rows) == [2]
    assert frames.notes[0] == "no frames of 1 of 3 videos: v0 not found in videos."
    assert "v1.mkv" in frames.notes[1]
    assert str(tmp_path) not in "".join(frames.notes)  # the page may be given to others
    for path in videos.glob("v*.mkv"):
        path.rename(path.with_name(f"other-{path.name}"))
    with pytest.raises(DataError, match="pass --videos"):
        read_frames(contents, list_videos(contents), videos)


def test_a_run_knows_its_videos(folder: Path, tmp_path: Path) -> None:
    run = write_synthetic_run(tmp_path / "run", VIDEOS)
    files = {video.id: str(folder / "videos" / f"{video.id}.mkv") for video in VIDEOS[:-1]}
    write_info(run, {**Run.load(run).info, "dataset": {"files": files}})
    assert (run / RUN_FILE).is_file()
    contents = gather([run])
    frames = read_frames(contents, list_videos(contents))  # the first ones, as there is no worst
    assert list(frames.rows) == [0, 1, 2]
    assert {row.is_hit for rows in frames.rows.values() for row in rows} == {None}
    assert all(row.name.startswith("proposal") for rows in frames.rows.values() for row in rows)


def test_pictures_are_in_the_page(folder: Path, tmp_path: Path) -> None:
    options = PageOptions(frames=True, videos=folder / "videos", viewer="http://127.0.0.1:8000/")
    truth = GroundTruth(folder / "set")
    written = write_report(
        [folder / "result.json"], tmp_path / "r.html", truth=truth, options=options
    )
    page = written.path.read_text()
    sources = re.findall(r'<img src="([^"]*)" alt="([^"]+)"', page)
    assert len(sources) == 3 * 4 * 3
    assert all(address.startswith("data:image/jpeg;base64,") for address, _ in sources)
    assert "img-src data:;" in page
    assert 'href="http://127.0.0.1:8000/#id=v0&amp;t=1.00"' in page
    assert written.size < 1_000_000


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_a_browser_shows_the_pictures(
    browser: Any, folder: Path, tmp_path: Path, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe (dev)")
    options = PageOptions(["2"], frames=True, videos=folder / "videos", viewer="http://localhost/")
    truth, out = GroundTruth(folder / "set"), tmp_path / "r.html"
    write_report([folder / "result.json"], out, truth=truth, options=options)
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.goto(out.as_uri())
    widths = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert len(widths) == 12
    assert min(widths) > 0  # decoded, and allowed by the policy
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert complaints == []
    page.close()
