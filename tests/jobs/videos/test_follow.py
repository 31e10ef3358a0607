"""Moments of a video while it is recorded: soon, bounded, and in the end the same."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from actspan import Bundle, PipelineConfig, Proposals, SoftNmsConfig, TemConfig
from actspan.core.errors import BundleError, VideoError
from actspan.core.types import BoundaryScores
from actspan.data.recording import Window, plan_windows
from actspan.jobs.video_inference.answers import Selection, VideoMoments
from actspan.jobs.video_inference.follow import MARGIN, FollowRequest, News, Newsroom, follow_video
from actspan.jobs.video_inference.job import VideosRequest, propose_videos
from actspan.jobs.video_inference.stream import GrowingVideo
from actspan.pipeline.outcomes import Outcome
from tests.jobs.videos.conftest import LENGTH, STRIDE, Mode
from tests.streams.made_videos import level, steady, write_video

SECONDS = 13.0
WINDOW = LENGTH * STRIDE
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


def recording(folder: Path, kind: str) -> Path:
    """A film in a container that can be read from front to back."""
    path = folder / f"film.{kind}"
    with av.open(str(path), "w", options=FRAGMENTED if kind == "mp4" else {}) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "25"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number in range(round(25 * SECONDS)):
            pixels = np.full((48, 64, 3), level(number * 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def feed(source: Path, write: Callable[[bytes], object], seconds: float) -> threading.Thread:
    """Write a file in small pieces, from a thread."""
    data = source.read_bytes()
    size = len(data) // 40 + 1

    def run() -> None:
        for begin in range(0, len(data), size):
            write(data[begin : begin + size])
            time.sleep(seconds / 40)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def offline(path: Path, model: Bundle, encoder: str, selection: Selection) -> Proposals:
    request = VideosRequest(model.path, (str(path),), selection=selection, backbone=encoder)
    return propose_videos(request).videos[0].proposals


def check_same(given: list[News | VideoMoments], expected: Proposals) -> None:
    final = given[-1]
    assert isinstance(final, VideoMoments)
    assert final.seconds == pytest.approx(SECONDS, abs=0.1)
    for name in ("start", "end", "score"):
        np.testing.assert_array_equal(getattr(final.proposals, name), getattr(expected, name))


@pytest.mark.parametrize("kind", ["ts", "mkv", "mp4"])
def test_a_pipe_ends_with_the_offline_answer(
    kind: str, model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    path, pipe = recording(tmp_path, kind), tmp_path / "pipe"
    os.mkfifo(pipe)
    request = FollowRequest(model("window").path, Selection(min_score=0.2), encoder)
    over = threading.Event()

    def open_and_feed() -> None:
        with pipe.open("wb", buffering=0) as stream:
            feed(path, stream.write, 1.0).join()
            over.set()

    writer = threading.Thread(target=open_and_feed)
    writer.start()
    with GrowingVideo(str(pipe), idle=0.0) as stream:
        items = follow_video(request, stream)
        given = [next(items)]
        assert not over.is_set(), "nothing was told before the video was over"
        given += items
    writer.join()
    check_same(given, offline(path, model("window"), encoder, Selection(min_score=0.2)))
    assert [item.seconds for item in given[:3]] == pytest.approx([4.0, 6.0, 8.0])


@pytest.mark.parametrize("kind", ["ts", "mp4"])
def test_a_growing_file_ends_with_the_offline_answer(
    kind: str, model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    path, growing = recording(tmp_path, kind), tmp_path / f"growing.{kind}"
    with growing.open("wb", buffering=0) as stream:
        writer = feed(path, stream.write, 1.0)
        request = FollowRequest(model("window").path, backbone=encoder)
        with GrowingVideo(str(growing), idle=0.5) as source:
            given = list(follow_video(request, source))
        writer.join()
    check_same(given, offline(path, model("window"), encoder, Selection()))
    assert given[-1].id == "growing"  # type: ignore[union-attr]


def test_it_can_be_stopped(model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path) -> None:
    """Without an end in sight: what was recorded so far is answered."""
    path = recording(tmp_path, "ts")
    with GrowingVideo(str(path), idle=3600.0) as stream:
        items = follow_video(FollowRequest(model("window").path, backbone=encoder), stream)
        given = [next(items)]
        threading.Timer(0.3, stream.stop).start()
        given += items
    check_same(given, offline(path, model("window"), encoder, Selection()))


def test_models_of_whole_videos_are_refused(
    model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    path = recording(tmp_path, "ts")
    with GrowingVideo(str(path), idle=0.0) as stream:
        request = FollowRequest(model("rescale").path, backbone=encoder)
        with pytest.raises(BundleError, match=r"mode rescale.*actspan train --mode window"):
            next(follow_video(request, stream))


def test_what_cannot_be_followed_is_refused(
    model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    with pytest.raises(VideoError, match="cannot be read: No such file"):
        GrowingVideo(str(tmp_path / "none.ts"), idle=0.0)
    path = write_video(tmp_path / "late.mp4", steady(1.0))
    request = FollowRequest(model("window").path, backbone=encoder)
    with (
        GrowingVideo(str(path), idle=0.0) as stream,
        pytest.raises(VideoError, match="whose index is written at its end"),
    ):
        next(follow_video(request, stream))


def test_a_stream_without_pictures_is_refused(
    model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    (tmp_path / "noise.ts").write_bytes(bytes(1000))
    with GrowingVideo(str(tmp_path / "noise.ts"), idle=0.0) as stream:
        request = FollowRequest(model("window").path, backbone=encoder)
        with pytest.raises(VideoError, match=r"noise\.ts: not a video"):
            next(follow_video(request, stream))


def outcomes(snippets: int) -> Iterator[Outcome]:
    """Windows in which each segment of two snippets that begins at a multiple of 3 is found."""
    for window in plan_windows(snippets, LENGTH):
        begins = np.arange(window.first + (-window.first) % 3, window.last - 2, 3) - window.first
        start, end = (begins + 0.5) / LENGTH, (begins + 2.5) / LENGTH
        ones = np.ones(len(begins))
        found = Proposals(start, end, ones, ones, ones)
        scores = BoundaryScores(*np.ones((3, LENGTH)))
        confidence = np.linspace(0.5, 0.9, len(begins), dtype=np.float32)
        yield Outcome("v", LENGTH * STRIDE, scores, found, confidence, None, window)


def test_every_moment_is_told_once_and_in_time() -> None:
    config = PipelineConfig(
        mode="window", tem=TemConfig(length=LENGTH), soft_nms=SoftNmsConfig(picks=999, keep=999)
    )
    newsroom, told, snippets = Newsroom(config, Selection()), [], 96
    for outcome in outcomes(snippets):
        news = newsroom.of(outcome)
        assert news.seconds == pytest.approx(Window.offset(outcome.window, WINDOW) + WINDOW)
        told += [(end, news.seconds) for end in news.proposals.end.tolist()]
    ends = sorted({round(end, 6) for end, _ in told})
    assert ends == pytest.approx([(k + 2.5) * STRIDE for k in range(0, snippets - 2, 3)])
    for end, seconds in told:
        assert seconds - end <= (0.5 + MARGIN) * WINDOW or seconds == pytest.approx(WINDOW)
