"""Any encoder as a backbone, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra 'video'")

from actspan.core.errors import ActSpanError
from actspan.streams.backbone import Backbone, find_backbone
from tests.streams.encoders import TOML, write_encoder


@pytest.mark.parametrize(
    ("shape", "clip"),
    [
        (["n", 3, 8, 6], None),
        (["n", 8, 6, 3], None),
        ([1, 3, 8, 6], None),
        ([4, 3, 8, 6], None),
        (["n", 3, 2, 8, 6], 2),
        (["n", 2, 3, 8, 6], 2),
        (["n", 2, 8, 6, 3], 2),
    ],
)
def test_any_layout(shape: list[int | str], clip: int | None, tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "e.onnx", shape)
    frames = () if clip is None else (clip,)
    pixels = np.random.default_rng(1).integers(0, 256, (3, *frames, 8, 6, 3), dtype=np.uint8)
    with Backbone(find_backbone(f"onnx:{path}")) as net:
        assert (net.clip, net.size, net.channels) == (clip, (8, 6), 5)
        found = net.embed(pixels)
    matrix = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    means = (pixels / 255).reshape(3, -1, 3).mean(axis=1)
    np.testing.assert_allclose(found, means @ matrix, atol=1e-5)


def test_a_free_size_comes_from_the_file(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "e.onnx", ["n", 3, "h", "w"], toml=TOML + "size = [9, 7]\n")
    with Backbone(find_backbone(f"onnx:{path}")) as net:
        assert net.size == (9, 7)


REFUSED = {
    "nonsense": ("resnet", None, None, "available: default, onnx:FILE"),
    "no toml": ("", ["n", 3, 8, 6], None, "must describe the pictures that e.onnx expects"),
    "unknown key": ("", ["n", 3, 8, 6], TOML + "means = 1\n", "means"),
    "no size": ("", ["n", 3, "h", "w"], TOML, r"size = \[H, W\]"),
    "other size": ("", ["n", 3, 8, 6], TOML + "size = [9, 7]\n", "expects pictures of 8 x 6"),
    "no colours": ("", ["n", 3, "f", 8, 6], TOML, "number of frames per clip is free"),
    "bad std": ("", ["n", 3, 8, 6], TOML.replace("1.0, 1.0", "1.0, 0.0"), "std must be positive"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    name, shape, toml, why = REFUSED[case]
    path = tmp_path / "e.onnx"
    if shape is not None:
        write_encoder(path, shape, toml=toml)
    with pytest.raises(ActSpanError, match=why):
        Backbone(find_backbone(name or f"onnx:{path}"))


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ActSpanError, match="no such file"):
        find_backbone(f"onnx:{tmp_path / 'none.onnx'}")
