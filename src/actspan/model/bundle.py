"""Bundles: load, create, read weights, add files and networks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import msgspec
from numpy.typing import ArrayLike

from actspan.config.base import dump_toml
from actspan.config.stages import ClassifierConfig, FeatureSpec, PipelineConfig
from actspan.core.errors import ActSpanError, BundleError, ShapeError
from actspan.core.files import (
    atomic_file,
    check_size,
    is_plain_name,
    sha256,
)
from actspan.core.folders import atomic_folder, locked_folder
from actspan.core.limits import WEIGHTS
from actspan.core.types import Float32
from actspan.model.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    FileRecord,
    Manifest,
    Source,
    check_new_bundle,
    check_place,
    mismatch,
    read_manifest,
    remedy,
    unreadable,
    writing_command,
)
from actspan.model.nets import ABSENT, NETS, Net, nets_of, video_net
from actspan.model.weights import NetConfig, pack_weights, unpack_weights

_WAIT = 60.0  # seconds for another process that adds a file to a bundle


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model on disk: weights, settings, expected features and exported files.

    Examples
    --------
    >>> Bundle.load("bsn/").weights("pem")["fc1.weight"].shape  # doctest: +SKIP
    (256, 32)
    """

    path: Path
    config: PipelineConfig  # settings of every stage
    features: FeatureSpec  # features that the model expects
    source: Source  # origin of the weights
    files: Mapping[str, FileRecord] = field(default_factory=dict)  # their checksums
    training: Mapping[str, Any] | None = None  # record of the training
    nets: frozenset[Net] = field(init=False)  # those that make proposals
    missing_nets: frozenset[Net] = field(init=False)  # those of its kind that it does not contain

    def __post_init__(self) -> None:
        """Raise BundleError if the settings and files contradict each other."""
        nets = frozenset(net for net in NETS if f"{net}.safetensors" in self.files)
        needed = nets_of(self.config) if self.config.label_free is None else frozenset[Net]()
        object.__setattr__(self, "nets", nets)
        object.__setattr__(self, "missing_nets", needed - nets)
        pem, size = self.config.pem, self.config.pem_inputs
        video, channels = self.config.video_network, self.features.channels
        faults = [
            f"{net}.safetensors exists, but no [pipeline.{net}]"
            for net in (*NETS, "classifier")
            if getattr(self.config, net) is None and f"{net}.safetensors" in self.files
        ]
        if video is not None and channels is not None and video.channels != channels:
            net = video_net(self.config)
            faults.append(f"features have {channels} channels, {net} expects {video.channels}")
        if "bmn" in nets and len(nets) > 1:
            faults.append("networks of BSN and of BMN are in one bundle")
        if pem is not None and pem.inputs != size:
            made = f"[pipeline.bsp] gives {size} features"
            if self.config.curves:
                made = f"{made} of {self.config.curves} curves"
            alone = " (of curves? Convert its TEM with it)" if self.config.tem is None else ""
            faults.append(f"{made}, pem expects {pem.inputs}{alone}")
        faults += [f"{n!r} is not a plain file name" for n in self.files if not is_plain_name(n)]
        if faults:
            where = self.path / MANIFEST
            raise BundleError(f"{where}: {'; '.join(faults)}. Repair it, or write the bundle again")

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes that every result of the bundle carries."""
        if self.config.label_free is None:
            return ()
        return ("label-free: these segments are where the stream changes, not what happens",)

    @property
    def takes_features(self) -> bool:
        """True if proposals can be made from features, and not only from boundary scores."""
        return not {"tem", "bmn"} & self.missing_nets

    @property
    def has_classifier(self) -> bool:
        """True if the bundle contains a proposal classifier."""
        return "classifier.safetensors" in self.files

    @property
    def set_apart(self) -> tuple[str, ...]:
        """Ids of the videos that training held out for validation, without a given subset."""
        ids = (self.training or {}).get("set_apart", ())
        return tuple(map(str, ids)) if isinstance(ids, (list, tuple)) else ()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a bundle's `model.toml`; the other files are checked when they are used.

        Raises BundleError if the folder is not a bundle, has a newer format, or is damaged.
        """
        if not isinstance(path, Path):
            check_place(path)
            path = Path(path)
        found = read_manifest(path)
        return cls(path, found.pipeline, found.features, found.source, found.files, found.training)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        config: PipelineConfig,
        features: FeatureSpec,
        source: Source,
        weights: Mapping[Net, Mapping[str, ArrayLike]],
        training: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> Self:
        """Write a bundle: all of it, or nothing.

        Parameters
        ----------
        weights : mapping of network to mapping of str to array
            Weights of "tem" and "pem", of one of them, or of "bmn", under the names of
            `weight_shapes`.
        training : mapping, optional
            Record of the training; any values of TOML.
        overwrite : bool
            Replace a bundle; another folder is never replaced.

        Raises
        ------
        BundleError
            `path` already exists or cannot be written, or weights do not fit `config`.
        """
        path = Path(path)
        check_new_bundle(path, overwrite=overwrite)
        bundle = cls(path, config, features, source)
        contents = {f"{net}.safetensors": bundle._pack(net, w) for net, w in weights.items()}
        if not contents:
            raise BundleError(f"{path}: a bundle needs the weights of a TEM, a PEM or a BMN")
        bundle = replace(
            bundle,
            files={name: FileRecord.of_data(data) for name, data in contents.items()},
            training=None if training is None else msgspec.to_builtins(dict(training)),
        )
        contents[MANIFEST] = bundle._manifest()
        try:
            with locked_folder(path):
                check_new_bundle(path, overwrite=overwrite)  # again: it was perhaps repaired
                with atomic_folder(path) as folder:
                    for name, data in contents.items():
                        with atomic_file(folder / name) as stream:
                            stream.write(data)
        except BundleError:
            raise
        except (OSError, ActSpanError) as error:
            raise BundleError(f"{path}: cannot be written: {error}") from error
        return bundle

    def file(self, name: str) -> Path:
        """Return the path of a file of the bundle; raise BundleError if it is absent or damaged."""
        path, record = self.path / name, self.files.get(name)
        if record is None:
            net = name.partition(".")[0]
            if net in ABSENT and f"{net}.safetensors" not in self.files:
                what = net.upper() if net in NETS else net
                raise BundleError(f"{self.path}: this bundle has no {what}; {ABSENT[net]}")
            raise BundleError(f"{self.path}: has no {name}; write it: {writing_command(path)}")
        try:
            check_size(path, WEIGHTS)
            actual = FileRecord(sha256=sha256(path), size=path.stat().st_size)
        except OSError as error:
            raise unreadable(path, error) from error
        if actual != record:
            raise mismatch(path, actual, record)
        return path

    def settings(self, net: Net) -> NetConfig:
        """Return the settings of a network; raise BundleError if it has none."""
        config: NetConfig | None = getattr(self.config, net)
        if config is None:
            raise BundleError(f"{self.path}: there are no settings of {net}")
        return config

    def weights(self, net: Net) -> dict[str, Float32]:
        """Load the float32 weights of one network; raise as `file`, or if they do not fit."""
        path = self.file(f"{net}.safetensors")
        try:
            return unpack_weights(path.read_bytes(), self.settings(net))
        except (OSError, ShapeError) as error:
            what = f"does not fit {MANIFEST}: {error}; {remedy(path)}"
            raise BundleError(f"{path}: {what}") from error

    def add_file(self, name: str, content: bytes | Callable[[Path], object]) -> Self:
        """Add or replace a file; a function fills a temporary file, which then takes its place.

        A reader never sees a half-written file. `model.toml` is written last; after an
        interruption the file counts as absent. The returned bundle has the new record.
        Raises BundleError for a bad name, or if the folder cannot be written.
        """
        if name == MANIFEST or not is_plain_name(name):
            raise BundleError(f"{self.path}: {name!r} cannot be the name of an added file")
        path = self.path / name
        try:
            with ExitStack() as stack:
                with atomic_file(path) as stream:
                    if isinstance(content, bytes):
                        stream.write(content)
                        stream.flush()
                    else:
                        content(Path(stream.name))
                    record = FileRecord.of_file(Path(stream.name))
                    stack.enter_context(locked_folder(self.path, wait=_WAIT))
                    files = dict(self.load(self.path).files)  # another process may have added files
                    if files.pop(name, record) != record:
                        replace(self, files=files)._write_manifest()
                changed = replace(self, files=dict(sorted((files | {name: record}).items())))
                changed._write_manifest()
        except BundleError:
            raise
        except (OSError, ActSpanError) as error:
            raise BundleError(f"{path}: cannot be written: {error}") from error
        return changed

    def add_networks(self, weights: Mapping[Net, Mapping[str, ArrayLike]]) -> Self:
        """Write networks, under the names of `weight_shapes`; replace those of the same kind.

        Files exported or compiled from a replaced network are no longer valid. Raises BundleError
        if weights do not fit the settings, or the folder cannot be written.
        """
        packed = {net: self._pack(net, arrays) for net, arrays in weights.items()}
        kept = {n: r for n, r in self.files.items() if n.partition(".")[0] not in packed}
        changed = replace(self, files=kept)
        changed._write_manifest()  # from here on the old networks count as absent
        for net, data in packed.items():
            changed = changed.add_file(f"{net}.safetensors", data)
        return changed

    def add_classifier(
        self,
        config: ClassifierConfig,
        weights: Mapping[str, ArrayLike],
        *,
        training: Mapping[str, Any] | None = None,
    ) -> Self:
        """Add a proposal classifier, or replace it, with the record of its training."""
        record = dict(self.training or {})
        if training is not None:
            record["classifier"] = msgspec.to_builtins(dict(training))
        pipeline = msgspec.structs.replace(self.config, classifier=config)
        changed = replace(self, config=pipeline, training=record or None)
        return changed.add_networks({"classifier": weights})

    def with_training(self, **entries: Any) -> Self:
        """Add entries to the record of the training, here and on disk."""
        record = {**(self.training or {}), **msgspec.to_builtins(entries)}
        changed = replace(self, training=record)
        changed._write_manifest()
        return changed

    def _pack(self, net: Net, weights: Mapping[str, ArrayLike]) -> bytes:
        config = getattr(self.config, net)
        if config is None:
            raise BundleError(f"{self.path}: there are {net} weights, but no config of {net}")
        try:
            return pack_weights(weights, config)
        except ShapeError as error:
            text = f"{self.path}: the {net} weights do not fit its config: {error}"
            raise BundleError(text) from error

    def _manifest(self) -> bytes:
        """Return the content of `model.toml`."""
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            source=self.source,
            features=self.features,
            pipeline=self.config,
            files=dict(self.files),
            training=None if self.training is None else dict(self.training),
        )
        return dump_toml(manifest).encode()

    def _write_manifest(self) -> None:
        content = self._manifest()
        try:
            with atomic_file(self.path / MANIFEST) as stream:
                stream.write(content)
        except ActSpanError as error:
            raise BundleError(str(error)) from error
