"""The bundle: load, create, read weights, add files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import msgspec
from numpy.typing import ArrayLike

from actspan.config.base import dump_toml, to_dict
from actspan.config.stages import FeatureSpec, PipelineConfig
from actspan.core.errors import ActSpanError, BundleError, ShapeError
from actspan.core.files import atomic_file, folder_name_error, is_plain_name, read_bytes
from actspan.core.limits import WEIGHTS
from actspan.core.types import Float32
from actspan.model.files import (
    FileRecord,
    beside,
    check_record,
    damage,
    measure,
    place,
    record_of,
    remedy,
    write_folder,
    writer,
)
from actspan.model.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    Manifest,
    Source,
    check_consistent,
    read_manifest,
)
from actspan.model.weights import ABSENT, NETS, Net, NetConfig, check_weights


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model: weights, settings, expected features and exported files.

    Attributes
    ----------
    path : Path
        The folder.
    config : PipelineConfig
        Settings of every stage.
    features : FeatureSpec
        Features that the model expects.
    source : Source
        Origin of the weights.
    files : mapping of str to FileRecord
        Checksums of all files in the folder.
    training : mapping, optional
        Record of the training.

    Examples
    --------
    >>> bundle = Bundle.load("bsn/")  # doctest: +SKIP
    >>> bundle.has_tem, bundle.weights("pem")["fc1.weight"].shape  # doctest: +SKIP
    (True, (256, 32))
    """

    path: Path
    config: PipelineConfig
    features: FeatureSpec
    source: Source
    files: Mapping[str, FileRecord]
    training: Mapping[str, Any] | None = None

    @property
    def has_tem(self) -> bool:
        """True if the bundle holds a TEM."""
        return "tem.safetensors" in self.files

    @property
    def has_pem(self) -> bool:
        """True if the bundle holds a PEM."""
        return "pem.safetensors" in self.files

    @property
    def nets(self) -> set[Net]:
        """Those of BSN's two networks that the bundle holds."""
        return {net for net in NETS if f"{net}.safetensors" in self.files}

    @property
    def has_classifier(self) -> bool:
        """True if the bundle holds a proposal classifier."""
        return "classifier.safetensors" in self.files

    @property
    def set_apart(self) -> tuple[str, ...]:
        """Ids of the videos that training set apart for validation, without a given subset."""
        found = (self.training or {}).get("set_apart", ())
        return tuple(map(str, found)) if isinstance(found, (list, tuple)) else ()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a bundle's `model.toml`; the other files are checked when they are used.

        Raises
        ------
        BundleError
            The folder is not a bundle, has a newer format, or its settings are damaged or
            contradict each other.
        """
        manifest = read_manifest(Path(path))
        return cls(
            path=Path(path),
            config=manifest.pipeline,
            features=manifest.features,
            source=manifest.source,
            files=manifest.files,
            training=manifest.training,
        )

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        config: PipelineConfig,
        features: FeatureSpec,
        source: Source,
        tem: Mapping[str, ArrayLike] | None,
        pem: Mapping[str, ArrayLike] | None,
        training: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> Self:
        """Write a bundle: all of it, or nothing.

        Parameters
        ----------
        tem, pem : mapping of str to array, optional
            Weights under the names of `weight_shapes`; at least one network is needed.
        training : mapping, optional
            Record of the training; anything that TOML can hold.
        overwrite : bool
            Replace an existing bundle. A folder that is not a bundle is never replaced.

        Raises
        ------
        BundleError
            `path` already exists or cannot be written, or weights do not fit `config`.
        """
        path = Path(path)
        cls.check_target(path, overwrite=overwrite)
        nets: tuple[tuple[Net, Mapping[str, ArrayLike] | None], ...] = (("tem", tem), ("pem", pem))
        contents = {
            f"{net}.safetensors": pack(path, config, net, weights)
            for net, weights in nets
            if weights is not None
        }
        if not contents:
            raise BundleError(f"{path}: a bundle needs the weights of a TEM, a PEM or both")
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            source=source,
            features=features,
            pipeline=config,
            files={name: record_of(data) for name, data in contents.items()},
            training=None if training is None else msgspec.to_builtins(dict(training)),
        )
        check_consistent(manifest, path)
        contents[MANIFEST] = dump_toml(to_dict(manifest)).encode()
        try:
            write_folder(path.resolve(), contents)
        except (OSError, ActSpanError) as error:
            raise BundleError(f"{path}: cannot be written: {error}") from error
        return cls.load(path)

    @staticmethod
    def check_target(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Raise, before long work, if no bundle can be written to a path.

        Raises
        ------
        BundleError
            The path exists and must not be replaced, or has a file's name.
        """
        path = Path(path)
        if fault := folder_name_error(path, "a bundle"):
            raise BundleError(fault)
        if (path / MANIFEST).is_file():
            if not overwrite:
                raise BundleError(
                    f"{path}: there is a bundle already; choose another folder, or ask to "
                    "replace it: --force"
                )
        elif path.is_dir() and not any(path.iterdir()):
            return
        elif path.exists() or path.is_symlink():
            raise BundleError(
                f"{path}: exists and is not a bundle, so it is left alone; choose another folder"
            )

    def weights(self, net: Net) -> dict[str, Float32]:
        """Load the float32 weights of one network; check checksum and shapes.

        Raises
        ------
        BundleError
            The bundle lacks this network, or the file is missing, damaged or does not fit.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        path = self.path / f"{net}.safetensors"
        record = self._recorded(path.name)
        try:
            data = read_bytes(path, WEIGHTS)
        except OSError as error:
            raise BundleError(damage(path, f"cannot be read: {error.strerror}")) from error
        check_record(path, record_of(data), record)
        try:
            return check_weights(load(data), _stage(self.config, net, path))
        except (SafetensorError, ShapeError) as error:
            raise BundleError(
                f"{path}: does not fit {MANIFEST}: {error}; {remedy(path)}"
            ) from error

    def file(self, name: str) -> Path:
        """Return the path of a file of the bundle; check its checksum.

        Raises
        ------
        BundleError
            The bundle lacks the file, or it is damaged; the message says how to write it again.
        """
        record, path = self._recorded(name), self.path / name
        try:
            found = measure(path)
        except OSError as error:
            raise BundleError(damage(path, f"cannot be read: {error.strerror}")) from error
        check_record(path, found, record)
        return path

    def add_file(self, name: str, write: Callable[[Path], None]) -> Self:
        """Add or replace a file: `write` fills a temporary file, which then takes its place.

        A reader never sees a half-written file. `model.toml` is written last; after an
        interruption the file counts as absent.

        Returns
        -------
        Bundle
            The bundle with the new record; this object is unchanged.

        Raises
        ------
        BundleError
            `name` is not a plain file name, or the folder cannot be written.
        """
        if name == MANIFEST or not is_plain_name(name):
            raise BundleError(f"{self.path}: {name!r} cannot be the name of an added file")
        files = dict(read_manifest(self.path).files)  # another process may have added files
        temporary = beside(self.path / name)
        try:
            write(temporary)
            record = measure(temporary)
            if files.pop(name, record) != record:
                self.write_manifest(files)
            place(temporary, self.path / name)
            files = dict(sorted((files | {name: record}).items()))
            self.write_manifest(files)
        except OSError as error:
            raise BundleError(f"{self.path / name}: cannot be written: {error}") from error
        finally:
            temporary.unlink(missing_ok=True)
        return replace(self, files=files)

    def with_training(self, **entries: Any) -> Self:
        """Add entries to the record of the training, here and on disk."""
        record = {**(self.training or {}), **msgspec.to_builtins(entries)}
        changed = replace(self, training=record)
        changed.write_manifest(dict(self.files))
        return changed

    def manifest(self, files: dict[str, FileRecord]) -> Manifest:
        """Return the content of `model.toml`: this bundle's settings, with these files."""
        return Manifest(
            format_version=FORMAT_VERSION,
            source=self.source,
            features=self.features,
            pipeline=self.config,
            files=files,
            training=None if self.training is None else dict(self.training),
        )

    def write_manifest(self, files: dict[str, FileRecord]) -> None:
        """Write `model.toml`: this bundle's settings, with these files."""
        try:
            with atomic_file(self.path / MANIFEST) as stream:
                stream.write(dump_toml(to_dict(self.manifest(files))).encode())
        except ActSpanError as error:
            raise BundleError(str(error)) from error

    def _recorded(self, name: str) -> FileRecord:
        if name in self.files:
            return self.files[name]
        net = name.partition(".")[0]
        if net in ABSENT and f"{net}.safetensors" not in self.files:
            what = net.upper() if net in NETS else net
            raise BundleError(f"{self.path}: this bundle has no {what}; {ABSENT[net]}")
        raise BundleError(f"{self.path}: has no {name}; write it: {writer(self.path / name)}")


def _stage(config: PipelineConfig, net: Net, path: Path) -> NetConfig:
    stages: dict[Net, NetConfig | None]
    stages = {"tem": config.tem, "pem": config.pem, "classifier": config.classifier}
    stage = stages[net]
    if stage is None:
        raise BundleError(f"{path}: there are {net} weights, but no config of {net}")
    return stage


def pack(path: Path, config: PipelineConfig, net: Net, weights: Mapping[str, ArrayLike]) -> bytes:
    """Serialise the weights of a network.

    Raises
    ------
    BundleError
        The weights do not fit `config`; the message names `path`.
    """
    from safetensors.numpy import save

    try:
        packed: bytes = save(check_weights(weights, _stage(config, net, path)))
    except ShapeError as error:
        raise BundleError(f"{path}: the {net} weights do not fit its config: {error}") from error
    return packed
