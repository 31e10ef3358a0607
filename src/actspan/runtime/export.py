"""Export of a bundle's networks as ONNX files, each compared with its weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actspan.config.stages import TemConfig
from actspan.core.errors import ParityError
from actspan.core.types import Float32, Float64
from actspan.model.bsn.forward import (
    classifier_forward,
    classifier_logits,
    pem_logits,
    sigmoid,
    tem_logits,
)
from actspan.model.bsn.graph import OPSET, build_classifier, build_pem, build_tem
from actspan.model.bundle import Bundle
from actspan.model.weights import Net
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
    """Write `tem.onnx`, `pem.onnx` and `classifier.onnx` for the networks of a bundle.

    Parameters
    ----------
    batch, length : int, optional
        Fix TEM's batch size and its number of cells; free by default. The number of proposals is
        always free.
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

    Examples
    --------
    >>> bundle, checks = export_bundle(Bundle.load("bsn/"))  # doctest: +SKIP
    >>> max(check.numpy_difference for check in checks) < 1e-5  # doctest: +SKIP
    True
    """
    if check_torch == "auto":
        check_torch = importlib.util.find_spec("torch") is not None
    nets: tuple[Net, ...] = ("tem", "pem", "classifier")
    checks = []
    for net in nets:
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
    ParityError, BundleError, MissingExtraError
        The graph differs by more than 1e-5, or for large logits by more than rounding explains; its
        file is not written; there is no such network, the bundle is damaged or cannot be written;
        the package `onnx` is not installed.
    """
    weights = bundle.weights(net)
    model = _build(net, weights, batch, length)
    torch = _torch_forward(bundle, net, weights) if check_torch and net != "classifier" else None
    checks = []

    def write(path: Path) -> None:
        path.write_bytes(model.SerializeToString(deterministic=True))
        found: list[float] = []
        in_torch: list[float] = []
        with open_session(path, backend="onnxruntime") as session, np.errstate(all="ignore"):
            (name,) = session.input_names
            for x in sample_inputs(bundle, net, weights, batch, length):
                output = session.run({name: x})["output"]
                expected, logits = numpy_outputs(net, weights, x)
                found.append(_compare(net, "NumPy", output, expected, logits))
                if torch is not None:
                    in_torch.append(_compare(net, "torch", output, torch(x), logits))
        size, differences = path.stat().st_size, (max(found), max(in_torch, default=None))
        checks.append(ExportCheck(net, f"{net}.onnx", OPSET, size, *differences))

    bundle = bundle.add_file(f"{net}.onnx", write)
    return bundle, checks[0]


def _build(net: Net, weights: Weights, batch: int | None, length: int | None) -> onnx.ModelProto:
    if net == "tem":
        return build_tem(weights, batch=batch, length=length)
    return build_pem(weights) if net == "pem" else build_classifier(weights)


def _compare(
    net: Net, network: str, output: Float32, expected: Float32, logits: NDArray[Any]
) -> float:
    return check_probabilities(
        output,
        expected,
        logits,
        where=f"{net}.onnx: not written: it differs from the {network} network",
        remedy="check the weights for extreme values, or report this with your versions of onnx "
        "and onnxruntime",
    )


def sample_inputs(
    bundle: Bundle, net: Net, weights: Weights, batch: int | None, length: int | None
) -> Iterator[Float32]:
    """Draw seeded input on the scale of real features, in sizes that the graph allows."""
    rng = np.random.default_rng(0)
    if net == "pem":  # BSP features are averages of probabilities
        for proposals in (1, 7, 1000):
            yield rng.random((proposals, weights["fc1.weight"].shape[1]), dtype=np.float32)
        return
    scale, mean = weights.get("input.scale"), weights.get("input.mean")
    if scale is not None and mean is not None:  # values of scale 1 after standardisation
        scale = np.where(scale == 0, 1, scale)
    if net == "classifier":
        assert scale is not None
        assert mean is not None
        x = rng.standard_normal((64, len(scale)), dtype=np.float32) / scale + mean
        yield x.astype(np.float32)
        return
    channels = weights["conv1.weight"].shape[1]
    cells = (bundle.config.tem or TemConfig()).length
    sizes = {(batch or b, length or t) for b, t in ((1, cells), (3, cells), (2, cells + 7))}
    for b, t in sorted(sizes):
        x = 2.0 * rng.standard_normal((b, channels, t), dtype=np.float32)
        if scale is not None and mean is not None:
            x = mean[:, None] + x / scale[:, None]
        yield x.astype(np.float32)


def numpy_outputs(net: Net, weights: Weights, x: Float32) -> tuple[Float32, NDArray[Any]]:
    """Compute a network's probabilities in plain NumPy, and the logit of each."""
    if net == "classifier":
        return classifier_forward(weights, x), _odds(classifier_logits(weights, x))
    logits = tem_logits(weights, x) if net == "tem" else pem_logits(weights, x)
    return sigmoid(logits), logits


def _odds(logits: Float32) -> Float64:
    """Return the logit of every probability of a softmax, against all other labels together."""
    z = logits.astype(np.float64)
    others = [np.logaddexp.reduce(np.delete(z, i, axis=1), axis=1) for i in range(z.shape[1])]
    odds: Float64 = z - np.stack(others, axis=1)
    return odds


def _torch_forward(bundle: Bundle, net: Net, weights: Weights) -> Callable[[Float32], Float32]:
    import torch

    from actspan.model.bsn.networks import Pem, Tem

    module = Tem(bundle.config.tem) if net == "tem" else Pem(bundle.config.pem)
    module.load_weights(weights)
    module.eval()

    def forward(x: Float32) -> Float32:
        with torch.inference_mode():
            output: Float32 = module(torch.from_numpy(x)).numpy()
        return output

    return forward


def check_probabilities(
    found: NDArray[Any],
    expected: NDArray[Any],
    logits: NDArray[Any],
    *,
    where: str,
    remedy: str,
    slack: float = 0.0,
) -> float:
    """Return the largest difference of probabilities; raise if rounding cannot explain it.

    Rounding errors grow with the weights and the logits, so a logit may differ by `TOLERANCE` times
    the largest logit, and its probability accordingly.

    Parameters
    ----------
    found, expected : (...) array
    logits : (...) array
        The logits of `expected`.
    where, remedy : str
        Start and end of the error message: what differs, and what to do.
    slack : float
        Additional tolerance.

    Raises
    ------
    ParityError
        A probability differs by more, or is not a number.
    """
    difference = np.abs(found.astype(np.float64) - expected)
    z: Float64 = logits.astype(np.float64)
    apart = TOLERANCE * np.abs(z[np.isfinite(z)]).max(initial=1.0)
    sides = [np.abs(sigmoid(z + shift) - sigmoid(z)) for shift in (-apart, apart)]
    allowed = slack + np.maximum(TOLERANCE, np.maximum(*sides))
    excess = difference - allowed
    if not (excess <= 0).all():  # NaN counts as a failure
        worst = np.unravel_index(np.argmax(excess), excess.shape)  # NaN counts as the largest
        raise ParityError(
            f"{where} by {difference[worst]:.3g} where {allowed[worst]:.3g} is allowed; {remedy}"
        )
    return float(difference.max(initial=0.0))
