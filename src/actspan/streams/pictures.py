"""Conversion of decoded frames to the pixels that a backbone sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.config.stages import PictureConfig
from actspan.core.errors import require
from actspan.core.types import Float32

Pixels = NDArray[np.uint8]


class Size(NamedTuple):
    """Height and width, pixels."""

    height: int
    width: int


class Painter:
    """Converter of one video's frames to pictures of `size`: scales, rotates upright and crops.

    `pixel_aspect` is the width of one of the video's pixels over its height.
    """

    def __init__(self, size: Size, config: PictureConfig, pixel_aspect: float = 1.0) -> None:
        library = require("av.video.reformatter", extra="video", purpose="scaling pictures")
        self._scaler = library.VideoReformatter()  # keeps its tables from frame to frame
        self._size, self._config, self._aspect = size, config, pixel_aspect

    def draw(self, image: Any) -> Pixels:
        """Convert an av.VideoFrame to pixels, (height, width, 3) uint8, ordered as in `config`."""
        size, config = self._size, self._config
        turns = round(image.rotation / 90) % 4  # anticlockwise
        upright = Size(image.height, max(round(image.width * self._aspect), 1))
        upright = Size(*upright[::-1]) if turns % 2 else upright
        scaled = size if config.fit == "stretch" else _covering(upright, size, config.resize)
        lying = Size(*scaled[::-1]) if turns % 2 else scaled
        small = self._scaler.reformat(
            image,
            lying.width,
            lying.height,
            f"{config.order}24",
            interpolation="AREA",
            threads=1,
        ).to_ndarray()
        top, left = (scaled.height - size.height) // 2, (scaled.width - size.width) // 2
        turned = np.rot90(small, turns)[top : top + size.height, left : left + size.width]
        return np.ascontiguousarray(turned)


def _covering(upright: Size, size: Size, resize: int | None) -> Size:
    """Return the frame's size if its shorter side is `resize` and it still covers the crop."""
    factor = (resize or max(size)) / min(upright)
    factor = max(factor, size.height / upright.height, size.width / upright.width)
    return Size(
        max(round(upright.height * factor), size.height),
        max(round(upright.width * factor), size.width),
    )


def normalise(pixels: Pixels, config: PictureConfig, axes: Sequence[int]) -> Float32:
    """Normalise pixels, (..., 3) uint8: scale, subtract the mean, divide by the deviation.

    The result is contiguous float32 in the axis order of the network, as for `numpy.transpose`.
    """
    unit = np.float32(config.range / 255)
    mean, std = (np.asarray(values, dtype=np.float32) for values in (config.mean, config.std))
    along = [3 if axis == pixels.ndim - 1 else 1 for axis in axes]  # position of the colour axis
    # Moving bytes before the conversion to floats, and working in place on long rows, is 10 times
    # as fast as the other order.
    values: Float32 = pixels.transpose(axes).astype(np.float32, order="C")
    values *= (unit / std).reshape(along)
    values -= (mean / std).reshape(along)
    return values
