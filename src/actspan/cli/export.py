"""`actspan export`: write a bundle's networks as ONNX."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.common import ExistingPath, json_option, refuse_options, reports_errors
from actspan.cli.optimize import fail_if_missed, passes_answer, shortfalls, split_names

if TYPE_CHECKING:
    from actspan.deploy.passes.contract import PassSettings
    from actspan.deploy.variants import Variants
    from actspan.model.bundle import Bundle
    from actspan.runtime.export import ExportCheck


@click.command("export")
@click.argument("bundle", type=ExistingPath())
@click.option("--batch", type=click.IntRange(min=1), help="Fix TEM's batch size. [default: free]")
@click.option(
    "--length", type=click.IntRange(min=1), help="Fix TEM's number of cells. [default: free]"
)
@click.option(
    "--passes",
    multiple=True,
    help="Also write a variant: names of passes, comma-separated (see actspan optimize "
    "--list). With fix-dims among them, --batch and --length apply to the variant only. "
    "May be repeated.",
)
@click.option("--opset", type=click.IntRange(min=1), help="Convert the variants to this opset.")
@click.option(
    "--io",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="Type of the inputs and outputs of fp16 variants.",
)
@click.option(
    "--calibrate",
    type=ExistingPath(),
    help="Dataset folder from which int8 takes its value ranges.",
)
@json_option
@click.pass_context
@reports_errors
def command(
    context: click.Context,
    bundle: Path,
    batch: int | None,
    length: int | None,
    passes: tuple[str, ...],
    opset: int | None,
    io: Literal["fp32", "fp16"],
    calibrate: Path | None,
    as_json: bool,
) -> None:
    """Write the networks of a BUNDLE as tem.onnx and pem.onnx, and variants of them.

    Each file is run on ONNX Runtime and kept only if it agrees with the weights: with a NumPy
    forward pass and, if torch is installed, with the torch network. Plain files must agree to 1e-5.
    A variant is named after its passes: tem.conv2d.fp16.onnx.

    \b
    Example:
      actspan export bsn/
      actspan export bsn/ --passes fold-scale,conv1d-to-conv2d --passes fold-scale,fp16
      actspan export bsn/ --passes fold-scale,int8 --calibrate my-videos/
    """
    from actspan.model.bundle import Bundle
    from actspan.runtime.export import export_bundle

    variants = [split_names(text) or [] for text in passes]
    if [] in variants:
        raise click.UsageError("--passes names no pass; see actspan optimize --list")
    if not variants and (opset or calibrate):
        variants = [["int8"] if calibrate else []]
    chosen = {name for names in variants for name in names}
    if "fp16" not in chosen:
        refuse_options(context, ("io",), "without --passes fp16")
    if "int8" not in chosen:
        refuse_options(context, ("calibrate",), "without --passes int8")
    loaded = Bundle.load(bundle)
    if not loaded.has_tem:
        refuse_options(context, ("batch", "length"), "without a TEM in the bundle")
    fixed = not any("fix-dims" in names for names in variants)
    exported, checks = export_bundle(
        loaded, batch=batch if fixed else None, length=length if fixed else None
    )
    done: list[Variants] = []
    if variants:
        from actspan.core.errors import require

        require("onnx_ir", extra="export", purpose="rewriting ONNX graphs")
        from actspan.deploy.passes.contract import PassSettings

        settings = PassSettings(batch=batch, length=length, opset=opset, io=io)
        done = _export_variants(exported, variants, settings, calibrate)
    checks += [check for variant in done for check in variant.checks]
    networks = [(variant.file(net), r) for variant in done for net, r in variant.rewritten.items()]
    noted, missed = shortfalls(((f"{file}: ", r) for file, r in networks), chosen)
    if as_json:
        answer = {
            "bundle": str(bundle),
            "files": [dataclasses.asdict(check) for check in checks],
            "variants": [{"file": file} | passes_answer(r) for file, r in networks],
        }
        click.echo(json.dumps(answer, indent=2))
    else:
        _print_table(checks, noted)
    fail_if_missed(bundle, missed)


def _export_variants(
    bundle: Bundle, variants: list[list[str]], settings: PassSettings, calibrate: Path | None
) -> list[Variants]:
    from actspan.cli.common import say
    from actspan.deploy.variants import export_variants

    done = []
    for names in variants:
        done.append(export_variants(bundle, names, settings, calibrate=calibrate))
        bundle = done[-1].bundle
        for net, rewritten in done[-1].rewritten.items():
            if not rewritten.changed:
                say(f"{net}.onnx is not changed by {', '.join(names)}: no variant of it")
    return done


def _print_table(checks: list[ExportCheck], noted: Iterable[str]) -> None:
    from actspan.cli.tables import print_table

    rows = []
    for check in checks:
        torch = check.torch_difference
        absent = "" if check.passes else "not installed"
        rows.append(
            (
                check.net.upper(),
                check.file,
                str(check.opset),
                f"{check.size / 1e3:,.0f} kB",
                f"{check.numpy_difference:.1e}",
                absent if torch is None else f"{torch:.1e}",
            )
        )
    print_table(("net", "file", "opset", "size", "NumPy", "torch"), rows)
    click.echo("NumPy, torch: largest absolute difference from ONNX Runtime's output")
    for note in noted:
        click.echo(f"note: {note}")
