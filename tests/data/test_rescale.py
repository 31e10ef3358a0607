from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Features, rescale_features
from actspan.data.rescale import fit_to_cells, rescale_features_plain
from actspan.errors import ConfigError, ShapeError


def test_equals_the_published_rescaling(golden: Path) -> None:
    with np.load(golden / "rescale.npz") as archive:
        for name in archive.files:
            if name.startswith("in_"):
                ours = rescale_features(archive[name], 100, stride=16 / 30, edge="zero")
                expected = archive[name.replace("in_", "out_")]
                np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)


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


def test_unknown_edge_is_refused() -> None:
    with pytest.raises(ConfigError, match="'clamp' or 'zero'"):
        rescale_features(np.ones((3, 3)), edge="wrap")  # type: ignore[arg-type]
