"""Backbones: networks that turn pictures, or short clips, into vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from actspan.config.base import from_dict, read_toml
from actspan.config.stages import PictureConfig
from actspan.core.errors import BackendError, ConfigError, ModelError
from actspan.core.files import sha256, similar_path
from actspan.core.types import Float32
from actspan.core.wording import suggestion
from actspan.runtime.opening import open_session
from actspan.runtime.session import Session, Shape, with_any_batch
from actspan.streams.pictures import Pixels, Size, normalise

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


@dataclass(frozen=True, slots=True)
class BackboneFile:
    """A backbone on disk."""

    name: str  # in a dataset's `features.backbone`
    path: Path  # ONNX file with one input and one output: a vector per picture or clip
    sha256: str  # of the file; of the published weights of the default backbone
    pictures: PictureConfig


class _Input(NamedTuple):
    """Input of the network."""

    layout: str
    size: Size
    frames: int | None  # frames per clip; None: single pictures


def find_backbone(name: str) -> BackboneFile:
    """Look up a backbone: "default", or "onnx:FILE" with its preprocessing in FILE's .toml.

    Raises
    ------
    ConfigError, ModelError
        There is no such backbone, its TOML file is missing or wrong, or a file is damaged.
    """
    if name in ("default", DEFAULT):
        if not _FILE.is_file() or sha256(_FILE) != _FILE_CHECKSUM:
            raise ModelError(f"{_FILE}: missing or damaged: pip install --force-reinstall actspan")
        return BackboneFile(DEFAULT, _FILE, CHECKSUM, _PICTURES)
    kind, _, file = name.partition(":")
    if kind != "onnx" or not file:
        close = suggestion(name, ["default"]) or (
            f" (did you mean 'onnx:{name}'?)" if Path(name).is_file() else ""
        )
        raise ConfigError(f"no backbone {name!r}{close}; there are: default, onnx:FILE")
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"backbone {name}: there is no file {path}{similar_path(path)}")
    return BackboneFile(f"onnx:{path.name}", path, sha256(path), _pictures_of(path))


def _pictures_of(path: Path) -> PictureConfig:
    file = path.with_suffix(".toml")
    if not file.is_file():
        raise ConfigError(
            f"{file}: missing; write there what {path.name} takes for a picture, for example:"
            f"{_EXAMPLE}"
        )
    return from_dict(PictureConfig, read_toml(file), where=str(file))


class Backbone:
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
        inner = open_session(file.path, backend=backend, streams=threads)
        try:
            found = _input_of(inner, file)
            rank = len(_AXES[found.layout])
            self._session = with_any_batch(inner, inner.input_names[0], rank)
            (self._input,) = self._session.input_names
            self._axes = _AXES[found.layout]
            self.size, self.clip = found.size, found.frames
            self.channels = self._probe()
        except (BackendError, ModelError) as error:
            inner.close()
            raise ModelError(f"{file.path}: {error}") from error

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
            A vector holds NaN or infinity, or the runtime failed.
        """
        vectors = self._run(pixels)
        if not np.isfinite(vectors).all():
            raise ModelError(
                f"{self.file.path}: computes NaN or infinity: are mean, std and range in "
                f"{self.file.path.with_suffix('.toml').name} what it was trained with?"
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


def _input_of(session: Session, file: BackboneFile) -> _Input:
    """Return layout and sizes, from the shape of the network's only input."""
    if len(session.input_names) != 1 or len(session.output_names) != 1:
        raise ModelError(
            f"has inputs {', '.join(session.input_names)} and outputs "
            f"{', '.join(session.output_names)}; a backbone has one of each"
        )
    shape = session.input_shapes[session.input_names[0]]
    layout = _layout(shape)
    sizes = dict(zip(layout, shape, strict=True))
    wanted = file.pictures.size
    given = Size(*wanted) if wanted else Size(sizes["H"] or 0, sizes["W"] or 0)
    if 0 in given:
        raise ModelError(f"leaves the picture's size free: say it in {_toml(file)}: size = [H, W]")
    if not (sizes["H"] in (None, given.height) and sizes["W"] in (None, given.width)):
        raise ModelError(
            f"takes pictures of {sizes['H']} x {sizes['W']}, {_toml(file)} says "
            f"{given.height} x {given.width}"
        )
    frames = sizes.get("F")
    if "F" in layout and frames is None:
        raise ModelError("leaves the number of frames of a clip free: export it with a fixed one")
    return _Input(layout, given, frames)


def _toml(file: BackboneFile) -> str:
    return file.path.with_suffix(".toml").name


def _layout(shape: Shape) -> str:
    for layout in _AXES:
        if len(layout) == len(shape) and shape[layout.index("C")] == 3:
            return layout
    raise ModelError(
        f"takes {shape}; pictures are (n, 3, H, W) or (n, H, W, 3), clips (n, 3, F, H, W), "
        "(n, F, 3, H, W) or (n, F, H, W, 3)"
    )
