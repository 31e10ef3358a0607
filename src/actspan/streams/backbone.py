"""Backbones: networks that turn pictures, or short clips, into vectors; and their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.config.base import from_dict, read_toml
from actspan.config.stages import PictureConfig
from actspan.core.errors import BackendError, ConfigError, ModelError, require
from actspan.core.files import sha256, similar_path
from actspan.core.types import Float32
from actspan.core.wording import suggestion
from actspan.model.nets import NetForm
from actspan.runtime.opening import open_session
from actspan.runtime.session import Session, with_any_batch
from actspan.streams.hub_backbone import hub_backbone

Pixels = NDArray[np.uint8]

DEFAULT = "efficientnet-lite0"
# Checksum of the published PyTorch weights that the file was made of; NOTICE says from where.
CHECKSUM = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_FILE = Path(__file__).with_name("efficientnet-lite0.onnx")
_FILE_CHECKSUM = "1461bf9efdc2646153ded8befe01404584c93167ae693027eb1cab70ef4d8d32"
_PICTURES = PictureConfig(
    mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0), range=255, size=(224, 224)
)
# Axes of the three colours and of the frames of a clip.
_AXES: dict[str, tuple[int, ...]] = {
    "NCHW": (0, 3, 1, 2),
    "NHWC": (0, 1, 2, 3),
    "NCFHW": (0, 4, 1, 2, 3),
    "NFCHW": (0, 1, 4, 2, 3),
    "NFHWC": (0, 1, 2, 3, 4),
}
_EXAMPLE = """
  mean = [0.485, 0.456, 0.406]
  std = [0.229, 0.224, 0.225]
  size = [224, 224]"""


class Size(NamedTuple):
    """Height and width, pixels."""

    height: int
    width: int


@dataclass(frozen=True, slots=True)
class BackboneFile:
    """A backbone on disk."""

    name: str  # in a dataset's `features.backbone`
    path: Path  # ONNX file with one input and one output: a vector per picture or clip
    sha256: str  # of the file; of the published weights of the default backbone
    pictures: PictureConfig


def find_backbone(name: str) -> BackboneFile:
    """Look up a backbone: "default", or "onnx:FILE" with its preprocessing in FILE's .toml.

    "hf:owner/name@COMMIT" are two such files of a repository on a hub (`hub_backbone`).

    Raises
    ------
    ConfigError, ModelError
        There is no such backbone, its TOML file is missing or wrong, or a file is damaged.
    MissingExtraError
        huggingface_hub is not installed, and needed.
    """
    if name in ("default", DEFAULT):
        if not _FILE.is_file() or sha256(_FILE) != _FILE_CHECKSUM:
            from actspan.core.installation import install_command  # slow to import

            raise ModelError(f"{_FILE}: missing or damaged: {install_command(again=True)}")
        return BackboneFile(DEFAULT, _FILE, CHECKSUM, _PICTURES)
    kind, _, file = name.partition(":")
    if kind == "hf":
        return _described(name, hub_backbone(name))
    if kind != "onnx" or not file:
        close = suggestion(name, ["default"]) or (
            f" (did you mean 'onnx:{name}'?)" if Path(name).is_file() else ""
        )
        known = "default, onnx:FILE, hf:owner/name@COMMIT"
        raise ConfigError(f"no backbone {name!r}{close}; available: {known}")
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"backbone {name}: no such file: {path}{similar_path(path)}")
    return _described(f"onnx:{path.name}", path)


def _described(name: str, path: Path) -> BackboneFile:
    """Return the backbone of an ONNX file with a TOML file."""
    toml = path.with_suffix(".toml")
    if not toml.is_file():
        what = f"missing; it must describe the pictures that {path.name} expects, for example:"
        raise ConfigError(f"{toml}: {what}{_EXAMPLE}")
    pictures = from_dict(PictureConfig, read_toml(toml), where=str(toml))
    return BackboneFile(name, path, sha256(path), pictures)


class Backbone(AbstractContextManager["Backbone"]):
    """A backbone that is ready to run. Several threads may use it at once.

    Parameters
    ----------
    file : BackboneFile
    threads : int
        Number of simultaneous calls.
    backend : str
        See `open_session`.

    Attributes
    ----------
    size : Size
        Size of the pictures.
    clip : int or None
        Frames per clip; None if it takes single pictures.
    channels : int
        Length of the vector of a picture or clip.

    Raises
    ------
    ModelError
        Its inputs or outputs are not as expected, or the runtime refuses the file.
    """

    def __init__(self, file: BackboneFile, *, threads: int = 1, backend: str = "auto") -> None:
        self.file = file
        self._toml = file.path.with_suffix(".toml").name
        inner = open_session(file.path, backend=backend, streams=threads)
        try:
            layout = self._read_input(inner)
            self._axes = _AXES[layout]
            (self._input,) = inner.input_shapes
            self._session = with_any_batch(inner, NetForm(self._input, len(layout)))
            self.channels = self._probe()
        except (BackendError, ModelError) as error:
            inner.close()
            raise ModelError(f"{file.path}: {error}") from error

    def _read_input(self, session: Session) -> str:
        """Set the sizes from the shape of the network's only input; return its layout."""
        if len(session.input_shapes) != 1 or len(session.output_names) != 1:
            raise ModelError(
                f"has inputs {', '.join(session.input_shapes)} and outputs "
                f"{', '.join(session.output_names)}; a backbone has one of each"
            )
        (shape,) = session.input_shapes.values()
        fitting = (k for k in _AXES if len(k) == len(shape) and shape[k.index("C")] == 3)
        layout = next(fitting, None)
        if layout is None:
            raise ModelError(
                f"expects {shape}; pictures are (n, 3, H, W) or (n, H, W, 3), clips "
                "(n, 3, F, H, W), (n, F, 3, H, W) or (n, F, H, W, 3)"
            )
        sizes = dict(zip(layout, shape, strict=True))
        self.size = Size(*(self.file.pictures.size or (sizes["H"] or 0, sizes["W"] or 0)))
        if 0 in self.size:
            raise ModelError(f"the size of its pictures is free: set size = [H, W] in {self._toml}")
        if not (sizes["H"] in (None, self.size.height) and sizes["W"] in (None, self.size.width)):
            raise ModelError(
                f"expects pictures of {sizes['H']} x {sizes['W']}, {self._toml} says "
                f"{self.size.height} x {self.size.width}"
            )
        self.clip = sizes.get("F")
        if "F" in layout and self.clip is None:
            what = "the number of frames per clip is free: export it with a fixed number"
            raise ModelError(what)
        return layout

    def _probe(self) -> int:
        """Return the length of the vector of one picture, found by a trial run."""
        frames = () if self.clip is None else (self.clip,)
        vectors = self._run(np.zeros((1, *frames, *self.size, 3), dtype=np.uint8))
        if vectors.ndim != 2 or len(vectors) != 1:
            raise ModelError(
                f"gives shape {vectors.shape} for one input; a vector (1, C) is needed: export it "
                "with its pooling, without its classifier"
            )
        return int(vectors.shape[1])

    def embed(self, pixels: Pixels) -> Float32:
        """Compute the vectors (n, C) of pictures (n, H, W, 3) or of clips (n, F, H, W, 3).

        Raises
        ------
        ModelError, BackendError
            A vector contains NaN or infinity, or the runtime failed.
        """
        vectors = self._run(pixels)
        if not np.isfinite(vectors).all():
            raise ModelError(
                f"{self.file.path}: computes NaN or infinity: are mean, std and range in "
                f"{self._toml} what it was trained with?"
            )
        return vectors

    def _run(self, pixels: NDArray[np.uint8]) -> Float32:
        values = normalise(pixels, self.file.pictures, self._axes)
        vectors = next(iter(self._session.run({self._input: values}).values()))
        while vectors.ndim > 2 and vectors.shape[-1] == 1:  # (n, C, 1, 1): pooled, not flattened
            vectors = vectors[..., 0]
        return vectors

    def close(self) -> None:
        """Free the session. Closing twice is allowed."""
        self._session.close()

    def __exit__(self, *details: object) -> None:
        self.close()


class FrameConverter:
    """Converter of one video's frames to pictures of `size`: scales, rotates upright and crops.

    `pixel_aspect` is the width of one of the video's pixels over its height.
    """

    def __init__(self, size: Size, config: PictureConfig, pixel_aspect: float = 1.0) -> None:
        library = require("av.video.reformatter", extra="video", purpose="scaling pictures")
        self._scaler = library.VideoReformatter()  # keeps its tables from frame to frame
        self._size, self._config, self._aspect = size, config, pixel_aspect

    def convert(self, image: Any) -> Pixels:
        """Convert an av.VideoFrame to pixels, (height, width, 3) uint8, ordered as in `config`."""
        size, config = self._size, self._config
        turns = round(image.rotation / 90) % 4  # anticlockwise
        upright = Size(image.height, max(round(image.width * self._aspect), 1))
        upright = Size(*upright[::-1]) if turns % 2 else upright
        scaled = size if config.fit == "stretch" else _covering(upright, size, config.resize)
        height, width = scaled[::-1] if turns % 2 else scaled  # before the rotation
        options = {"interpolation": "AREA", "threads": 1}
        small = self._scaler.reformat(image, width, height, f"{config.order}24", **options)
        top, left = (scaled.height - size.height) // 2, (scaled.width - size.width) // 2
        rotated = np.rot90(small.to_ndarray(), turns)
        return np.ascontiguousarray(rotated[top : top + size.height, left : left + size.width])


def _covering(upright: Size, size: Size, resize: int | None) -> Size:
    """Return the frame's size if its shorter side is `resize` and it still covers the crop."""
    pairs = list(zip(upright, size, strict=True))
    factor = max((resize or max(size)) / min(upright), *(least / side for side, least in pairs))
    return Size(*(max(round(side * factor), least) for side, least in pairs))


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
