"""Settings of feature extraction, stored with the features to process new videos equally."""

from __future__ import annotations

from typing import Literal

from actspan.config.base import Config
from actspan.config.base import require_setting as _require

Streams = Literal["appearance", "motion", "both"]
Triple = tuple[float, float, float]


class PictureConfig(Config, frozen=True, kw_only=True):
    """Preprocessing of a backbone's pictures: `encoder.toml` beside `encoder.onnx`."""

    mean: Triple  # in the units of `range`
    std: Triple
    range: Literal[1, 255] = 1  # pixel values before mean and std: 0 to 1, or 0 to 255
    order: Literal["rgb", "bgr"] = "rgb"
    size: tuple[int, int] | None = None  # height and width, if the network accepts any
    # "stretch": the whole picture, distorted if necessary; "crop": its middle
    fit: Literal["stretch", "crop"] = "stretch"
    resize: int | None = None  # "crop": pixels of the shorter side before; the crop's if None

    def __post_init__(self) -> None:
        _require(min(self.std) > 0, "pictures: std must be positive")
        _require(self.size is None or min(self.size) >= 1, "pictures: size must be positive")
        _require(
            self.resize is None or self.fit == "crop", 'pictures: resize is only for fit = "crop"'
        )
        _require(
            self.resize is None or self.resize >= max(self.size or (1,)),
            "pictures: resize is smaller than what is cropped from it",
        )


class ExtractionConfig(Config, frozen=True, kw_only=True):
    """Extraction settings of features besides the grid: `dataset.toml`, `[features.extraction]`."""

    sha256: str  # checksum of the backbone: its ONNX file, or the weights of the default one
    streams: Streams = "both"
    frames: int = 4  # frames per snippet that the backbone sees
    pictures: PictureConfig
    projection: str | None = None  # checksum of `projection.safetensors`, if there is one

    def __post_init__(self) -> None:
        _require(self.frames >= 1, "extraction: frames must be at least 1")
        _require(
            self.streams == "appearance" or self.frames >= 2,
            "extraction: motion is what changes between frames of a snippet: two at least",
        )
