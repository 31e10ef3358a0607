"""A bundle's third network: the proposal classifier, which comes later than the other two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import ArrayLike

from actspan.bundle.model import Bundle, pack
from actspan.config import ClassifierConfig


def add_classifier(
    bundle: Bundle,
    config: ClassifierConfig,
    weights: Mapping[str, ArrayLike],
    *,
    training: Mapping[str, Any] | None = None,
) -> Bundle:
    """Put a classifier into a bundle, in place of the one that is there.

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
    pipeline = msgspec.structs.replace(bundle.config, classifier=config)
    data = pack(bundle.path, pipeline, "classifier", weights)
    files = {name: r for name, r in bundle.files.items() if not name.startswith("classifier.")}
    record = dict(bundle.training or {})
    if training is not None:
        record["classifier"] = msgspec.to_builtins(dict(training))
    bare = replace(bundle, config=pipeline, files=files, training=record or None)
    bare.write_manifest(files)  # an old classifier counts as absent from here on

    def write(path: Path) -> None:
        path.write_bytes(data)

    return bare.add_file("classifier.safetensors", write)
