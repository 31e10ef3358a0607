"""Instances that pass the end of their video, and times in another unit than seconds."""

from __future__ import annotations

import shlex
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan.config.stages import Unit
from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.data.instances import clipped, late_ends, segment_problems, without_extent
from actspan.data.times import in_seconds, require_seconds, wrong_unit
from actspan.data.videos import Videos, good_segments
from tests.examples import write_annotations


def video(*segments: tuple[float, float], duration: float = 3.5, **facts: object) -> Video:
    labels = tuple(f"label{i}" for i in range(len(segments)))
    return Video("v", duration, segments=list(segments), labels=labels, **facts)  # type: ignore[arg-type]


def test_a_message_says_by_how_much_an_instance_passes_the_end() -> None:
    videos = Videos([video((0, 5), (0, 3.9), (4, 5.9))])
    found = list(segment_problems(videos, Path("a.json")))
    assert [(p.problem, "--clip" in p.remedy) for p in found] == [
        ("segment [0, 5]: ends 1.5 s after the video, which lasts 3.5 s", True),
        ("segment [4, 5.9]: starts 0.5 s after the end of the video, 3.5 s", False),
    ]
    assert late_ends(videos) == (
        "1 instance ends up to 0.4 s after the video, which is within 1 s or 1% of its length"
    )
    several = list(segment_problems(Videos([video((0, 5), (0, 12), (4, 5.9))]), Path("a.json")))
    summary = "; 2 instances pass the end, by up to 8.5 s"
    assert [p.remedy.endswith(summary) for p in several] == [True, True, False]
    assert without_extent(videos).tolist() == [False, False, True]


def test_clipping_keeps_what_lies_in_the_video_and_counts_the_rest() -> None:
    source = video((0, 5), (0, 3.9), (4, 5.9), (-2, 1), (2, 2), (1, 2), (3, 1))
    videos, notes = clipped(Videos([source, Video("w", 9.0)]))
    assert videos[0].segments.tolist() == [[0, 3.5], [0, 3.5], [0, 1], [2, 2], [1, 2], [3, 1]]
    assert videos[0].labels == ("label0", "label1", "label3", "label4", "label5", "label6")
    assert notes == (
        "2 instances cut off at the end of the video, which they exceed by up to 1.5 s",
        "1 instance cut off at the start of the video, up to 2 s",
        "1 instance left out: after the end of the video, or before its start (v)",
    )
    assert late_ends(videos) == ""


def test_what_needs_no_clipping_is_as_it_was() -> None:
    videos = Videos([video((0, 1)), video((7, 900), duration=nan)])
    assert clipped(videos) == (videos, ())
    assert late_ends(videos) == ""


@st.composite
def annotated(draw: st.DrawFn) -> Videos:
    times = st.floats(-50, 150, allow_nan=False)
    pairs = st.lists(st.tuples(times, times), max_size=5)
    lengths = st.one_of(st.just(nan), st.floats(1, 100))
    made = draw(st.lists(st.tuples(pairs, lengths), max_size=5))
    return Videos(
        Video(f"v{i}", length, segments=segments, labels=("x",) * len(segments))
        for i, (segments, length) in enumerate(made)
    )


@given(annotated())
def test_after_clipping_every_instance_with_an_extent_is_good(videos: Videos) -> None:
    done, _ = clipped(videos)
    start, end = done.segments.T
    assert good_segments(done)[start < end].all()
    assert late_ends(done) == ""
    again, notes = clipped(done)
    assert notes == ()
    np.testing.assert_array_equal(again.segments, done.segments)
    was_good = good_segments(videos)
    late = videos.segments[:, 1] > np.repeat(
        np.nan_to_num(videos.durations, nan=1e9), videos.counts
    )
    inside = videos.segments[was_good & ~late].tolist()
    assert all(segment in done.segments.tolist() for segment in inside)


LONG = video((10, 20), (30, 55), duration=60.0)


def in_unit(factor: float, **facts: object) -> Videos:
    segments = [tuple(factor * x for x in pair) for pair in LONG.segments.tolist()]
    return Videos([video(*segments, duration=60.0, **facts)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("factor", "options"),
    [
        pytest.param(1, None, id="seconds"),
        pytest.param(1.5, None, id="a-little-long"),
        pytest.param(25, "--times frames --fps RATE", id="25-fps"),
        pytest.param(30, "--times frames --fps RATE", id="30-fps"),
        pytest.param(60, "--times frames --fps RATE", id="60-fps"),
        pytest.param(1000, "--times milliseconds", id="milliseconds"),
    ],
)
def test_the_unit_of_times_shows_in_the_durations(factor: float, options: str | None) -> None:
    found = wrong_unit(in_unit(factor), np.array([60.0]))
    assert (found and found.options) == options


def test_a_known_frame_rate_needs_no_option() -> None:
    found = wrong_unit(in_unit(25, fps=25.0), np.array([60.0]))
    assert found is not None
    assert found.options == "--times frames"


def test_an_instance_before_the_video_has_no_extent_in_it() -> None:
    videos = Videos([video((-4, -1), (-4, 0), (-4, 1), (4, 5), (1, 2))])
    assert without_extent(videos).tolist() == [True, True, False, True, False]


def test_features_end_a_video_of_unknown_duration() -> None:
    videos = Videos([video((0, 5), (58, 63), (70, 80), duration=nan), video((0, 5), (70, 80))])
    spans = np.array([60.0, 60.0])
    assert good_segments(videos).tolist() == [True, True, True, False, False]
    assert good_segments(videos, spans).tolist() == [True, False, False, False, False]
    found = [p.problem for p in segment_problems(videos, Path("a.json"), spans)]
    assert found[:2] == [
        "segment [58, 63]: ends 3 s after the features, which cover 60 s",
        "segment [70, 80]: starts 10 s after the end of the features, 60 s",
    ]
    assert "after the end of the video, 3.5 s" in found[3]


def test_few_instances_beyond_the_end_are_no_other_unit() -> None:
    videos = Videos([LONG, LONG, video((0, 900), duration=60.0)])
    assert wrong_unit(videos, videos.durations) is None
    unknown = Videos([video((0, 900), duration=nan)])
    assert wrong_unit(unknown, unknown.durations) is None
    assert wrong_unit(Videos(), np.empty(0)) is None


@pytest.mark.parametrize("times", ["frames", "milliseconds"])
@pytest.mark.parametrize("with_durations", [False, True])
def test_times_become_seconds(times: Unit, with_durations: bool) -> None:
    factor = 25 if times == "frames" else 1000
    (given,) = in_unit(factor)
    if with_durations:
        given = video(*given.segments.tolist(), duration=60.0 * factor)
    done, (note,) = in_seconds(Videos([given]), times, 25.0, Path("a.csv"))
    np.testing.assert_allclose(done[0].segments, LONG.segments)
    assert done[0].duration == pytest.approx(60.0)
    assert note.startswith("times and durations" if with_durations else "times were")


def test_the_frame_rate_of_each_video_comes_first() -> None:
    videos = Videos([video((50, 100), fps=50.0), video((50, 100), frames=35, duration=3.5)])
    done, _ = in_seconds(videos, "frames", 25.0, Path("a.csv"))
    np.testing.assert_allclose(done.segments, [[1, 2], [5, 10]])
    with pytest.raises(AnnotationError, match="video 'v' has no frame rate"):
        in_seconds(Videos([video((50, 100))]), "frames", None, Path("a.csv"))


def test_frames_are_whole_numbers() -> None:
    seconds = Videos([video((17.34, 20.5), (1, 4.25), (50, 58.1), duration=60.0)])
    with pytest.raises(AnnotationError, match="are they seconds already"):
        in_seconds(seconds, "frames", 25.0, Path("a.csv"))
    unknown = Videos([replace(v, duration=nan) for v in seconds])
    done, (_, note) = in_seconds(unknown, "frames", 25.0, Path("a.csv"))
    assert note.endswith("frames are whole numbers: are they seconds already?")
    np.testing.assert_allclose(done.segments, seconds.segments / 25)
    beyond, _ = in_seconds(in_unit(24.7), "frames", 24.7, Path("a.csv"))  # cannot be seconds
    np.testing.assert_allclose(beyond.segments, LONG.segments)


@pytest.mark.parametrize(
    ("rate", "instances", "doubted"), [(25.0, 5, True), (10.0, 5, False), (25.0, 4, False)]
)
def test_a_frame_rate_by_which_all_lies_early_is_doubted(
    rate: float, instances: int, doubted: bool
) -> None:
    given = Videos([video((480, 590), duration=60.0)] * instances)  # at 10 frames a second
    _, (_, *doubts) = in_seconds(given, "frames", rate, Path("a.csv"))
    note = "no instance reaches beyond 40 % of its video: is --fps 25 right?"
    assert doubts == [note] * doubted
    unknown = Videos([video((480, 590), duration=nan)] * instances)
    assert len(in_seconds(unknown, "frames", rate, Path("a.csv"))[1]) == 1
    own = Videos([video((480, 590), duration=60.0, fps=30.0)] * instances)
    assert len(in_seconds(own, "frames", rate, Path("a.csv"))[1]) == 1


@pytest.mark.parametrize("name", ["annotations.json", "a b.csv"])
@pytest.mark.parametrize(("fps", "option"), [(None, "RATE"), (12.5, "12.5")])
def test_the_advice_names_the_whole_command_and_keeps_the_original(
    tmp_path: Path, name: str, fps: float | None, option: str
) -> None:
    with pytest.raises(AnnotationError) as caught:
        require_seconds(in_unit(25), tmp_path / name, fps=fps)
    message = str(caught.value)
    new = f"{Path(name).stem}-seconds.json"
    assert message.endswith(f", then use {new} instead of {name}, and keep the original")
    command = shlex.split(message.partition("convert them: ")[2].rpartition(", then")[0])
    places = [str(tmp_path / name), str(tmp_path / new)]
    assert command[:9] == [
        *("actspan", "annotate", "convert", *places, "--times", "frames", "--fps", option)
    ]
    assert ("(RATE: frames a second of the videos)" in message) == (fps is None)
    assert "--force" not in message
    assert "\n" not in message


def test_the_advice_for_a_folder_names_its_annotations(tmp_path: Path) -> None:
    write_annotations(tmp_path, {})
    with pytest.raises(AnnotationError, match=r"annotations\.json: times look like frames"):
        require_seconds(in_unit(25), tmp_path)
