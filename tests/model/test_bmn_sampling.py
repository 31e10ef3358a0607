from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actspan.config.bmn import BmnConfig, MapAxes
from actspan.model.bmn.sampling import map_shape, sample_mask, sample_weights

AXES: dict[str, MapAxes] = {"jjboy": "start-end", "mmaction2": "duration-start"}


def plain_weight(x: float, cell: int, length: int) -> float:
    """Return the weight of a cell in the feature at position `x`."""
    if not -1 < x < length:
        return 0.0
    return max(0.0, 1 - abs(max(x, 0.0) - cell))


def plain_mask(config: BmnConfig) -> np.ndarray:
    """Return the mask (T, N, rows, columns), point by point."""
    T, N = config.length, config.samples
    mask = np.zeros((T, N, *map_shape(config)))
    for t, n, a, b in np.ndindex(mask.shape):
        if config.axes == "start-end":
            first, last, size, valid = a, b + 1, b - a + 2, a <= b
        else:
            first, last, size, valid = b, b + a, a + 1, a + b < T
        if valid:
            points = np.linspace(first - size / 2, last + size / 2, 3 * N)[3 * n : 3 * n + 3]
            mask[t, n, a, b] = np.mean([plain_weight(x, t, T) for x in points])
    return mask


@pytest.mark.parametrize("code", AXES)
def test_the_published_mask_to_the_last_bit(data: Path, code: str) -> None:
    published = json.loads((data / "bmn" / "sample_mask.json").read_text())[code]
    mask = sample_mask(BmnConfig(axes=AXES[code]))
    assert list(mask.shape) == published["shape"]
    assert np.count_nonzero(mask) == published["nonzero"]
    digest = hashlib.sha256(mask.tobytes()).hexdigest()
    assert digest == published["sha256_of_c_order_little_endian_bytes"]


@pytest.mark.parametrize("code", AXES)
def test_masks_of_small_checkpoints(data: Path, code: str) -> None:
    torch = pytest.importorskip("torch", reason="needs torch (extra 'train')")
    name = {"jjboy": "jjboy.pth.tar", "mmaction2": "mmaction2.pth"}[code]
    content = torch.load(data / "bmn" / "small" / name, weights_only=True)["state_dict"]
    (mask,) = (value.numpy() for key, value in content.items() if key.endswith("sample_mask"))
    config = BmnConfig(axes=AXES[code], length=20, samples=4)
    np.testing.assert_array_equal(sample_mask(config), mask)


@given(
    axes=st.sampled_from(list(AXES.values())),
    length=st.integers(2, 9),
    durations=st.integers(1, 9),
    samples=st.integers(1, 5),
)
@settings(max_examples=40, deadline=None)
def test_weights_of_other_sizes(axes: MapAxes, length: int, durations: int, samples: int) -> None:
    limit = min(durations, length) if axes == "duration-start" else None
    config = BmnConfig(axes=axes, length=length, durations=limit, samples=samples)
    mask, weights = plain_mask(config), sample_weights(config)
    np.testing.assert_allclose(sample_mask(config), mask.reshape(length, -1), rtol=0, atol=1e-6)
    cells = weights.cells
    dense = mask[:, :, cells.rows, cells.columns].reshape(-1, len(cells.rows)).T
    np.testing.assert_allclose(weights.dense(0, len(dense)), dense, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(weights.dense(1, 2), weights.dense(0, len(dense))[1:2])
    assert np.diff(weights.offsets).min() > 0


def test_cells_before_the_first_are_clamped_and_those_after_the_last_fade() -> None:
    mask = sample_mask(BmnConfig(length=4, samples=2, axes="duration-start")).reshape(4, 2, 4, 4)
    assert mask[:, :, 0, 0].sum() > mask[:, :, 0, 3].sum()  # the same proposal at both edges
    assert not mask[:, :, 1, 3].any()  # does not fit into the video


def test_no_dense_mask_of_long_videos() -> None:
    code = (
        "import resource, numpy\n"
        "from actspan.config.bmn import BmnConfig\n"
        "from actspan.model.bmn.sampling import sample_weights\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(len(sample_weights(BmnConfig(length=256)).cells.rows))\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    cells, megabytes = map(int, done.stdout.split())
    assert cells == 256 * 257 // 2
    assert megabytes < 500  # the mask would have 2148
