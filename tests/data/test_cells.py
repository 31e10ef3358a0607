from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Features, Video, rescale_features
from actspan.config.stages import FeatureSpec
from actspan.core.errors import ConfigError, ShapeError
from actspan.data.cells import (
    fit_to_cells,
    pad_window,
    plan_windows,
    rescale_features_plain,
    stitch,
)
from actspan.data.timebase import snippet_grid

ON_A_BORDER = (2, 5, 10, 25, 50)  # snippets whose outer centres lie on borders of 100 cells


def test_equals_the_published_rescaling(golden: Path) -> None:
    with np.load(golden / "rescale.npz") as archive:
        for name in archive.files:
            if name.startswith("in_"):
                ours = rescale_features(archive[name], 100, stride=16 / 30, edge="zero")
                expected = archive[name.replace("in_", "out_")]
                np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)


def published_rescaling(
    values: np.ndarray, frames: int, seconds: float, T: int = 100
) -> np.ndarray:
    """Rescale features of 16 frames a snippet, in the published float operations one by one."""
    n = len(values)
    corrected_second = float(16 * n) / frames * seconds
    step = 16 / (float(frames) / seconds)
    centres = [step / 2 + i * step for i in range(n)]
    cells = []
    for t in range(T):
        low = max(centres[0] + 0.0001, 1.0 / T * t * corrected_second)
        high = min(centres[-1] - 0.0001, 1.0 / T * (t + 1) * corrected_second)
        if high < centres[0] or low > centres[-1]:
            cells.append(np.zeros(values.shape[1]))
            continue
        points = [low + (high - low) / 2 * k for k in range(3)]
        columns = [np.interp(points, centres, column).mean() for column in values.T]
        cells.append(np.array(columns))
    return np.array(cells)


def in_the_authors_layout(values: np.ndarray, frames: int, seconds: float) -> Features:
    video = Video("a", seconds, frames=frames, feature_frames=16 * len(values))
    return Features(values, *snippet_grid(video, FeatureSpec(), len(values)))


def assert_as_published(n: int, frames: int, seconds: float) -> None:
    values = np.random.default_rng(n).uniform(1, 2, (n, 2)).astype(np.float32)
    ours = fit_to_cells(in_the_authors_layout(values, frames, seconds), 100, "zero")
    expected = published_rescaling(values, frames, seconds)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6, err_msg=f"{n=} {frames=}")


@given(
    n=st.sampled_from(ON_A_BORDER),
    more=st.integers(0, 15),
    fps=st.sampled_from([24.0, 25.0, 29.97, 30.0]),
    wobble=st.floats(0.9, 1.1),
)
def test_cells_whose_border_meets_an_outer_centre_are_as_published(
    n: int, more: int, fps: float, wobble: float
) -> None:
    frames = 16 * n + more
    assert_as_published(n, frames, frames / fps * wobble)


def test_short_videos_of_activitynet_are_rescaled_as_published(data: Path) -> None:
    file = data / "activitynet" / "anet_anno_action.json"
    videos = json.loads(file.read_bytes()).values()
    on_a_border = [v for v in videos if v["feature_frame"] // 16 in ON_A_BORDER]
    assert len(on_a_border) == 160
    for video in on_a_border:
        n = video["feature_frame"] // 16
        assert_as_published(n, video["duration_frame"], video["duration_second"])


def test_a_part_of_a_video_covers_its_own_snippets() -> None:
    whole = in_the_authors_layout(np.ones((10, 2)), 170, 7.3)
    assert whole.span == 160 / 170 * 7.3
    assert whole.rows(0, 10).span == whole.span
    assert whole.rows(2, 5).span == 3 * whole.stride


@given(
    n=st.integers(1, 130),
    length=st.integers(1, 110),
    stride=st.floats(0.01, 5),
    edge=st.sampled_from(["clamp", "zero"]),
)
def test_kernel_equals_its_plain_twin(n: int, length: int, stride: float, edge: str) -> None:
    values = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
    kernel = rescale_features(values, length, stride=stride, edge=edge)  # type: ignore[arg-type]
    plain = rescale_features_plain(values, length, stride=stride, edge=edge)  # type: ignore[arg-type]
    assert kernel.dtype == np.float32
    np.testing.assert_allclose(kernel, plain, atol=1e-6)


@given(n=st.integers(1, 60), length=st.integers(1, 110))
def test_clamping_keeps_a_constant_constant(n: int, length: int) -> None:
    np.testing.assert_allclose(rescale_features(np.ones((n, 2)), length), 1.0, atol=1e-6)


def test_short_videos_get_zero_cells_only_as_published() -> None:
    values = np.ones((5, 1))
    assert (rescale_features(values, edge="zero") == 0).sum() == 18
    assert (rescale_features(values) == 0).sum() == 0
    edges = rescale_features(np.arange(5.0)[:, None])
    assert edges[0, 0] == 0.0
    assert edges[-1, 0] == 4.0


def test_one_snippet_is_repeated() -> None:
    assert (rescale_features([[3.0, 4.0]], 7) == [3.0, 4.0]).all()


def test_features_on_the_grid_already_pass_as_they_are() -> None:
    values = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    np.testing.assert_array_equal(fit_to_cells(Features(values, 0.5, 0.5), 100, "clamp"), values)


@pytest.mark.parametrize(
    ("values", "length", "stride"),
    [
        pytest.param(np.ones(3), 100, 1.0, id="one-dimensional"),
        pytest.param(np.ones((0, 3)), 100, 1.0, id="empty"),
        pytest.param(np.ones((3, 3)), 0, 1.0, id="no-cells"),
        pytest.param(np.ones((3, 3)), 10, 0.0, id="no-stride"),
    ],
)
def test_bad_input_is_refused(values: np.ndarray, length: int, stride: float) -> None:
    with pytest.raises(ShapeError):
        rescale_features(values, length, stride=stride)


def test_a_span_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"span 0\.0 must be positive"):
        rescale_features(np.ones((3, 3)), span=0.0)


def test_unknown_edge_is_refused() -> None:
    with pytest.raises(ConfigError, match="'clamp' or 'zero'"):
        rescale_features(np.ones((3, 3)), edge="wrap")  # type: ignore[arg-type]


@given(snippets=st.integers(1, 500), length=st.integers(2, 60))
def test_windows_cover_everything_and_every_inner_edge_is_inside_another(
    snippets: int, length: int
) -> None:
    windows = list(plan_windows(snippets, length))
    assert windows[0].first == 0
    assert windows[-1].is_final
    assert [w.is_final for w in windows].count(True) == 1
    assert all(len(w) == min(length, snippets) for w in windows)
    for before, after in pairwise(windows):
        assert before.first < after.first < before.last
        assert before.last <= after.last - 1


@pytest.mark.parametrize(
    ("snippets", "expected"),
    [
        pytest.param(3, [(0, 3)], id="shorter-than-a-window"),
        pytest.param(10, [(0, 10)], id="just-one"),
        pytest.param(15, [(0, 10), (5, 15)], id="two"),
        pytest.param(16, [(0, 10), (5, 15), (6, 16)], id="last-is-aligned-to-the-end"),
    ],
)
def test_plans(snippets: int, expected: list[tuple[int, int]]) -> None:
    assert [(w.first, w.last) for w in plan_windows(snippets, 10)] == expected


def test_padding_is_zeros_at_the_end() -> None:
    padded = pad_window(np.ones((2, 3), np.float32), 4)
    assert padded.tolist() == [[1] * 3, [1] * 3, [0] * 3, [0] * 3]


@given(snippets=st.integers(1, 200), length=st.integers(2, 30))
def test_stitching_windows_of_a_curve_gives_the_curve(snippets: int, length: int) -> None:
    curve = np.arange(3 * snippets, dtype=np.float32).reshape(3, snippets)
    parts = [(w, curve[:, w.first : w.last]) for w in plan_windows(snippets, length)]
    np.testing.assert_array_equal(stitch(parts), curve)
