"""Descriptions of a bundle: `model.toml` with a checksum of every file, and `compiled.toml`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from actspan import __version__
from actspan.config.base import Config, from_dict, read_toml
from actspan.config.stages import FeatureSpec, PipelineConfig
from actspan.core.errors import BundleError, ConfigError
from actspan.core.files import check_size, folder_kind, folder_name_error, sha256
from actspan.core.folders import is_free
from actspan.core.limits import WEIGHTS
from actspan.core.wording import quoted
from actspan.data.names import VIDEO_SUFFIXES

FORMAT_VERSION = 1
MANIFEST = "model.toml"
COMPILED = "compiled.toml"

# Compiler of each file type, and its default precision.
_TARGETS = {
    ".xml": ("openvino", "fp32"),
    ".bin": ("openvino", "fp32"),
    ".om": ("ascend", "fp16"),
    ".engine": ("tensorrt", "fp16"),
}


class FileRecord(Config, frozen=True):
    """Expected size, in bytes, and checksum of a file."""

    sha256: str
    size: int

    @classmethod
    def of_data(cls, data: bytes) -> Self:
        """Return the record of a file with these contents."""
        return cls(sha256=hashlib.sha256(data).hexdigest(), size=len(data))

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Compute the record of a file on disk; raise OSError if it cannot be read."""
        check_size(path, WEIGHTS)
        return cls(sha256=sha256(path), size=path.stat().st_size)


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
        files = (SourceFile(name=p.name, sha256=FileRecord.of_file(p).sha256) for p in paths)
        return cls(note=note, files=tuple(files))


class Manifest(Config, frozen=True):
    """Contents of `model.toml`."""

    format_version: int
    source: Source
    features: FeatureSpec
    pipeline: PipelineConfig
    files: dict[str, FileRecord]
    training: dict[str, Any] | None = None


def check_place(where: object) -> None:
    """Raise BundleError if a value cannot be the place of a bundle: no path, or a video."""
    if not isinstance(where, (str, os.PathLike)):
        kind = type(where).__name__
        raise BundleError(f"{kind} is not a model: give the folder of a bundle, or hf://owner/name")
    text = os.fspath(where)
    if not text:
        raise BundleError("the model has an empty path: give a folder; without one, leave it out")
    if Path(text).suffix.lower() in VIDEO_SUFFIXES and not Path(text).is_dir():
        raise BundleError(
            f"{text} is a video, and not a model: actspan propose {quoted(text)}, or in Python "
            f"actspan.load().propose({text!r})"
        )


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's `model.toml`.

    Raises BundleError if the folder is not a bundle, has a newer format, or is damaged.
    """
    where = folder / MANIFEST
    if not where.is_file():
        check_place(folder)
        raise BundleError(
            f"{folder}{folder_kind(folder)} is not a bundle: there is no {where}. Make one: "
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
        return from_dict(Manifest, values, where=str(where))
    except ConfigError as error:
        raise BundleError(f"{error}. Repair it, or write the bundle again") from error


class CompiledFile(Config, frozen=True):
    """Record of a compiled network."""

    target: str
    precision: str
    net: str
    source: str  # the ONNX file
    source_sha256: str
    input: str
    shapes: str  # of the input: one, or the smallest and largest
    compiler: str
    command: str = ""
    soc: str = ""  # only ascend
    seconds: float = 0.0


class CompiledFiles(Config, frozen=True):
    """Contents of `compiled.toml`: records by the name of the file."""

    files: dict[str, CompiledFile]


def check_new_bundle(path: Path, *, overwrite: bool = False) -> None:
    """Raise BundleError, before long work, if no bundle can be written to a path."""
    if fault := folder_name_error(path, "a bundle"):
        raise BundleError(fault)
    if (path / MANIFEST).is_file():
        if not overwrite:
            what = "a bundle already exists; choose another folder, or ask to replace it: --force"
            raise BundleError(f"{path}: {what}")
    elif not is_free(path) or (path.is_symlink() and not path.exists()):
        what = "already exists and is not a bundle; choose another folder"
        raise BundleError(f"{path}: {what}")


def writing_command(path: Path) -> str:
    """Return the command that writes a file of a bundle other than weights."""
    if path.suffix not in _TARGETS:
        return f"actspan export {quoted(path.parent)}"
    target, usual = _TARGETS[path.suffix]
    words = f"actspan compile {quoted(path.parent)} --target {target}"
    for precision in {"fp32", "fp16", "int8"} & set(path.name.split(".")) - {usual}:
        words += f" --precision {precision}"
    return f"{words} --calibrate DATASET" if ".int8." in path.name else words


def remedy(path: Path) -> str:
    """Return advice about a damaged file."""
    if path.suffix == ".safetensors":
        return "copy the bundle again, or make it again from its checkpoints"
    return f"write it again: {writing_command(path)}"


def unreadable(path: Path, error: OSError) -> BundleError:
    """Return the error about a file that cannot be read."""
    return BundleError(f"{path}: damaged: cannot be read: {error.strerror}; {remedy(path)}")


def mismatch(path: Path, actual: FileRecord, record: FileRecord) -> BundleError:
    """Return the error about a file that differs from its record."""
    what = f"{actual.size} bytes where {record.size} were written"
    if actual.size == record.size:
        what = "its SHA-256 is not the recorded one"
    return BundleError(f"{path}: damaged: {what}; {remedy(path)}")
