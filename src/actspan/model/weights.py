"""Weights of each network: names, shapes, checks, and their form on disk."""

from __future__ import annotations

from collections.abc import Container, Mapping
from itertools import takewhile
from math import gcd

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import ArrayLike

from actspan.config.bmn import BmnConfig
from actspan.config.stages import ClassifierConfig, PemConfig, TemConfig
from actspan.core.errors import ConfigError, ShapeError
from actspan.core.limits import DILATED, LAYERS
from actspan.core.types import Float32
from actspan.model.nets import Net

NetConfig = TemConfig | PemConfig | BmnConfig | ClassifierConfig

# Groups of BMN's convolutions over time, but for the one that is sampled. Where a number of
# channels is no multiple of it, there are as many groups as divide both.
BMN_GROUPS = 4

_SETTINGS = "bmn"  # metadata of a file of BMN's weights: its settings, as JSON

# By number of axes: weights whose rank may differ in other checkpoints.
_FORMS = {
    "conv1.weight": "(hidden, channels, 3)",
    "conv2.weight": "(hidden, hidden, 3)",
    "conv3.weight": "(outputs, hidden, 1)",
    "fc1.weight": "(hidden, inputs)",
    "fc2.weight": "(outputs, hidden)",
}
_RANKS = {2: "two-dimensional", 3: "three-dimensional"}


def weight_shapes(config: NetConfig) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every weight that a network must have."""
    H, shapes = config.hidden, dict[str, tuple[int, ...]]()
    layers: dict[str, tuple[int, ...]]
    if isinstance(config, TemConfig):
        inner = (H, H // config.members, 3)
        layers = {"conv1": (H, config.channels, 3), "conv2": inner}
        layers |= dict.fromkeys(dilated_layers(config.dilated), inner)
        layers["conv3"] = (config.outputs, H, 1)
    elif isinstance(config, PemConfig):
        layers = dict.fromkeys(hidden_layers(config.layers), (H, H))
        layers |= {"fc1": (H, config.inputs), last_layer(config.layers): (1, H)}
    elif isinstance(config, BmnConfig):
        layers = _bmn_layers(config)
    else:
        shapes |= {"input.mean": (config.inputs,), "input.scale": (config.inputs,)}
        outputs = len(config.labels) + 1  # plus background
        layers = {"fc1": (H, config.inputs), "fc2": (outputs, H)}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def _bmn_layers(config: BmnConfig) -> dict[str, tuple[int, ...]]:
    """Return name and shape of the weight of every layer of BMN (bmn.md section 1)."""
    base, matched, hidden = config.base, config.matched, config.hidden
    grouped = (base, base // gcd(BMN_GROUPS, base), 3)
    return {
        "base.conv1": (base, config.channels // gcd(BMN_GROUPS, config.channels, base), 3),
        "base.conv2": grouped,
        "start.conv1": grouped,
        "start.conv2": (1, base, 1),
        "end.conv1": grouped,
        "end.conv2": (1, base, 1),
        "sampled.conv": (config.sampled, base, 3),
        "matched.conv": (matched, config.sampled, config.samples),  # without its axes of size 1
        "map.conv1": (hidden, matched, 1, 1),
        "map.conv2": (hidden, hidden, 3, 3),
        "map.conv3": (hidden, hidden, 3, 3),
        "map.conv4": (2, hidden, 1, 1),
    }


def infer_bmn(shapes: Mapping[str, tuple[int, ...]], default: BmnConfig) -> BmnConfig:
    """Infer the sizes of BMN from its weights' shapes; a size of an invalid one is the default's.

    Weights say nothing of the axes and lengths of the map, which are those of `default`, and the
    first layer is taken to have 4 groups.
    """
    sizes: dict[str, int] = {}
    for layer, axes in {
        "base.conv1": {"base": 0, "channels": 1},
        "sampled.conv": {"sampled": 0},
        "matched.conv": {"matched": 0, "samples": 2},
        "map.conv1": {"hidden": 0},
    }.items():
        shape = shapes.get(f"{layer}.weight", ())
        if len(shape) == (4 if layer == "map.conv1" else 3) and 0 not in shape:
            sizes |= {name: shape[axis] for name, axis in axes.items()}
    if "channels" in sizes:
        sizes["channels"] *= BMN_GROUPS
    return replace(default, **sizes)


def infer_config(net: Net, shapes: Mapping[str, tuple[int, ...]]) -> TemConfig | PemConfig:
    """Infer the sizes of a network from its weights' shapes; return the defaults if invalid."""
    if net == "pem":
        fc1, layers = shapes.get("fc1.weight", ()), layers_of(shapes)
        is_valid = len(fc1) == 2 and 0 not in fc1
        return PemConfig(hidden=fc1[0], inputs=fc1[1], layers=layers) if is_valid else PemConfig()
    conv1, conv2 = shapes.get("conv1.weight", ()), shapes.get("conv2.weight", ())
    if len(conv1) != 3 or 0 in conv1:
        return TemConfig()
    inputs = conv2[1] if len(conv2) == 3 else 0
    members = conv1[0] // inputs if inputs and conv1[0] % inputs == 0 else 1
    conv3 = shapes.get("conv3.weight", ())
    return TemConfig(
        hidden=conv1[0],
        channels=conv1[1],
        members=members,
        dilated=len(dilations_of(shapes)),
        curves=max(0, conv3[0] - 5) if len(conv3) == 3 else 0,
    )


def dilations_of(tem: Container[str]) -> dict[str, int]:
    """Return the dilations of the residual layers among the names of TEM's weights, by layer."""
    layers = dilated_layers(DILATED)
    return dict(takewhile(lambda layer: f"{layer[0]}.weight" in tem, layers.items()))


def dilated_layers(count: int) -> dict[str, int]:
    """Return the dilation of each residual layer of TEM by name, in order: 2, 4, 8, ... cells."""
    return {f"dilated.{k}": 2 ** (k + 1) for k in range(count)}


def hidden_layers(count: int) -> list[str]:
    """Return the names of PEM's hidden layers, in order."""
    return [f"fc{k + 1}" for k in range(count)]


def last_layer(count: int) -> str:
    """Return the name of the last layer of a PEM with some hidden layers."""
    return f"fc{count + 1}"


def layers_of(pem: Container[str]) -> int:
    """Return the number of hidden layers from the names of PEM's weights, at least 1."""
    last = [last_layer(count) for count in range(2, LAYERS + 1)]
    return 1 + len(list(takewhile(lambda layer: f"{layer}.weight" in pem, last)))


def members_of(tem: Mapping[str, Float32]) -> int:
    """Return the number of ensemble members in the weights of a TEM (`TemConfig.members`)."""
    weight = tem["conv2.weight"]  # (H, H / members, 3)
    return len(weight) // int(weight.shape[1])


def check_weights(weights: Mapping[str, ArrayLike], config: NetConfig) -> dict[str, Float32]:
    """Return the weights of one network as contiguous float32; raise ShapeError if they do not fit.

    TEM and BMN may also have `input.mean` and `input.scale`, (C,); their input is then
    `(x - mean) * scale`. The error names the weight that is missing, unknown, of another shape, or
    not finite.
    """
    shapes = weight_shapes(config)
    standardizes = "input.mean" in weights or "input.scale" in weights
    if isinstance(config, TemConfig | BmnConfig) and standardizes:
        shapes |= {"input.mean": (config.channels,), "input.scale": (config.channels,)}
    missing, unknown = sorted(shapes.keys() - weights), sorted(weights.keys() - shapes)
    if missing or unknown:
        raise ShapeError(
            "; ".join(
                f"{what} weights: {', '.join(names)}"
                for what, names in (("missing", missing), ("unknown", unknown))
                if names
            )
        )
    arrays = {name: np.ascontiguousarray(weights[name], dtype=np.float32) for name in shapes}
    for name, array in arrays.items():
        if array.shape != shapes[name]:
            raise ShapeError(_wrong_shape(name, array.shape, shapes[name]))
        if not np.isfinite(array).all():
            raise ShapeError(f"{name} contains NaN or infinity")
    return arrays


def _wrong_shape(name: str, shape: tuple[int, ...], needed: tuple[int, ...]) -> str:
    """Describe a wrong shape: its rank, if sizes are inferred from it, or a size."""
    form = _FORMS.get(name)
    if form is None or len(shape) == len(needed):
        return f"{name} has shape {shape}; {needed} is needed"
    return f"{name} has shape {shape}; {_RANKS[len(needed)]} weights are needed: {form}"


def pack_weights(weights: Mapping[str, ArrayLike], config: NetConfig) -> bytes:
    """Serialise the weights of a network; raise as `check_weights`."""
    from safetensors.numpy import save

    metadata = None
    if isinstance(config, BmnConfig):  # shapes do not give the axes of its map
        metadata = {_SETTINGS: msgspec.json.encode(config).decode()}
    return bytes(save(check_weights(weights, config), metadata))


def settings_of(
    weights: Mapping[str, Float32], metadata: Mapping[str, str]
) -> TemConfig | PemConfig | BmnConfig | None:
    """Return the settings of the network in a file with these metadata; None if it is none."""
    if _SETTINGS in metadata:
        try:
            return msgspec.json.decode(metadata[_SETTINGS], type=BmnConfig)
        except (msgspec.DecodeError, ConfigError):
            return None
    shapes = {name: array.shape for name, array in weights.items()}
    if "conv1.weight" in shapes:
        return infer_config("tem", shapes)
    return infer_config("pem", shapes) if "fc1.weight" in shapes else None


def unpack_weights(data: bytes, config: NetConfig) -> dict[str, Float32]:
    """Read the weights of a network; raise as `check_weights`, also for damaged data."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return check_weights(load(data), config)
    except SafetensorError as error:
        raise ShapeError(str(error)) from error
