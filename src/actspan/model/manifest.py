"""`model.toml`: the description of a bundle, read strictly."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from actspan import __version__
from actspan.config.base import Config, from_dict, read_toml
from actspan.config.stages import FeatureSpec, PipelineConfig
from actspan.core.errors import BundleError, ConfigError
from actspan.core.files import folder_kind, is_plain_name
from actspan.model.files import FileRecord, measure

__all__ = ["FORMAT_VERSION", "MANIFEST", "FileRecord", "Manifest", "Source", "SourceFile"]

FORMAT_VERSION = 1
MANIFEST = "model.toml"


class SourceFile(Config, frozen=True):
    """A file that the weights came from."""

    name: str
    sha256: str


class Source(Config, frozen=True):
    """Origin of the weights of a bundle."""

    tool: str = f"actspan {__version__}"
    note: str = ""
    files: tuple[SourceFile, ...] = ()

    @classmethod
    def of(cls, paths: Iterable[Path], *, note: str = "") -> Self:
        """Return the source with name and checksum of every file of `paths`."""
        files = (SourceFile(name=Path(p).name, sha256=measure(Path(p)).sha256) for p in paths)
        return cls(note=note, files=tuple(files))


class Manifest(Config, frozen=True):
    """Contents of `model.toml`."""

    format_version: int
    source: Source
    features: FeatureSpec
    pipeline: PipelineConfig
    files: dict[str, FileRecord]
    training: dict[str, Any] | None = None


def read_manifest(path: Path) -> Manifest:
    """Read the `model.toml` of a bundle.

    Raises
    ------
    BundleError
        `path` is not a bundle, or of another format, or its settings are damaged.
    """
    where = path / MANIFEST
    if not where.is_file():
        raise BundleError(
            f"{path}{folder_kind(path)} is not a bundle: there is no {where}. Make one: "
            "actspan convert CHECKPOINT... --out BUNDLE, or actspan train"
        )
    try:
        values = read_toml(where)
        version = values.get("format_version")
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{where}: format version {version!r} is not known; actspan {__version__} reads "
                f"version {FORMAT_VERSION}: use a newer actspan, or write the bundle again"
            )
        manifest = from_dict(Manifest, values, where=str(where))
    except ConfigError as error:
        raise BundleError(f"{error}. Repair it, or write the bundle again") from error
    check_consistent(manifest, where)
    return manifest


def check_consistent(manifest: Manifest, where: Path) -> None:
    """Raise if settings contradict each other; `where` is named in the error.

    Raises
    ------
    BundleError
        Two settings do not fit.
    """
    tem, pem = manifest.pipeline.tem, manifest.pipeline.pem
    channels, size = manifest.features.channels, manifest.pipeline.bsp.size
    stages = (("tem", tem), ("pem", pem), ("classifier", manifest.pipeline.classifier))
    for name, config in stages:
        if config is None and f"{name}.safetensors" in manifest.files:
            raise BundleError(f"{where}: {name}.safetensors is there, but no [pipeline.{name}]")
    if tem is not None and channels is not None and tem.channels != channels:
        raise BundleError(f"{where}: features have {channels} channels, tem takes {tem.channels}")
    if pem is not None and pem.inputs != size:
        raise BundleError(f"{where}: [pipeline.bsp] gives {size} features, pem takes {pem.inputs}")
    for name in manifest.files:
        if not is_plain_name(name):
            raise BundleError(f"{where}: {name!r} is not a plain file name")
