"""`actspan export`: networks of a bundle as ONNX files, and variants of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.console import print_json, print_text, say
from actspan.cli.optimize import goals, passes_answer, raise_if_missed
from actspan.cli.options import command, refuse_options
from actspan.cli.tables import print_table
from actspan.cli.values import split_names
from actspan.config.base import Existing, Positive, doc
from actspan.core.errors import require

if TYPE_CHECKING:
    from actspan.deploy.passes.contract import PassSettings
    from actspan.deploy.variants import VariantFiles
    from actspan.model.bundle import Bundle
    from actspan.runtime.export import ExportCheck


@command(
    batch="Fix the batch size of TEM or BMN. [default: free]",
    length="Fix TEM's number of cells; BMN's is that of its map. [default: free]",
    passes=doc(
        "Also write a variant: names of passes, comma-separated (see actspan optimize --list). "
        "With fix-dims among them, --batch and --length apply to the variant only. May be "
        "repeated.",
        "NAMES",
    ),
    opset="Convert the variants to this opset.",
    io="Type of the inputs and outputs of fp16 variants.",
    calibrate="Dataset folder from which to compute the value ranges of int8.",
)
def export(
    bundle: Existing,
    *,
    batch: Positive | None = None,
    length: Positive | None = None,
    passes: tuple[str, ...] = (),
    opset: Positive | None = None,
    io: Literal["fp32", "fp16"] = "fp32",
    calibrate: Existing | None = None,
    json_: bool = False,
) -> None:
    """Write the networks of a BUNDLE as tem.onnx and pem.onnx, or as bmn.onnx, and variants.

    Each file is run on ONNX Runtime and kept only if it agrees with the weights: with a NumPy
    forward pass and, if torch is installed, with the torch network. Plain files must agree to 1e-5.
    A variant is named after its passes: tem.conv2d.fp16.onnx.

    \b
    Example:
      actspan export bsn/
      actspan export bsn/ --passes fold-scale,conv1d-to-conv2d \\
          --passes fold-scale,fp16
      actspan export bsn/ --passes fold-scale,int8 --calibrate my-videos/
    """
    from actspan.model.bundle import Bundle
    from actspan.model.nets import FORMS
    from actspan.runtime.export import export_bundle

    variants = [split_names(text) or [] for text in passes]
    if [] in variants:
        raise click.UsageError("--passes names no pass; see actspan optimize --list")
    if not variants and (opset or calibrate):
        variants = [["int8"] if calibrate else []]
    chosen = {name for names in variants for name in names}
    if "fp16" not in chosen:
        refuse_options(["io"], "without --passes fp16")
    if "int8" not in chosen:
        refuse_options(["calibrate"], "without --passes int8")
    loaded = Bundle.load(bundle)
    if not any(FORMS[net].sees_video for net in loaded.nets):
        refuse_options(["batch", "length"], "without a TEM or BMN in the bundle")
    fixed = not any("fix-dims" in names for names in variants)
    exported, checks = export_bundle(
        loaded, batch=batch if fixed else None, length=length if fixed else None
    )
    done: list[VariantFiles] = []
    if variants:
        require("onnx_ir", extra="export", purpose="rewriting ONNX graphs")
        from actspan.deploy.passes.contract import PassSettings

        settings = PassSettings(batch, length, opset, io)
        done = _export_variants(exported, variants, settings, calibrate)
    checks += [check for variant in done for check in variant.checks]
    networks = [(variant.file(net), r) for variant in done for net, r in variant.rewritten.items()]
    notes, missed = goals(((f"{file}: ", r) for file, r in networks), chosen)
    if json_:
        files = [dataclasses.asdict(check) for check in checks]
        answers = [{"file": file} | passes_answer(r) for file, r in networks]
        print_json({"bundle": bundle, "files": files, "variants": answers})
    else:
        _print_checks(checks)
        for note in notes:
            print_text(f"note: {note}")
    raise_if_missed(bundle, missed)


def _export_variants(
    bundle: Bundle, variants: list[list[str]], settings: PassSettings, calibrate: Path | None
) -> list[VariantFiles]:
    from actspan.deploy.variants import export_variants

    done = []
    for names in variants:
        done.append(export_variants(bundle, names, settings, calibrate=calibrate))
        bundle = done[-1].bundle
        for net, rewritten in done[-1].rewritten.items():
            if not rewritten.changed:
                say(f"{net}.onnx is not changed by {', '.join(names)}: no variant of it")
    return done


def _print_checks(checks: list[ExportCheck]) -> None:
    rows = []
    for check in checks:
        torch = "" if check.passes else "not installed"
        if check.torch_difference is not None:
            torch = f"{check.torch_difference:.1e}"
        size, difference = f"{check.size / 1e3:,.0f} kB", f"{check.numpy_difference:.1e}"
        rows.append((check.net.upper(), check.file, str(check.opset), size, difference, torch))
    print_table(("net", "file", "opset", "size", "NumPy", "torch"), rows)
    print_text("NumPy, torch: largest absolute difference from ONNX Runtime's output")
