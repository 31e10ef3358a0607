"""Export of a bundle's networks as ONNX files, each compared with its weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actspan.config.bmn import BmnConfig
from actspan.config.stages import PemConfig, TemConfig
from actspan.core.errors import ConfigError, ParityError
from actspan.core.types import Float32, Float64
from actspan.model.bmn.graph import build_bmn
from actspan.model.bsn.forward import sigmoid
from actspan.model.bsn.graph import build_classifier, build_pem, build_tem
from actspan.model.bundle import Bundle
from actspan.model.forward import network_outputs
from actspan.model.graph_builder import OPSET
from actspan.model.nets import FORMS, Net, input_shape
from actspan.model.weights import NetConfig
from actspan.runtime.opening import open_session

if TYPE_CHECKING:
    import onnx

Weights = dict[str, Float32]

# Largest difference of a logit, as a share of the largest logit above 1, and of a probability
# if logits are at most 1.
TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """Report of a written file: its properties, and its difference from its weights."""

    net: Net
    file: str  # name in the bundle
    opset: int
    size: int  # bytes
    numpy_difference: float  # largest absolute difference from the NumPy forward pass
    torch_difference: float | None = None  # the same from the torch network, if it was compared
    passes: tuple[str, ...] = ()  # graph passes that were applied to the file


def export_bundle(
    bundle: Bundle,
    *,
    batch: int | None = None,
    length: int | None = None,
    check_torch: bool | Literal["auto"] = "auto",
) -> tuple[Bundle, list[ExportCheck]]:
    """Write `tem.onnx`, `pem.onnx`, `bmn.onnx`, `classifier.onnx`: the networks of a bundle.

    Parameters
    ----------
    batch, length : int, optional
        Fix the batch size of TEM or BMN, and TEM's number of cells; free by default. The number of
        proposals is always free, and BMN's number of cells is that of its settings.
    check_torch : bool or "auto"
        Compare with the torch networks too; "auto" does so if torch is installed. False never
        imports torch.

    Returns
    -------
    Bundle
        The bundle with the new files.
    list of ExportCheck
        One per network.

    Raises
    ------
    ParityError, BundleError, MissingExtraError
        See `export_network`.
    """
    if check_torch == "auto":
        check_torch = importlib.util.find_spec("torch") is not None
    checks = []
    for net in FORMS:
        if f"{net}.safetensors" in bundle.files:
            bundle, check = export_network(
                bundle, net, batch=batch, length=length, check_torch=check_torch
            )
            checks.append(check)
    return bundle, checks


def export_network(
    bundle: Bundle,
    net: Net,
    *,
    batch: int | None = None,
    length: int | None = None,
    check_torch: bool = False,
) -> tuple[Bundle, ExportCheck]:
    """Write the ONNX file of one network; see `export_bundle`.

    The graph runs on ONNX Runtime over seeded random input and must agree with the NumPy forward
    pass, and with the torch network if requested, before its file appears.

    Raises
    ------
    ParityError, BundleError, MissingExtraError, ConfigError
        The graph differs by more than 1e-5, or for large logits by more than rounding explains; its
        file is not written; there is no such network, the bundle is damaged or cannot be written;
        the package `onnx` is not installed; BMN has another length.
    """
    weights, settings = bundle.weights(net), bundle.settings(net)
    model = _build(settings, weights, batch, length)
    samples = list(sample_inputs(bundle, net, weights, batch, length))
    with np.errstate(all="ignore"):
        exact = [output for x in samples for output in network_outputs(settings, weights, x)]
    expected = {"NumPy": [output.probabilities for output in exact]}
    if check_torch and net != "classifier":
        expected["torch"] = _run(bundle.file(f"{net}.safetensors"), "torch", samples)
    logits = [output.logits for output in exact]
    checks = []

    def write(path: Path) -> None:
        path.write_bytes(model.SerializeToString(deterministic=True))
        outputs = _run(path, "onnxruntime", samples)
        differences = {
            network: max(
                check_probabilities(
                    *arrays,
                    where=f"{net}.onnx: not written: it differs from the {network} network",
                    remedy="check the weights for extreme values, or report this with your "
                    "versions of onnx and onnxruntime",
                )
                for arrays in zip(outputs, answers, logits, strict=True)
            )
            for network, answers in expected.items()
        }
        size = path.stat().st_size
        checks.append(
            ExportCheck(
                net, f"{net}.onnx", OPSET, size, differences["NumPy"], differences.get("torch")
            )
        )

    bundle = bundle.add_file(f"{net}.onnx", write)
    return bundle, checks[0]


def _build(
    settings: NetConfig, weights: Weights, batch: int | None, length: int | None
) -> onnx.ModelProto:
    if isinstance(settings, TemConfig):
        return build_tem(weights, batch=batch, length=length)
    if isinstance(settings, BmnConfig):
        if length not in (None, settings.length):
            raise ConfigError(
                f"length {length}: a BMN is for {settings.length} cells, which are the axes of its "
                "map; leave --length out"
            )
        return build_bmn(weights, settings, batch=batch)
    return build_pem(weights) if isinstance(settings, PemConfig) else build_classifier(weights)


def _run(path: Path, backend: str, samples: Iterable[Float32]) -> list[Float32]:
    """Return the outputs of a network's file for each of these inputs, one after the other."""
    with open_session(path, backend=backend) as session, np.errstate(all="ignore"):
        (name,) = session.input_shapes
        return [output for x in samples for output in session.run({name: x}).values()]


def sample_inputs(
    bundle: Bundle, net: Net, weights: Weights, batch: int | None, length: int | None
) -> Iterator[Float32]:
    """Draw seeded input on the scale of real features, in sizes that the graph allows."""
    rng = np.random.default_rng(0)
    if net == "pem":  # BSP features are averages of probabilities
        for proposals in (1, 7, 1000):
            yield rng.random((proposals, weights["fc1.weight"].shape[1]), dtype=np.float32)
        return
    mean = weights.get("input.mean", np.zeros(1, np.float32))
    scale = weights.get("input.scale", np.ones(1, np.float32))
    scale = np.where(scale == 0, 1, scale)  # values have scale 1 after standardisation
    if net == "classifier":
        shape = (64, *input_shape(bundle.config, net))
        x = rng.standard_normal(shape, dtype=np.float32) / scale + mean
        yield x.astype(np.float32)
        return
    channels, cells = input_shape(bundle.config, net)
    wanted: tuple[tuple[int, int], ...] = ((1, cells), (3, cells), (2, cells + 7))
    if net == "bmn":  # it has a fixed number of cells, and takes long
        wanted = ((1, cells), (2, cells))
    sizes = {(batch or b, length or t) for b, t in wanted}
    for b, t in sorted(sizes):
        x = 2.0 * rng.standard_normal((b, channels, t), dtype=np.float32)
        yield (mean[:, None] + x / scale[:, None]).astype(np.float32)


def check_probabilities(
    outputs: NDArray[Any],
    expected: NDArray[Any],
    logits: NDArray[Any],
    *,
    where: str,
    remedy: str,
    slack: float = 0.0,
) -> float:
    """Return the largest difference of probabilities; raise if rounding cannot explain it.

    Rounding errors grow with the weights and the logits, so a logit may differ by `TOLERANCE` times
    the largest logit, and its probability accordingly; `slack` is an additional tolerance. The
    arrays have one shape; the logits are those of `expected`. Raise ParityError if a probability
    differs by more, or is not a number; `where` says what differs, `remedy` what to do.
    """
    difference = np.abs(outputs.astype(np.float64) - expected)
    z: Float64 = logits.astype(np.float64)
    shift_ = TOLERANCE * np.abs(z[np.isfinite(z)]).max(initial=1.0)
    changes = [np.abs(sigmoid(z + shift) - sigmoid(z)) for shift in (-shift_, shift_)]
    allowed = slack + np.maximum(TOLERANCE, np.maximum(*changes))
    excess = difference - allowed
    if not (excess <= 0).all():  # NaN counts as a failure
        worst = np.unravel_index(np.argmax(excess), excess.shape)  # NaN counts as the largest
        raise ParityError(
            f"{where} by {difference[worst]:.3g} where {allowed[worst]:.3g} is allowed; {remedy}"
        )
    return float(difference.max(initial=0.0))
