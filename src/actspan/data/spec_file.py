"""`dataset.toml`: the feature spec of a dataset, as far as its author gives it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from actspan.config.base import from_dict, read_toml
from actspan.config.stages import FeatureSpec
from actspan.core.errors import DataError
from actspan.data.store.manifest import Manifest

SPEC_FILE = "dataset.toml"


def read_spec(path: Path, packing: Manifest | None) -> FeatureSpec:
    """Return the spec of a dataset folder; for a store, channels and layout are known from packing.

    Raises
    ------
    DataError
        The file has an unknown table, or keys outside of a table.
    ConfigError
        The file has an unknown key or a bad value.
    """
    file = path / SPEC_FILE
    values = read_toml(file) if file.is_file() else {}
    unknown = set(values) - {"features"}
    if unknown:
        names = ", ".join(sorted(unknown))
        if unknown <= set(FeatureSpec.__struct_fields__):
            raise DataError(f"{file}: write [features] above {names}")
        raise DataError(f"{file}: only the table [features] is known, not {names}")
    spec = from_dict(FeatureSpec, values.get("features", {}), where=f"{file} [features]")
    if packing is None:
        return spec
    return msgspec.structs.replace(spec, channels=packing.channels, layout="TC", join=None)
