"""Films, an encoder, and models that want its features."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("onnx", reason="needs the extra 'video'")

from actspan import Bundle
from actspan.streams.backbone import find_backbone
from actspan.streams.extract_request import Grid, Span
from actspan.streams.snippet_features import Extractor
from tests.examples import add_classifier, write_bundle
from tests.streams.encoders import write_encoder
from tests.streams.example_videos import steady, write_video

STRIDE = 0.2
LENGTH = 20  # snippets a window: 4 s
Mode = Literal["rescale", "window"]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("encoder") / "e.onnx"
    return f"onnx:{write_encoder(path, ['n', 3, 8, 8])}"


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a film of 13 s, and one of 3 s, which is shorter than a window."""
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / "long.mkv", [t for k, t in enumerate(steady(13.0)) if k % 11])
    write_video(folder / "short.mp4", steady(3.0))
    return folder


@pytest.fixture(scope="session")
def model(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mode], Bundle]:
    """Return bundles of random weights, for features of the encoder."""
    with Extractor(find_backbone(encoder), Grid(Span(STRIDE, "s"), Span(2 * STRIDE, "s"))) as e:
        spec = e.spec
    folder = tmp_path_factory.mktemp("models")
    assert spec.channels is not None
    modes: tuple[Mode, ...] = ("rescale", "window")
    made = {
        mode: write_bundle(
            folder / mode, channels=spec.channels, length=LENGTH, mode=mode, features=spec
        )
        for mode in modes
    }
    return made.__getitem__


@pytest.fixture(scope="session")
def labelling_model(
    model: Callable[[Mode], Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Mode], Bundle]:
    """Return the same bundles with a classifier."""
    folder = tmp_path_factory.mktemp("labelling")
    modes: tuple[Mode, ...] = ("rescale", "window")
    for mode in modes:
        shutil.copytree(model(mode).path, folder / mode)
    made = {mode: add_classifier(Bundle.load(folder / mode)) for mode in modes}
    return made.__getitem__
