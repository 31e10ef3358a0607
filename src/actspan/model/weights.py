"""Weights of each network: names, shapes, checks, and their form on disk."""

from __future__ import annotations

from collections.abc import Container, Mapping
from itertools import takewhile

import numpy as np
from numpy.typing import ArrayLike

from actspan.config.stages import ClassifierConfig, PemConfig, TemConfig
from actspan.core.errors import ShapeError
from actspan.core.limits import DILATED
from actspan.core.types import Float32
from actspan.model.nets import Net

NetConfig = TemConfig | PemConfig | ClassifierConfig

# By number of axes: weights whose rank may differ in other checkpoints.
_FORMS = {
    "conv1.weight": "(hidden, channels, 3)",
    "conv2.weight": "(hidden, hidden, 3)",
    "conv3.weight": "(3, hidden, 1)",
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
        layers["conv3"] = (3, H, 1)
    elif isinstance(config, PemConfig):
        layers = {"fc1": (H, config.inputs), "fc2": (1, H)}
    else:
        shapes |= {"input.mean": (config.inputs,), "input.scale": (config.inputs,)}
        outputs = len(config.labels) + 1  # plus background
        layers = {"fc1": (H, config.inputs), "fc2": (outputs, H)}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def infer_config(net: Net, shapes: Mapping[str, tuple[int, ...]]) -> TemConfig | PemConfig:
    """Infer the sizes of a network from its weights' shapes; return the defaults if invalid."""
    if net == "pem":
        fc1 = shapes.get("fc1.weight", ())
        is_valid = len(fc1) == 2 and 0 not in fc1
        return PemConfig(hidden=fc1[0], inputs=fc1[1]) if is_valid else PemConfig()
    conv1, conv2 = shapes.get("conv1.weight", ()), shapes.get("conv2.weight", ())
    if len(conv1) != 3 or 0 in conv1:
        return TemConfig()
    inputs = conv2[1] if len(conv2) == 3 else 0
    members = conv1[0] // inputs if inputs and conv1[0] % inputs == 0 else 1
    dilated = len(dilations_of(shapes))
    return TemConfig(hidden=conv1[0], channels=conv1[1], members=members, dilated=dilated)


def dilations_of(tem: Container[str]) -> dict[str, int]:
    """Return the dilations of the residual layers among the names of TEM's weights, by layer."""
    layers = dilated_layers(DILATED)
    return dict(takewhile(lambda layer: f"{layer[0]}.weight" in tem, layers.items()))


def dilated_layers(count: int) -> dict[str, int]:
    """Return the dilation of each residual layer of TEM by name, in order: 2, 4, 8, ... cells."""
    return {f"dilated.{k}": 2 ** (k + 1) for k in range(count)}


def members_of(tem: Mapping[str, Float32]) -> int:
    """Return the number of ensemble members in the weights of a TEM (`TemConfig.members`)."""
    weight = tem["conv2.weight"]  # (H, H / members, 3)
    return len(weight) // int(weight.shape[1])


def check_weights(weights: Mapping[str, ArrayLike], config: NetConfig) -> dict[str, Float32]:
    """Return the weights of one network as contiguous float32; raise ShapeError if they do not fit.

    TEM may also have `input.mean` and `input.scale`, (C,); its input is then
    `(x - mean) * scale`. The error names the weight that is missing, unknown, of another shape, or
    not finite.
    """
    shapes = weight_shapes(config)
    if isinstance(config, TemConfig) and ("input.mean" in weights or "input.scale" in weights):
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

    return bytes(save(check_weights(weights, config)))


def unpack_weights(data: bytes, config: NetConfig) -> dict[str, Float32]:
    """Read the weights of a network; raise as `check_weights`, also for damaged data."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return check_weights(load(data), config)
    except SafetensorError as error:
        raise ShapeError(str(error)) from error
