"""A bundle's proposal classifier as an ONNX file, built without torch and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from actspan.core.errors import ShapeError
from actspan.core.types import Float32, Float64
from actspan.model.bsn.checks import ExportCheck, check_probabilities
from actspan.model.bsn.graph import OPSET, GraphBuilder
from actspan.model.bundle import Bundle
from actspan.runtime.opening import open_session

if TYPE_CHECKING:
    import onnx

__all__ = ["build_classifier", "classifier_forward", "export_classifier"]

FILE = "classifier.onnx"


def build_classifier(weights: Mapping[str, Float32]) -> onnx.ModelProto:
    """Build the classifier: `pooled` (proposals, inputs) to `output` (proposals, labels + 1).

    Raises
    ------
    MissingExtraError
        The package `onnx` is not installed.
    """
    graph = GraphBuilder(weights)
    x = graph.add("Sub", "pooled", "input.mean")
    x = graph.add("Mul", x, "input.scale")
    x = graph.add("Relu", graph.linear(x, "fc1", 2))
    graph.add("Softmax", graph.linear(x, "fc2", 2), output="output")
    inputs, outputs = weights["fc1.weight"].shape[1], weights["fc2.weight"].shape[0]
    return graph.model("classifier", ("pooled", ("proposals", inputs)), ("proposals", outputs))


def classifier_forward(weights: Mapping[str, Float32], pooled: ArrayLike) -> Float32:
    """Compute the classifier in plain NumPy: probabilities of every label and of background.

    Parameters
    ----------
    weights : mapping of str to float32 array
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
    logits = _logits(weights, x)
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    out: Float32 = grown / grown.sum(axis=1, keepdims=True)
    return out


def _logits(weights: Mapping[str, Float32], x: Float32) -> Float32:
    """Return the output of the last layer, (N, L + 1)."""
    x = (x - weights["input.mean"]) * weights["input.scale"]
    h = np.maximum(x @ weights["fc1.weight"].T + weights["fc1.bias"], np.float32(0))  # (N, H)
    logits: Float32 = h @ weights["fc2.weight"].T + weights["fc2.bias"]
    return logits


def export_classifier(bundle: Bundle) -> tuple[Bundle, ExportCheck]:
    """Write `classifier.onnx`; the file appears if it agrees with the weights.

    Returns
    -------
    Bundle
        The bundle with the new file.
    ExportCheck

    Raises
    ------
    ParityError
        The graph differs by more than 1e-5, or for large logits by more than rounding explains.
    BundleError
        There is no classifier, it is damaged, or the folder cannot be written.
    MissingExtraError
        The package `onnx` is not installed.
    """
    weights = bundle.weights("classifier")
    model = build_classifier(weights)
    differences = []

    def write(path: Path) -> None:
        path.write_bytes(model.SerializeToString(deterministic=True))
        differences.append(_difference(path, weights))

    bundle = bundle.add_file(FILE, write)
    check = ExportCheck(
        net="classifier",
        file=FILE,
        opset=OPSET,
        size=bundle.files[FILE].size,
        numpy_difference=differences[0],
    )
    return bundle, check


def _difference(path: Path, weights: Mapping[str, Float32]) -> float:
    """Return the largest difference from the NumPy forward pass, on seeded realistic input."""
    rng = np.random.default_rng(0)
    scale = np.where(weights["input.scale"] == 0, 1, weights["input.scale"])
    x = rng.standard_normal((64, len(scale)), dtype=np.float32) / scale + weights["input.mean"]
    pooled: Float32 = x.astype(np.float32)
    with open_session(path, backend="onnxruntime") as session:
        output = session.run({"pooled": pooled})["output"]
    return check_probabilities(
        output,
        classifier_forward(weights, pooled),
        _odds(_logits(weights, pooled)),
        where=f"{FILE}: not written: it differs from the NumPy network",
        remedy="check the weights for extreme values",
    )


def _odds(logits: Float32) -> Float64:
    """Return the logit of every probability of a softmax, against all other labels together."""
    z = logits.astype(np.float64)
    others = [np.logaddexp.reduce(np.delete(z, i, axis=1), axis=1) for i in range(z.shape[1])]
    odds: Float64 = z - np.stack(others, axis=1)
    return odds
