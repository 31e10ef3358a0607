"""Networks that are put into a bundle that exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import ArrayLike

from actspan.bundle.manifest import check_consistent
from actspan.bundle.model import Bundle, pack
from actspan.bundle.weights import Net
from actspan.config import ClassifierConfig


def add_networks(bundle: Bundle, weights: Mapping[Net, Mapping[str, ArrayLike]]) -> Bundle:
    """Write networks into a bundle, in place of those of their kind.

    What was exported or compiled from a network that is replaced no longer counts.

    Parameters
    ----------
    bundle : Bundle
        With the settings that it is to have.
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
    bare.write_manifest(files)  # old networks count as absent from here on
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
    """Put a proposal classifier into a bundle, in place of the one that is there.

    Parameters
    ----------
    config : ClassifierConfig
        With the labels.
    weights : mapping of str to array
        Under the names of `weight_shapes`.
    training : mapping, optional
        What the trainer chose to record; anything that TOML can hold.

    Returns
    -------
    Bundle
        With the classifier, not exported yet.

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
