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

if TYPE_CHECKING:
    from actspan.deploy.passes.contract import PassSettings

__all__ = ["Variants", "export_variants", "keep_variant", "variant_name"]


@dataclass(frozen=True, slots=True)
class Variants:
    """A bundle with one variant of its networks.

    Attributes
    ----------
    bundle : Bundle
        The bundle with the new files.
    checks : tuple of ExportCheck
        One per new file; none for a network that the passes do not change.
    rewritten : mapping of "tem" or "pem" to Rewritten
        Results of the passes for every exported network, changed or not.
    """

    bundle: Bundle
    checks: tuple[ExportCheck, ...]
    rewritten: Mapping[Net, Rewritten]

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
    ExportError
        A pass is not known, or cannot be applied.
    ParityError
        A variant differs from its weights by more than its passes allow.
    BundleError
        A file is damaged, or cannot be written.
    """
    from actspan.deploy.passes.contract import PassSettings

    settings = settings or PassSettings()
    if "fix-dims" not in passes:
        settings = replace(settings, batch=None, length=None, dims={})
    if "int8" not in passes:
        calibrate = None
    rewritten = {
        net: _rewrite(bundle, net, passes, settings, calibrate)
        for net in NETS
        if f"{net}.onnx" in bundle.files
    }
    tags = _shared_tags(with_implied(passes, settings), list(rewritten.values()))
    checks = []
    for net, done in rewritten.items():
        if done.changed:
            bundle, check = keep_variant(bundle, net, variant_name(net, tags), done)
            checks.append(check)
    return Variants(bundle, tuple(checks), rewritten)


def _rewrite(
    bundle: Bundle, net: Net, passes: Sequence[str], settings: PassSettings, calibrate: Path | None
) -> Rewritten:
    settings = _settings_of(bundle, net, settings, calibrate)
    if net == "pem":
        settings = replace(settings, batch=None, length=None, dims={})
        passes = [name for name in passes if name != "fix-dims"]
    name = "video" if net == "tem" else "video_feature"
    inputs = sample_inputs(bundle, net, bundle.weights(net), settings.batch, settings.length)
    settings = replace(settings, probes=tuple({name: x} for x in inputs))
    file = bundle.file(f"{net}.onnx")
    return rewrite_model(read_model(file), passes, settings, where=str(file))


def _shared_tags(passes: Sequence[str], rewritten: Sequence[Rewritten]) -> list[str]:
    """Return the tags of the passes that changed one of the networks, in order."""
    found: dict[str, str] = {}
    for done in rewritten:
        changed = (report.name for report in done.reports if report.changed)
        found |= zip(changed, done.tags, strict=True)
    return [found[name] for name in dict.fromkeys(passes) if name in found]


def _settings_of(
    bundle: Bundle, net: Net, settings: PassSettings, calibrate: Path | None
) -> PassSettings:
    if calibrate is None:
        return settings
    from actspan.deploy.passes.calibration import calibration_for

    return replace(settings, calibration=calibration_for(calibrate, net, bundle=bundle))


def keep_variant(
    bundle: Bundle, net: Net, name: str, rewritten: Rewritten
) -> tuple[Bundle, ExportCheck]:
    """Compare a rewritten graph with the weights, and add it to the bundle.

    Parameters
    ----------
    name : str
        Name of the file.
    rewritten : Rewritten
        Both are run on its `probes`, or on random samples if there are none.

    Raises
    ------
    ParityError
        The graph differs from its weights by more than its passes allow; nothing is written.
    BundleError
        The file cannot be written.
    """
    apart = _difference(bundle, net, name, rewritten)
    data = rewritten.model.SerializeToString(deterministic=True)
    bundle = bundle.add_file(name, lambda path: _write(path, data))
    check = ExportCheck(
        net=net,
        file=name,
        opset=next(o.version for o in rewritten.model.opset_import if not o.domain),
        size=len(data),
        numpy_difference=apart,
        passes=tuple(report.name for report in rewritten.reports if report.changed),
    )
    return bundle, check


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _difference(bundle: Bundle, net: Net, file: str, rewritten: Rewritten) -> float:
    """Return the largest absolute difference from the NumPy forward pass; raise if too large."""
    from actspan.deploy.passes.numeric import run

    weights = bundle.weights(net)
    (name,) = (value.name for value in rewritten.model.graph.input)
    shape = rewritten.model.graph.input[0].type.tensor_type.shape.dim
    fixed = [size.dim_value or None for size in shape]
    inputs = [probe[name] for probe in rewritten.probes] or list(
        sample_inputs(bundle, net, weights, fixed[0], fixed[-1] if net == "tem" else None)
    )
    outputs = run(rewritten.model, [{name: x} for x in inputs])
    return max(
        check_probabilities(
            y,
            *numpy_outputs(net, weights, x),
            where=f"{file}: not written: it differs from the NumPy network",
            remedy=f"leave a pass out: actspan export {quoted(bundle.path)} --passes ...",
            slack=sum(report.tolerance for report in rewritten.reports if report.changed),
        )
        for x, (y,) in zip(inputs, outputs, strict=True)
    )
