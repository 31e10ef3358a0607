"""Export of a bundle's networks as ONNX files, each compared with its weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from actspan.config.stages import TemConfig
from actspan.core.types import Float32
from actspan.model.bsn.checks import TOLERANCE, ExportCheck, check_probabilities
from actspan.model.bsn.graph import OPSET, build_pem, build_tem
from actspan.model.bsn.reference import pem_logits, sigmoid, tem_logits
from actspan.model.bundle import Bundle
from actspan.model.weights import NETS, Net
from actspan.runtime.export_classifier import export_classifier
from actspan.runtime.opening import open_session

__all__ = ["TOLERANCE", "ExportCheck", "export_bundle", "numpy_logits", "sample_inputs"]


Forward = Callable[[Float32], Float32]
Weights = dict[str, Float32]


def export_bundle(
    bundle: Bundle,
    *,
    batch: int | None = None,
    length: int | None = None,
    check_torch: bool | Literal["auto"] = "auto",
) -> tuple[Bundle, list[ExportCheck]]:
    """Write `tem.onnx` and `pem.onnx` for the networks of a bundle.

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
    checks = []

    def write(path: Path) -> None:
        path.write_bytes(model.SerializeToString(deterministic=True))
        checks.append(
            _check(net, path, sample_inputs(bundle, net, weights, batch, length), logits, torch)
        )

    bundle = bundle.add_file(f"{net}.onnx", write)
    return bundle, checks[0]


def _check(
    net: Net, path: Path, inputs: Iterable[Float32], logits: Forward, torch: Forward | None
) -> ExportCheck:
    """Run a written graph and compare it; if this raises, the file is discarded."""
    differences: dict[str, list[float]] = {"NumPy": [], "torch": []}
    with open_session(path, backend="onnxruntime") as session, np.errstate(all="ignore"):
        (name,) = session.input_names
        for x in inputs:
            output, z = session.run({name: x})["output"], logits(x)
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
    return ExportCheck(
        net=net,
        file=f"{net}.onnx",
        opset=OPSET,
        size=path.stat().st_size,
        numpy_difference=max(differences["NumPy"]),
        torch_difference=max(differences["torch"], default=None),
    )


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
