"""Export of a bundle's networks as ONNX files, each compared with its weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from actspan.config.stages import TemConfig
from actspan.core.errors import ShapeError
from actspan.core.types import Float32, Float64
from actspan.model.bsn.checks import ExportCheck, check_probabilities
from actspan.model.bsn.graph import OPSET, GraphBuilder, build_pem, build_tem
from actspan.model.bsn.reference import pem_logits, sigmoid, tem_logits
from actspan.model.bundle import Bundle
from actspan.model.weights import NETS, Net
from actspan.runtime.opening import open_session

if TYPE_CHECKING:
    import onnx

Forward = Callable[[Float32], Float32]
Weights = Mapping[str, Float32]

_CLASSIFIER = "classifier.onnx"


def export_bundle(
    bundle: Bundle,
    *,
    batch: int | None = None,
    length: int | None = None,
    check_torch: bool | Literal["auto"] = "auto",
) -> tuple[Bundle, list[ExportCheck]]:
    """Write `tem.onnx`, `pem.onnx` and `classifier.onnx` for the networks that a bundle has.

    Each graph runs on ONNX Runtime over seeded random input and must agree with the NumPy forward
    pass, and with the torch network if requested, before its file appears. The number of proposals
    is always free.

    Parameters
    ----------
    batch, length : int, optional
        Fix TEM's batch size and its number of cells; free by default.
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
    ParityError
        A graph differs by more than 1e-5, or for large logits by more than rounding explains; its
        file is not written.
    BundleError
        The bundle is damaged or cannot be written.
    MissingExtraError
        The package `onnx` is not installed.

    Examples
    --------
    >>> bundle, checks = export_bundle(Bundle.load("bsn/"))  # doctest: +SKIP
    >>> max(check.numpy_difference for check in checks) < 1e-5  # doctest: +SKIP
    True
    """
    if check_torch == "auto":
        check_torch = importlib.util.find_spec("torch") is not None
    checks = []
    for net in NETS:
        if bundle.has_tem if net == "tem" else bundle.has_pem:
            bundle, check = _export(bundle, net, batch, length, check_torch)
            checks.append(check)
    if bundle.has_classifier:
        bundle, check = export_classifier(bundle)
        checks.append(check)
    return bundle, checks


def _export(
    bundle: Bundle, net: Net, batch: int | None, length: int | None, check_torch: bool
) -> tuple[Bundle, ExportCheck]:
    weights = bundle.weights(net)
    model = build_tem(weights, batch=batch, length=length) if net == "tem" else build_pem(weights)
    logits = numpy_logits(net, weights)
    torch = _torch_forward(bundle, net, weights) if check_torch else None

    def compare(run: Forward) -> tuple[float, float | None]:
        differences: dict[str, list[float]] = {"NumPy": [], "torch": []}
        for x in sample_inputs(bundle, net, weights, batch, length):
            output, z = run(x), logits(x)
            expected = {"NumPy": sigmoid(z)} | ({} if torch is None else {"torch": torch(x)})
            for who, y in expected.items():
                difference = check_probabilities(
                    output,
                    y,
                    z,
                    where=f"{net}.onnx: not written: it differs from the {who} network",
                    remedy="check the weights for extreme values, or report this with your "
                    "versions of onnx and onnxruntime",
                )
                differences[who].append(difference)
        return max(differences["NumPy"]), max(differences["torch"], default=None)

    return _write(bundle, net, model, compare)


def _write(
    bundle: Bundle,
    net: Net,
    model: onnx.ModelProto,
    compare: Callable[[Forward], tuple[float, float | None]],
) -> tuple[Bundle, ExportCheck]:
    """Add a graph to a bundle; if `compare`, which runs the written file, raises, discard it."""
    checks = []

    def write(path: Path) -> None:
        path.write_bytes(model.SerializeToString(deterministic=True))
        with open_session(path, backend="onnxruntime") as session, np.errstate(all="ignore"):
            (name,) = session.input_names
            ours, theirs = compare(lambda x: session.run({name: x})["output"])
        size = path.stat().st_size
        checks.append(ExportCheck(net, f"{net}.onnx", OPSET, size, ours, theirs))

    return bundle.add_file(f"{net}.onnx", write), checks[0]


def sample_inputs(
    bundle: Bundle, net: Net, weights: Weights, batch: int | None, length: int | None
) -> Iterator[Float32]:
    """Draw seeded input on the scale of real features, in sizes that the graph allows."""
    rng = np.random.default_rng(0)
    if net == "pem":  # BSP features are averages of probabilities
        inputs = weights["fc1.weight"].shape[1]
        for proposals in (1, 7, 1000):
            yield rng.random((proposals, inputs), dtype=np.float32)
        return
    channels = weights["conv1.weight"].shape[1]
    cells = (bundle.config.tem or TemConfig()).length
    sizes = {(batch or b, length or t) for b, t in ((1, cells), (3, cells), (2, cells + 7))}
    for b, t in sorted(sizes):
        x = 2.0 * rng.standard_normal((b, channels, t), dtype=np.float32)
        if "input.mean" in weights:  # values that have this scale after standardisation
            scale = weights["input.scale"][:, None]
            x = weights["input.mean"][:, None] + x / np.where(scale == 0, 1, scale)
        yield x.astype(np.float32)


def numpy_logits(net: Net, weights: Weights) -> Forward:
    """Return the function that computes a network's logits in plain NumPy."""
    forward = tem_logits if net == "tem" else pem_logits
    return lambda x: forward(weights, x)


def _torch_forward(bundle: Bundle, net: Net, weights: Weights) -> Forward:
    import torch

    from actspan.model.bsn.pem import Pem
    from actspan.model.bsn.tem import Tem

    module = Tem(bundle.config.tem) if net == "tem" else Pem(bundle.config.pem)
    module.load_weights(weights)
    module.eval()

    def forward(x: Float32) -> Float32:
        with torch.inference_mode():
            output: Float32 = module(torch.from_numpy(x)).numpy()
        return output

    return forward


def export_classifier(bundle: Bundle) -> tuple[Bundle, ExportCheck]:
    """Write `classifier.onnx`, without torch: `pooled` (N, inputs) to `output` (N, labels + 1).

    Raises
    ------
    ParityError, BundleError, MissingExtraError
        The same as for `export_bundle`; or the bundle has no classifier.
    """
    weights = bundle.weights("classifier")
    graph = GraphBuilder(weights)
    x = graph.add("Mul", graph.add("Sub", "pooled", "input.mean"), "input.scale")
    x = graph.add("Relu", graph.linear(x, "fc1", 2))
    graph.add("Softmax", graph.linear(x, "fc2", 2), output="output")
    inputs, outputs = weights["fc1.weight"].shape[1], weights["fc2.weight"].shape[0]
    shape = ("proposals", inputs), ("proposals", outputs)
    model = graph.model("classifier", ("pooled", shape[0]), shape[1])

    def compare(run: Forward) -> tuple[float, None]:
        rng = np.random.default_rng(0)
        scale = np.where(weights["input.scale"] == 0, 1, weights["input.scale"])
        x = rng.standard_normal((64, inputs), dtype=np.float32) / scale + weights["input.mean"]
        pooled: Float32 = x.astype(np.float32)
        difference = check_probabilities(
            run(pooled),
            classifier_forward(weights, pooled),
            _odds(_classifier_logits(weights, pooled)),
            where=f"{_CLASSIFIER}: not written: it differs from the NumPy network",
            remedy="check the weights for extreme values",
        )
        return difference, None

    return _write(bundle, "classifier", model, compare)


def classifier_forward(weights: Weights, pooled: ArrayLike) -> Float32:
    """Compute the classifier in plain NumPy: probabilities of every label and of background.

    Parameters
    ----------
    pooled : (N, inputs) float32

    Returns
    -------
    (N, labels + 1) float32

    Raises
    ------
    ShapeError
        The last axis does not match the weights.
    """
    x = np.asarray(pooled, dtype=np.float32)
    inputs = weights["fc1.weight"].shape[1]
    if x.ndim != 2 or x.shape[1] != inputs:
        raise ShapeError(f"pooled features have shape {x.shape}; (N, {inputs}) is needed")
    logits = _classifier_logits(weights, x)
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    out: Float32 = grown / grown.sum(axis=1, keepdims=True)
    return out


def _classifier_logits(weights: Weights, x: Float32) -> Float32:
    """Return the output of the last layer, (N, labels + 1)."""
    x = (x - weights["input.mean"]) * weights["input.scale"]
    h = np.maximum(x @ weights["fc1.weight"].T + weights["fc1.bias"], np.float32(0))  # (N, H)
    logits: Float32 = h @ weights["fc2.weight"].T + weights["fc2.bias"]
    return logits


def _odds(logits: Float32) -> Float64:
    """Return the logit of every probability of a softmax, against all other labels together."""
    z = logits.astype(np.float64)
    others = [np.logaddexp.reduce(np.delete(z, i, axis=1), axis=1) for i in range(z.shape[1])]
    odds: Float64 = z - np.stack(others, axis=1)
    return odds
