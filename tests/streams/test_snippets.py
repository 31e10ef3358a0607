"""The frames of each snippet, and the features from their vectors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan.config.stages import FeatureSpec
from actspan.core.errors import ConfigError
from actspan.streams.extract_request import Grid, Span
from actspan.streams.snippets import Sampling, SnippetBuilder, SnippetSampler, pool_frames
from actspan.streams.video_decoding import Frame


def sampled(times: Iterable[float], end: float, sampling: Sampling) -> list[tuple[float, ...]]:
    """Return the times of the frames of each snippet."""
    sampler: SnippetSampler[float] = SnippetSampler(sampling, lambda frame: frame.time)
    found = [s for time in times for s in sampler.feed(Frame(time, None))]
    found += sampler.finish(end)
    return [tuple(picture.content for picture in snippet) for snippet in found]


def test_samples_are_what_a_player_shows() -> None:
    times = [k / 10 for k in range(10)]
    found = sampled(times, 1.0, Sampling(0.5, 0.5, 2))  # at 0.125, 0.375, 0.625, 0.875
    assert found == [(0.1, 0.3), (0.6, 0.8)]


def test_long_snippets_share_pictures_with_their_neighbours() -> None:
    sampler: SnippetSampler[float] = SnippetSampler(Sampling(0.2, 0.4, 4), lambda f: f.time)
    snippets = [s for k in range(20) for s in sampler.feed(Frame(k * 0.05, None))]
    numbers = [[picture.number for picture in snippet] for snippet in snippets]
    assert numbers[1][2:] == numbers[2][:2]


def test_a_long_still_fills_many_snippets() -> None:
    found = sampled([0.0, 0.1, 5.0], 5.1, Sampling(0.5, 0.5, 2))
    assert found[1:9] == [(0.1, 0.1)] * 8


def test_before_the_first_frame_it_is_the_first() -> None:
    assert sampled([1.0, 1.1], 1.2, Sampling(0.5, 0.5, 1)) == [(1.0,), (1.0,)]


def test_a_video_shorter_than_a_snippet_is_one() -> None:
    assert sampled([0.0], 0.04, Sampling(0.5, 1.0, 2)) == [(0.0, 0.0)]


@given(
    steps=st.lists(st.floats(0.01, 0.7), min_size=1, max_size=40),
    stride=st.sampled_from([0.1, 0.25, 0.5]),
    ratio=st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.3]),
    frames=st.integers(1, 5),
)
def test_any_video_equals_a_plain_implementation(
    steps: list[float], stride: float, ratio: float, frames: int
) -> None:
    times = np.cumsum(steps)
    sampling, end = Sampling(stride, ratio * stride, frames), float(times[-1]) + 0.04
    plain = []
    for i in range(sampling.count(end)):
        at = [sampling.time(i, j) for j in range(frames)]
        shown = np.maximum(np.searchsorted(times, at, side="left") - 1, 0)
        plain.append(tuple(times[shown].tolist()))
    assert sampled(times.tolist(), end, sampling) == plain


@pytest.mark.parametrize(
    ("seconds", "count"), [(0.1, 1), (1.0, 4), (1.1, 4), (1.13, 5), (1.2, 5), (3600.0, 14400)]
)
def test_snippets_cover_the_video_to_half_a_stride(seconds: float, count: int) -> None:
    assert Sampling(0.25, 0.5, 4).count(seconds) == count


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [("0.25s", 0.25, "s"), ("8f", 8, "f"), (".5 s", 0.5, "s"), ("250ms", 0.25, "s")],
)
def test_spans_are_read(text: str, value: float, unit: str) -> None:
    assert Span.parse(text) == (value, unit)


@pytest.mark.parametrize("text", ["0s", "-1s", "0ms", "0.0f"])
def test_a_length_of_time_is_more_than_0(text: str) -> None:
    with pytest.raises(ConfigError, match="must be more than 0, not"):
        Span.parse(text)


@pytest.mark.parametrize("text", ["", "8", "1h", "1e3s", "nan s"])
def test_other_spans_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a length of time"):
        Span.parse(text)


def test_grids_go_to_settings_and_back() -> None:
    grid = Grid(Span(8.0, "f"), Span(16.0, "f"))
    assert Grid.of(FeatureSpec(**grid.settings())) == grid
    assert Sampling.of(grid, 25, 4) == Sampling(0.32, 0.64, 4)
    with pytest.raises(ConfigError, match="both in seconds"):
        Grid(Span(8.0, "f"), Span(1.0, "s"))


def test_two_streams() -> None:
    vectors = np.array([[1.0, 2.0], [3.0, 2.0]], dtype=np.float32)
    np.testing.assert_allclose(pool_frames(vectors, "appearance"), [2, 2])
    np.testing.assert_allclose(pool_frames(vectors, "motion"), [1, 0])
    np.testing.assert_allclose(pool_frames(vectors, "both"), [2, 2, 1, 0])


@pytest.mark.parametrize("size", [1, 3, 100])
def test_snippets_do_not_depend_on_batches(size: int) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20, 3)).astype(np.float32)
    snippets = [(k, k + 1, k + 3) for k in range(0, 17, 2)]
    builder, rows = SnippetBuilder("both", 3), []
    for begin in range(0, 20, size):
        end = begin + size
        ready = [s for s in snippets if begin <= s[-1] < end]
        rows.append(builder.make(vectors[begin:end], ready))
    plain = [pool_frames(vectors[list(s)], "both") for s in snippets]
    np.testing.assert_allclose(np.concatenate(rows), plain)
