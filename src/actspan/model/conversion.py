"""Bundles made of third-party checkpoints, with the published settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from actspan.config.bmn import BmnPreset
from actspan.config.stages import FeatureSpec, PipelineConfig
from actspan.core.errors import BundleError, CheckpointError
from actspan.core.folders import locked_folder
from actspan.model.bundle import Bundle
from actspan.model.checkpoints import ORIGINS, CheckpointNetwork, read_checkpoint
from actspan.model.manifest import MANIFEST, Source, check_new_bundle
from actspan.model.nets import BMN, BSN, Net


def convert_checkpoints(
    paths: list[Path],
    out: Path,
    *,
    preset: BmnPreset | None = None,
    length: int | None = None,
    overwrite: bool = False,
) -> tuple[Bundle, list[CheckpointNetwork]]:
    """Make a bundle of a TEM, a PEM or both, in any order, or of a BMN, with published settings.

    If the bundle exists, missing networks are added to it; with `overwrite`, also replaced.
    `preset` and `length` as in `read_checkpoint`.

    Raises
    ------
    CheckpointError
        A file cannot be used, two contain the same network, or they are of BSN and of BMN.
    BundleError
        `out` is taken or cannot be written, or the networks do not fit each other.
    DataError
        Another process writes to `out`.
    """
    with locked_folder(out):
        is_bundle = (out / MANIFEST).is_file()
        if not is_bundle:
            check_new_bundle(out, overwrite=overwrite)
        networks = _read(paths, preset, length)
        bundle = Bundle.load(out) if is_bundle else None
        return _write(networks, out, bundle, overwrite), list(networks.values())


def _read(
    paths: list[Path], preset: BmnPreset | None, length: int | None
) -> dict[Net, CheckpointNetwork]:
    """Read checkpoints of one kind of model."""
    networks: dict[Net, CheckpointNetwork] = {}
    for path in paths:
        checkpoint = read_checkpoint(path, preset=preset, length=length)
        kind = checkpoint.kind.upper()
        if checkpoint.kind in networks:
            same = networks[checkpoint.kind].path
            what = f"is a {kind}, and so is {same}; give at most one of each"
            raise CheckpointError(f"{path}: {what}")
        networks[checkpoint.kind] = checkpoint
        if not (networks.keys() <= BSN or networks.keys() <= BMN):
            other = next(iter(networks.values()))
            what = f"is a {kind}, and {other.path} a {other.kind.upper()}, of another kind of model"
            raise CheckpointError(f"{path}: {what}; convert each to a bundle of its own")
    return networks


def _write(
    networks: Mapping[Net, CheckpointNetwork], out: Path, bundle: Bundle | None, overwrite: bool
) -> Bundle:
    """Write a new bundle of networks, or add them to `bundle`, which is in `out`."""
    notes = (
        f"{c.kind.upper()}: {c.path.name}, from {ORIGINS[c.origin]}"
        + (f", preset {c.preset}" if c.preset else "")
        for c in networks.values()
    )
    source = Source.of([c.path for c in networks.values()], note="; ".join(notes))
    nets = bundle.nets if bundle is not None else frozenset[Net]()
    existing = [net.upper() for net in networks if net in nets]
    if existing and not overwrite:
        raise BundleError(
            f"{out}: a bundle already exists, with a {' and a '.join(existing)}; choose another "
            "folder, or ask to replace it: --force"
        )
    if bundle is not None and not nets <= networks.keys():
        if ("bmn" in nets) != ("bmn" in networks):
            what = f"is a bundle with a {' and a '.join(net.upper() for net in sorted(nets))}"
            more = " and a ".join(net.upper() for net in networks)
            raise BundleError(f"{out}: {what}, which no {more} fits; choose another folder")
        return _add(bundle, networks, source)
    config = _with_sizes(next(iter(networks.values())).pipeline, networks)
    seen = config.video_network
    return Bundle.create(
        out,
        config=config,
        features=FeatureSpec(channels=None if seen is None else seen.channels),
        source=source,
        weights={net: checkpoint.weights for net, checkpoint in networks.items()},
        overwrite=overwrite,
    )


def _add(bundle: Bundle, networks: Mapping[Net, CheckpointNetwork], source: Source) -> Bundle:
    """Add networks to a bundle; keep its other network and its settings."""
    old_source, config = bundle.source, _with_sizes(bundle.config, networks)
    features = bundle.features
    if features.channels is None and config.tem is not None:
        features = msgspec.structs.replace(features, channels=config.tem.channels)
    combined = Source(
        tool=source.tool,
        note="; ".join(filter(None, (old_source.note, source.note))),
        files=(*old_source.files, *source.files),
    )
    fitted = replace(bundle, config=config, features=features, source=combined)
    return fitted.add_networks({net: checkpoint.weights for net, checkpoint in networks.items()})


def _with_sizes(
    config: PipelineConfig, networks: Mapping[Net, CheckpointNetwork]
) -> PipelineConfig:
    """Return the settings with the sizes of the given networks."""
    sizes = {net: checkpoint.config for net, checkpoint in networks.items()}
    return msgspec.structs.replace(config, **sizes)
