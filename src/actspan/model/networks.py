"""Add networks to an existing bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import ArrayLike

from actspan.config.stages import ClassifierConfig
from actspan.model.bundle import Bundle, pack
from actspan.model.manifest import check_consistent
from actspan.model.weights import Net


def add_networks(bundle: Bundle, weights: Mapping[Net, Mapping[str, ArrayLike]]) -> Bundle:
    """Write networks into a bundle; replace those of the same kind.

    Files exported or compiled from a replaced network are no longer valid.

    Parameters
    ----------
    bundle : Bundle
        A bundle with its new settings.
    weights : mapping of network to mapping of str to array
        Under the names of `weight_shapes`.

    Raises
    ------
    BundleError
        Weights do not fit their settings, settings contradict each other, or the folder cannot be
        written.
    """
    packed = {net: pack(bundle.path, bundle.config, net, w) for net, w in weights.items()}
    files = {n: r for n, r in bundle.files.items() if n.partition(".")[0] not in packed}
    bare = replace(bundle, files=files)
    check_consistent(bare.manifest(files), bundle.path)
    bare.write_manifest(files)  # from here on the old networks count as absent
    for net, data in packed.items():
        bare = bare.add_file(f"{net}.safetensors", partial(_write, data))
    return bare


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def add_classifier(
    bundle: Bundle,
    config: ClassifierConfig,
    weights: Mapping[str, ArrayLike],
    *,
    training: Mapping[str, Any] | None = None,
) -> Bundle:
    """Add a proposal classifier to a bundle; replace an existing one.

    Parameters
    ----------
    config : ClassifierConfig
        Settings, with the labels.
    weights : mapping of str to array
        Under the names of `weight_shapes`.
    training : mapping, optional
        Record of the training; anything that TOML can hold.

    Returns
    -------
    Bundle
        The bundle with the classifier, not exported yet.

    Raises
    ------
    BundleError
        The weights do not fit `config`, or the folder cannot be written.
    """
    record = dict(bundle.training or {})
    if training is not None:
        record["classifier"] = msgspec.to_builtins(dict(training))
    pipeline = msgspec.structs.replace(bundle.config, classifier=config)
    fitted = replace(bundle, config=pipeline, training=record or None)
    return add_networks(fitted, {"classifier": weights})
