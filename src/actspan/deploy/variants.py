"""Variants of a bundle's networks: `tem.onnx` and `pem.onnx` after graph passes.

A variant is named after its network and the passes that changed the bundle's networks, in order:
`tem.conv2d.fp16.onnx` and, although PEM has no convolution, `pem.conv2d.fp16.onnx`, so that one
name finds both. Passes that changed neither are not in the name; a network that no pass
changed has no such file, and its plain one is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from actspan.core.wording import quoted
from actspan.deploy.optimize import Rewritten, read_model, rewrite_model, with_implied
from actspan.model.bundle import Bundle
from actspan.model.weights import NETS, Net
from actspan.runtime.export import ExportCheck, check_probabilities, numpy_outputs, sample_inputs
from actspan.runtime.opening import INPUT

if TYPE_CHECKING:
    from actspan.deploy.passes.contract import PassSettings


@dataclass(frozen=True, slots=True)
class Variants:
    """A bundle with one variant of its networks."""

    bundle: Bundle  # with the new files
    checks: tuple[ExportCheck, ...]  # one per new file
    rewritten: Mapping[Net, Rewritten]  # for every exported network, changed or not

    def file(self, net: Net) -> str:
        """Return the file of a network: its plain one if the passes do not change it."""
        return next((check.file for check in self.checks if check.net == net), f"{net}.onnx")


def variant_name(net: Net, tags: Sequence[str]) -> str:
    """Return the file name of a variant.

    Examples
    --------
    >>> variant_name("tem", ["conv2d", "fp16"])
    'tem.conv2d.fp16.onnx'
    """
    return ".".join([net, *tags, "onnx"])


def export_variants(
    bundle: Bundle,
    passes: Sequence[str],
    settings: PassSettings | None = None,
    *,
    calibrate: Path | None = None,
) -> Variants:
    """Run graph passes over the exported networks of a bundle, and add the results to it.

    Parameters
    ----------
    bundle : Bundle
        A bundle with `tem.onnx`, `pem.onnx`, or both.
    passes : sequence of str
        Names, in the order in which they run. `fix-dims` applies only to TEM: the number of
        proposals stays free.
    settings : PassSettings, optional
        Its batch and length are used if `fix-dims` is among the passes.
    calibrate : Path, optional
        A dataset folder, which int8 needs.

    Raises
    ------
    ExportError, ParityError, BundleError
        A pass is not known, or cannot be applied; a variant differs from its weights by more than
        its passes allow; a file is damaged, or cannot be written.
    """
    from actspan.deploy.passes.contract import PassSettings

    settings = settings or PassSettings()
    free = replace(settings, batch=None, length=None, dims={})
    rewritten: dict[Net, Rewritten] = {}
    for net in NETS:
        if f"{net}.onnx" not in bundle.files:
            continue
        own = settings if net == "tem" and "fix-dims" in passes else free
        names = [name for name in passes if net == "tem" or name != "fix-dims"]
        inputs = sample_inputs(bundle, net, bundle.weights(net), own.batch, own.length)
        own = replace(own, probes=tuple({INPUT[net]: x} for x in inputs))
        if calibrate is not None and "int8" in passes:
            from actspan.deploy.passes.calibration import DatasetCalibration

            own = replace(own, calibration=DatasetCalibration(calibrate, net, bundle))
        file = bundle.file(f"{net}.onnx")
        rewritten[net] = rewrite_model(read_model(file), names, own, where=str(file))
    order = with_implied(passes, settings if "fix-dims" in passes else free)
    tags = _shared_tags(order, list(rewritten.values()))
    checks = []
    for net, done in rewritten.items():
        if done.changed:
            bundle, check = keep_variant(bundle, net, variant_name(net, tags), done)
            checks.append(check)
    return Variants(bundle, tuple(checks), rewritten)


def _shared_tags(passes: Sequence[str], rewritten: Sequence[Rewritten]) -> list[str]:
    """Return the tags of the passes that changed one of the networks, in order."""
    found: dict[str, str] = {}
    for done in rewritten:
        changed = (report.name for report in done.reports if report.changed)
        found |= zip(changed, done.tags, strict=True)
    return [found[name] for name in dict.fromkeys(passes) if name in found]


def keep_variant(
    bundle: Bundle, net: Net, name: str, rewritten: Rewritten
) -> tuple[Bundle, ExportCheck]:
    """Compare a rewritten graph with the weights, and add it to the bundle as a file.

    Both are run on `rewritten.probes`, or on random samples if there are none.

    Raises
    ------
    ParityError
        The graph differs from its weights by more than its passes allow; nothing is written.
    BundleError
        The file cannot be written.
    """
    apart = _difference(bundle, net, name, rewritten)
    data = rewritten.model.SerializeToString(deterministic=True)

    def write(path: Path) -> None:
        path.write_bytes(data)

    check = ExportCheck(
        net=net,
        file=name,
        opset=next(o.version for o in rewritten.model.opset_import if not o.domain),
        size=len(data),
        numpy_difference=apart,
        passes=tuple(report.name for report in rewritten.reports if report.changed),
    )
    return bundle.add_file(name, write), check


def _difference(bundle: Bundle, net: Net, file: str, rewritten: Rewritten) -> float:
    """Return the largest absolute difference from the NumPy forward pass; raise if too large."""
    from actspan.deploy.passes.numeric import run

    weights = bundle.weights(net)
    (value,) = rewritten.model.graph.input
    fixed = [size.dim_value or None for size in value.type.tensor_type.shape.dim]
    inputs = [probe[value.name] for probe in rewritten.probes] or list(
        sample_inputs(bundle, net, weights, fixed[0], fixed[-1] if net == "tem" else None)
    )
    outputs = run(rewritten.model, [{value.name: x} for x in inputs])
    return max(
        check_probabilities(
            y,
            *numpy_outputs(net, weights, x),
            where=f"{file}: not written: it differs from the NumPy network",
            remedy=f"leave a pass out: actspan export {quoted(bundle.path)} --passes ...",
            slack=rewritten.tolerance,
        )
        for x, (y,) in zip(inputs, outputs, strict=True)
    )
