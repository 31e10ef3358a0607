"""`actspan export` and `actspan optimize`: networks as ONNX files, and graph passes over them."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click

from actspan.cli.console import print_json, say
from actspan.cli.options import Text, command, refuse_options, split_names
from actspan.cli.tables import print_table
from actspan.config.base import Existing, Positive
from actspan.core.errors import ExportError, require

if TYPE_CHECKING:
    from actspan.deploy.optimize import RewrittenModel
    from actspan.deploy.passes.contract import Calibration, PassSettings
    from actspan.deploy.variants import VariantFiles
    from actspan.model.bundle import Bundle
    from actspan.runtime.export import ExportCheck


@command(
    batch="Fix TEM's batch size. [default: free]",
    length="Fix TEM's number of cells. [default: free]",
    passes="Also write a variant: names of passes, comma-separated (see actspan optimize --list). "
    "With fix-dims among them, --batch and --length apply to the variant only. May be repeated.",
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
        refuse_options(["io"], "without --passes fp16")
    if "int8" not in chosen:
        refuse_options(["calibrate"], "without --passes int8")
    loaded = Bundle.load(bundle)
    if "tem" not in loaded.nets:
        refuse_options(["batch", "length"], "without a TEM in the bundle")
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
    notes, missed = _goals(((f"{file}: ", r) for file, r in networks), chosen)
    if json_:
        files = [dataclasses.asdict(check) for check in checks]
        answers = [{"file": file} | _passes_answer(r) for file, r in networks]
        print_json({"bundle": bundle, "files": files, "variants": answers})
    else:
        _print_checks(checks)
        for note in notes:
            click.echo(f"note: {note}")
    _raise_if_missed(bundle, missed)


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
    click.echo("NumPy, torch: largest absolute difference from ONNX Runtime's output")


@command(
    passes="Names of passes, comma-separated, in order. [default: see --list]",
    dim="Pass fix-dims: size of all axes of a name, such as sequence=576, or of one axis of an "
    "input, INPUT:AXIS=N, such as state:1=1. May be repeated.",
    batch="Pass fix-dims: size of the batch axes.",
    length="Pass fix-dims: size of other free axes.",
    opset="Pass opset: version to convert to.",
    io="Pass fp16: type of the inputs and outputs.",
    calibrate="Pass int8: dataset folder from which to compute value ranges.",
    model_kind="Pass int8: inputs of the network, snippet features (tem) or features of proposals "
    "(pem).",
    bundle="Pass int8: bundle that computes the inputs from features; PEM needs its TEM.",
    list_="List the passes, and stop.",
)
def optimize(
    source: Path | None = None,
    target: Path | None = None,
    *,
    passes: str | None = None,
    dim: tuple[Annotated[str, Text("AXIS=N")], ...] = (),
    batch: Positive | None = None,
    length: Positive | None = None,
    opset: Positive | None = None,
    io: Literal["fp32", "fp16"] = "fp32",
    calibrate: Path | None = None,
    model_kind: Literal["tem", "pem"] = "tem",
    bundle: Path | None = None,
    list_: bool = False,
    json_: bool = False,
) -> None:
    """Rewrite the ONNX file SOURCE, from any exporter, and write TARGET.

    After each pass the graph is checked, and the output of the model on ONNX Runtime must stay the
    same, within the pass's tolerance. Otherwise TARGET is not written.

    \b
    Example:
      actspan optimize tem.onnx tem2d.onnx
      actspan optimize tem.onnx tem16.onnx --passes fold-scale,fp16 --batch 16
      actspan optimize speech.onnx fixed.onnx --dim batch=1 --dim sequence=576
      actspan optimize tem.onnx tem8.onnx --passes fold-scale --calibrate my-videos/
    """
    dims = _sizes(dim)
    if list_:
        if source is not None:
            raise click.UsageError(f"--list accepts no file, and would ignore {source}")
        _list_passes(json_)
        return
    if source is None or target is None:
        raise click.UsageError("give SOURCE and TARGET, or --list")
    if calibrate is None:
        refuse_options(["bundle", "model_kind"], "without --calibrate")
    require("onnx_ir", extra="export", purpose="rewriting ONNX graphs")
    from actspan.deploy.optimize import optimize_file, with_implied
    from actspan.deploy.passes.contract import PassSettings

    calibration = _calibration(calibrate, model_kind, bundle)
    settings = PassSettings(batch, length, opset, io, calibration, dims=dims)
    names = split_names(passes)
    wanted = with_implied(names, settings)
    if not wanted:
        raise click.UsageError("--passes names no pass; see actspan optimize --list")
    if "fp16" not in wanted:
        refuse_options(["io"], "without --passes fp16")
    rewritten = optimize_file(source, target, names, settings)
    size = target.stat().st_size
    requested = {*(names or ()), *(["int8"] if calibrate else ())}
    notes, missed = _goals([("", rewritten)], requested)
    if json_:
        files = {"source": source, "target": target, "size": size}
        print_json({**files, **_passes_answer(rewritten)})
    else:
        _print_passes(rewritten)
        for note in notes:
            click.echo(f"note: {note}")
        click.echo(f"{target}: {size / 1e3:,.0f} kB" + ("" if rewritten.changed else ", unchanged"))
    _raise_if_missed(target, missed)


def _sizes(texts: Sequence[str]) -> dict[str, int]:
    """Return the sizes given by all `--dim AXIS=N`."""
    sizes: dict[str, int] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        what = ""
        if not name or not number.isdecimal() or int(number) < 1:
            what = f"{text!r} is not AXIS=N, such as batch=1 or state:1=1"
        elif sizes.setdefault(name, int(number)) != int(number):
            what = f"{name} cannot be {sizes[name]} and {int(number)}"
        if what:
            raise click.BadParameter(what, param_hint="'--dim'")
    return sizes


def _calibration(
    dataset: Path | None, kind: Literal["tem", "pem"], bundle: Path | None
) -> Calibration | None:
    if dataset is None:
        return None
    from actspan.deploy.passes.calibration import DatasetCalibration
    from actspan.model.bundle import Bundle

    return DatasetCalibration(dataset, kind, None if bundle is None else Bundle.load(bundle))


def _goals(
    models: Iterable[tuple[str, RewrittenModel]], requested: Container[str]
) -> tuple[list[str], list[str]]:
    """Return notes, and lines about requested passes that missed their goal.

    Parameters
    ----------
    models : iterable of (str, RewrittenModel)
        Each with the start of the lines about its passes.
    """
    notes: list[str] = []
    missed: list[str] = []
    for start, model in models:
        notes += (note for note in model.notes if note not in notes)  # both networks may have them
        for report in model.reports:
            if report.left is not None:
                lines = missed if report.missed and report.name in requested else notes
                lines.append(f"{start}{report.name}: {report.left}")
    return notes, missed


def _raise_if_missed(written: Path, missed: Iterable[str]) -> None:
    if reasons := "; ".join(missed):
        raise ExportError(f"{written} is written, but is incomplete. {reasons}")


def _passes_answer(rewritten: RewrittenModel) -> dict[str, object]:
    passes = [dataclasses.asdict(report) for report in rewritten.reports]
    names = ("changed", "tags", "notes")
    return {**{name: getattr(rewritten, name) for name in names}, "passes": passes}


def _print_passes(rewritten: RewrittenModel) -> None:
    rows = [
        (
            report.name,
            "yes" if report.changed else "no",
            f"{report.nodes_before} -> {report.nodes_after}",
            f"{report.difference:.1e}" if report.changed else "",
            f"{report.tolerance:g}",
            f"{report.seconds:.2f}",
        )
        for report in rewritten.reports
    ]
    print_table(("pass", "changed", "nodes", "difference", "allowed", "seconds"), rows)


def _list_passes(as_json: bool) -> None:
    from actspan.deploy.passes import DEFAULT, contracts

    if as_json:
        print_json([dataclasses.asdict(c) | {"default": c.name in DEFAULT} for c in contracts()])
        return
    for contract in contracts():
        click.echo(contract.name + (" (default)" if contract.name in DEFAULT else ""))
        click.echo(f"    {contract.summary}")
        click.echo(f"    needs:     {contract.needs}")
        click.echo(f"    ensures:   {contract.ensures}")
        click.echo(f"    tolerance: {contract.tolerance:g}")
