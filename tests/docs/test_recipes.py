"""The export function of docs/how-to/videos.md makes backbones that equal the network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("onnxscript", reason="torch.onnx.export needs it")

from actspan.streams.backbone import Backbone, find_backbone  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from tests.docs.pages import blocks  # noqa: E402

PAGE = ROOT / "docs" / "how-to" / "videos.md"


@pytest.fixture(scope="module")
def export() -> Callable[..., None]:
    (text,) = [block.text for block in blocks(PAGE) if "def export(" in block.text]
    names: dict[str, Callable[..., None]] = {}
    exec(compile(text, str(PAGE), "exec"), names)
    return names["export"]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch, of its own ways
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        pytest.param(torch.nn.Conv2d, (3, 8, 8), id="pictures"),
        pytest.param(torch.nn.Conv3d, (3, 4, 8, 8), id="clips"),
    ],
)
def test_an_exported_encoder_is_a_backbone(
    layer: type[torch.nn.Module],
    shape: tuple[int, ...],
    export: Callable[..., None],
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    pool = {3: torch.nn.AdaptiveAvgPool2d, 4: torch.nn.AdaptiveAvgPool3d}[len(shape)]
    net = torch.nn.Sequential(layer(3, 6, 3), torch.nn.ReLU(), pool(1), torch.nn.Flatten())
    export(net, shape, str(tmp_path / "e.onnx"))
    (tmp_path / "e.toml").write_text("mean = [0.4, 0.5, 0.6]\nstd = [0.2, 0.2, 0.3]\n")
    pixels = np.random.default_rng(0).integers(0, 256, (5, *shape[1:], 3), dtype=np.uint8)
    values = (pixels / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.2, 0.3]
    with torch.no_grad():
        wanted = net(torch.from_numpy(np.moveaxis(values, -1, 1)).float()).numpy()
    with Backbone(find_backbone(f"onnx:{tmp_path / 'e.onnx'}")) as backbone:
        assert (backbone.clip, backbone.channels) == (None if len(shape) == 3 else 4, 6)
        np.testing.assert_allclose(backbone.embed(pixels), wanted, atol=1e-5)
