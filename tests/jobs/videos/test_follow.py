"""Segments of a video that is being recorded: reported soon, and with the same proposals."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from actspan import Bundle, PipelineConfig, Proposals, SoftNmsConfig, TemConfig
from actspan.core.errors import BundleError, VideoError
from actspan.core.types import BoundaryScores
from actspan.data.cells import Window, plan_windows
from actspan.jobs.driver import propose
from actspan.jobs.live import MARGIN, GrowingVideo, NewSegments
from actspan.jobs.propose_request import ProposeRequest, Selection
from actspan.jobs.sinks import SegmentList
from actspan.pipeline.outcomes import Outcome
from tests.jobs.videos.conftest import LENGTH, STRIDE, Mode
from tests.runs import found_in
from tests.streams.example_videos import level, steady, write_video

SECONDS = 13.0
WINDOW = LENGTH * STRIDE
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


def recording(folder: Path, kind: str) -> Path:
    """Return a film in a container that can be read from front to back."""
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
    request = ProposeRequest(model.path, videos=(str(path),), selection=selection, backbone=encoder)
    (found,) = found_in(request)[1].values()
    return found


class Followed:
    """A live video that is processed in a thread: what was reported, and the answer."""

    def __init__(self, stream: GrowingVideo, model: Bundle, encoder: str, **settings: Any) -> None:
        self.request = ProposeRequest(model.path, live=stream, backbone=encoder, **settings)
        self.seconds: list[float] = []
        self.labels: list[str] = []
        self.first, self.over, self.early = threading.Event(), threading.Event(), False
        self.segments = SegmentList()

    def report(self, seconds: float, proposals: Proposals, labels: Sequence[str] | None) -> None:
        self.seconds.append(seconds)
        self.labels += labels or []
        self.early |= not self.over.is_set()
        self.first.set()

    def run(self) -> Followed:
        sinks = [NewSegments(self.request.selection, self.report), self.segments]
        self.summary = propose(self.request, sinks=sinks)
        return self

    def check(self, expected: Proposals) -> None:
        assert self.summary.video_seconds == pytest.approx(SECONDS, abs=0.1)
        (found,) = self.segments.proposals.values()
        for name in ("start", "end", "score"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("kind", ["ts", "mkv", "mp4"])
def test_a_pipe_gives_the_proposals_of_the_complete_video(
    kind: str, model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    path, pipe = recording(tmp_path, kind), tmp_path / "pipe"
    os.mkfifo(pipe)
    over = threading.Event()

    def open_and_feed() -> None:
        with pipe.open("wb", buffering=0) as stream:
            feed(path, stream.write, 2.0).join()
            over.set()

    writer = threading.Thread(target=open_and_feed)
    writer.start()
    selection = Selection(min_score=0.2)
    with GrowingVideo(str(pipe), idle=0.0) as stream:
        followed = Followed(stream, model("window"), encoder, selection=selection)
        followed.over = over
        followed.run()
    writer.join()
    assert followed.early, "nothing was reported before the video was over"
    followed.check(offline(path, model("window"), encoder, selection))
    assert followed.seconds[:3] == pytest.approx([4.0, 6.0, 8.0])


@pytest.mark.parametrize("kind", ["ts", "mp4"])
def test_a_growing_file_gives_the_proposals_of_the_complete_video(
    kind: str, model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    path, growing = recording(tmp_path, kind), tmp_path / f"growing.{kind}"
    with growing.open("wb", buffering=0) as stream:
        writer = feed(path, stream.write, 1.0)
        with GrowingVideo(str(growing), idle=0.5) as source:
            followed = Followed(source, model("window"), encoder).run()
        writer.join()
    followed.check(offline(path, model("window"), encoder, Selection()))
    assert list(followed.segments.proposals) == ["growing"]


def test_a_live_video_can_be_stopped(
    model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    # Without an end in sight: what was recorded so far is answered.
    path = recording(tmp_path, "ts")
    with GrowingVideo(str(path), idle=3600.0) as stream:
        followed = Followed(stream, model("window"), encoder)

        def stop() -> None:
            followed.first.wait()
            time.sleep(0.3)
            stream.stop()

        threading.Thread(target=stop).start()
        followed.run()
    followed.check(offline(path, model("window"), encoder, Selection()))


def test_models_of_whole_videos_are_refused(
    model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    path = recording(tmp_path, "ts")
    with (
        GrowingVideo(str(path), idle=0.0) as stream,
        pytest.raises(BundleError, match=r"mode rescale.*actspan train --mode window"),
    ):
        Followed(stream, model("rescale"), encoder).run()


def test_inputs_that_cannot_be_followed_are_refused(
    model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    with pytest.raises(VideoError, match="cannot be read: No such file"):
        GrowingVideo(str(tmp_path / "none.ts"), idle=0.0)
    path = write_video(tmp_path / "late.mp4", steady(1.0))
    with (
        GrowingVideo(str(path), idle=0.0) as stream,
        pytest.raises(VideoError, match="whose index is written at its end"),
    ):
        Followed(stream, model("window"), encoder).run()


def test_a_stream_without_pictures_is_refused(
    model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    (tmp_path / "noise.ts").write_bytes(bytes(1000))
    with (
        GrowingVideo(str(tmp_path / "noise.ts"), idle=0.0) as stream,
        pytest.raises(VideoError, match=r"noise\.ts: not a video"),
    ):
        Followed(stream, model("window"), encoder).run()


def outcomes(snippets: int) -> Iterator[Outcome]:
    """Yield windows that find each segment of two snippets that starts at a multiple of 3."""
    for window in plan_windows(snippets, LENGTH):
        begins = np.arange(window.first + (-window.first) % 3, window.last - 2, 3) - window.first
        start, end = (begins + 0.5) / LENGTH, (begins + 2.5) / LENGTH
        ones = np.ones(len(begins))
        found = Proposals(start, end, ones, ones, ones, unit="fraction")
        scores = BoundaryScores(*np.ones((3, LENGTH)))
        confidence = np.linspace(0.5, 0.9, len(begins), dtype=np.float32)
        yield Outcome("v", LENGTH * STRIDE, scores, found, confidence, None, window)


def test_every_segment_is_reported_once_and_in_time() -> None:
    config = PipelineConfig(
        mode="window", tem=TemConfig(length=LENGTH), soft_nms=SoftNmsConfig(picks=999, keep=999)
    )
    reports: list[tuple[float, Proposals]] = []
    sink, snippets = NewSegments(Selection(), lambda *report: reports.append(report[:2])), 96
    sink._config = config
    for outcome in outcomes(snippets):
        sink.add(outcome)
        assert reports[-1][0] == pytest.approx(Window.offset(outcome.window, WINDOW) + WINDOW)
    reported = [(end, seconds) for seconds, found in reports for end in found.end.tolist()]
    ends = sorted({round(end, 6) for end, _ in reported})
    assert ends == pytest.approx([(k + 2.5) * STRIDE for k in range(0, snippets - 2, 3)])
    for end, seconds in reported:
        assert seconds - end <= (0.5 + MARGIN) * WINDOW or seconds == pytest.approx(WINDOW)
