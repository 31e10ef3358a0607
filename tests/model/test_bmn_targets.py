"""BMN's targets, compared with the published codes' and with what a person would compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan.config.bmn import Anchor, BmnConfig
from actspan.model.bmn.targets import bmn_targets, map_segments
from tests.model.published_bmn import ANCHORS, AXES


def instances_of(video: dict[str, Any], code: str) -> np.ndarray:
    """Return instances as shares of the span that a code divides by, (M, 2)."""
    span = video["duration_second"]
    if code != "paddle":
        span *= video["feature_frame"] / video["duration_frame"]
    return np.array([entry["segment"] for entry in video["annotations"]], dtype=np.float64) / span


@pytest.mark.parametrize("code", ["jjboy", "mmaction2", "paddle"])
def test_targets_equal_the_published_ones(data: Path, code: str) -> None:
    folder = data / "bmn"
    videos = json.loads((folder / "videos.json").read_text())
    edges = json.loads((folder / "edge_annotations.json").read_text())
    videos |= {f"edge_{name}": video for name, video in edges.items()}
    paddle = code == "paddle"
    golden = np.load(folder / ("targets_paddle.npz" if paddle else "targets.npz"))
    names = sorted({key.split("/")[0] for key in golden})
    assert len(names) == 16
    for name in names:
        instances = instances_of(videos[name], code)
        found = bmn_targets(instances, BmnConfig(axes=AXES[code]), ANCHORS[code])
        for part, values in found._asdict().items():
            key = f"{name}/{part}" if paddle else f"{name}/{code}/{part}"
            np.testing.assert_allclose(values, golden[key], rtol=0, atol=1e-7, err_msg=key)


@pytest.mark.parametrize(
    ("anchor", "start", "end"),
    [
        ("cell", [0, 0, 1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0.5, 1, 1]),
        ("around-cell", [0, 0.25, 0.75, 1, 0.75, 0.25, 0, 0], [0, 0, 0, 0, 0, 0.5, 1, 1]),
        ("around-edge", [0, 0, 0.5, 1, 1, 0.5, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1]),
    ],
)
def test_boundaries_of_known_cells(anchor: Anchor, start: list[float], end: list[float]) -> None:
    found = bmn_targets(np.array([[3.5, 7.0]]) / 8, BmnConfig(length=8), anchor)
    np.testing.assert_allclose(found.start, start, atol=1e-6)
    np.testing.assert_allclose(found.end, end, atol=1e-6)


segments = st.lists(
    st.tuples(st.floats(-0.2, 1.0), st.floats(0.01, 0.8)).map(lambda s: (s[0], s[0] + s[1])),
    max_size=4,
)


@given(segments, st.integers(2, 12), st.sampled_from(["cell", "around-cell", "around-edge"]))
def test_both_axes_show_the_same_proposals(
    instances: list[tuple[float, float]], length: int, anchor: Anchor
) -> None:
    array = np.array(instances, dtype=np.float64).reshape(-1, 2)
    by_end = bmn_targets(array, BmnConfig(length=length, axes="start-end"), anchor)
    by_duration = bmn_targets(array, BmnConfig(length=length), anchor)
    for start in range(length):
        for end in range(start, length):
            assert by_duration.iou[end - start, start] == pytest.approx(
                by_end.iou[start, end], abs=1e-6
            )
    assert not by_end.iou[np.tril_indices(length, -1)].any()
    np.testing.assert_array_equal(by_end.start, by_duration.start)
    np.testing.assert_array_equal(by_end.end, by_duration.end)


@given(segments, st.integers(1, 12))
def test_a_map_of_short_durations_is_the_first_part_of_the_whole_map(
    instances: list[tuple[float, float]], durations: int
) -> None:
    array = np.array(instances, dtype=np.float64).reshape(-1, 2)
    short = bmn_targets(array, BmnConfig(length=12, durations=durations), "cell")
    whole = bmn_targets(array, BmnConfig(length=12), "cell")
    np.testing.assert_array_equal(short.iou, whole.iou[:durations])


def test_a_proposal_that_equals_an_instance_has_iou_1() -> None:
    config = BmnConfig(length=10)
    start, end = map_segments(config)
    found = bmn_targets(np.array([[start[3, 2], end[3, 2]]]), config, "cell")
    assert found.iou[3, 2] == 1
    assert found.iou.argmax() == 32


def test_a_boundary_outside_a_window_gives_no_target() -> None:
    config = BmnConfig(length=4, axes="start-end")
    found = bmn_targets(np.array([[-0.5, 0.5]]), config, "cell", clip=False)
    assert not found.start.any()
    np.testing.assert_allclose(found.end, [0.5, 1, 1, 0.5])
    assert found.iou[0, 1] == 0.5  # of the whole instance, half of which is outside


def test_a_video_without_instances_has_zero_targets() -> None:
    found = bmn_targets(np.empty((0, 2)), BmnConfig(length=6, durations=3), "cell")
    assert [array.shape for array in found] == [(3, 6), (6,), (6,)]
    assert not any(array.any() for array in found)
