"""`actspan optimize`: apply graph passes to any ONNX file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Container, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.common import PlainPath, json_option, refuse_options, reports_errors

if TYPE_CHECKING:
    from actspan.deploy.optimize import Rewritten
    from actspan.deploy.passes.contract import Calibration

FILE = PlainPath()


def _sizes(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, int]:
    """Return the sizes given by all `--dim AXIS=N`."""
    sizes: dict[str, int] = {}
    for text in texts:
        name, _equals, number = text.rpartition("=")
        if not name or not number.isdecimal() or int(number) < 1:
            raise click.BadParameter(f"{text!r} is not AXIS=N, such as batch=1 or state:1=1")
        if sizes.setdefault(name, int(number)) != int(number):
            raise click.BadParameter(f"{name} cannot be {sizes[name]} and {int(number)}")
    return sizes


@click.command("optimize")
@click.argument("source", required=False, type=FILE)
@click.argument("target", required=False, type=FILE)
@click.option("--passes", help="Names of passes, comma-separated, in order. [default: see --list]")
@click.option(
    "--dim",
    "dims",
    multiple=True,
    metavar="AXIS=N",
    callback=_sizes,
    help="fix-dims: size of all axes of a name, such as sequence=576, or of one axis of an "
    "input, INPUT:AXIS=N, such as state:1=1. May be repeated.",
)
@click.option("--batch", type=click.IntRange(min=1), help="fix-dims: size of the batch axes.")
@click.option("--length", type=click.IntRange(min=1), help="fix-dims: size of other free axes.")
@click.option("--opset", type=click.IntRange(min=1), help="opset: version to convert to.")
@click.option(
    "--io",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="fp16: type of the inputs and outputs.",
)
@click.option(
    "--calibrate", type=FILE, help="int8: dataset folder from which to take value ranges."
)
@click.option(
    "--model-kind",
    type=click.Choice(["tem", "pem"]),
    default="tem",
    show_default=True,
    help="int8: whether the network takes snippet features (tem) or features of proposals (pem).",
)
@click.option(
    "--bundle",
    type=FILE,
    help="int8: bundle that computes the inputs from features; PEM needs its TEM.",
)
@click.option("--list", "list_them", is_flag=True, help="List the passes, and stop.")
@json_option
@click.pass_context
@reports_errors
def command(
    context: click.Context,
    source: Path | None,
    target: Path | None,
    passes: str | None,
    dims: dict[str, int],
    batch: int | None,
    length: int | None,
    opset: int | None,
    io: Literal["fp32", "fp16"],
    calibrate: Path | None,
    model_kind: Literal["tem", "pem"],
    bundle: Path | None,
    list_them: bool,
    as_json: bool,
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
    if list_them:
        if source is not None:
            raise click.UsageError(f"--list takes no file, and would leave out {source}")
        _list(as_json)
        return
    if source is None or target is None:
        raise click.UsageError("give SOURCE and TARGET, or --list")
    if calibrate is None:
        refuse_options(context, ("bundle", "model_kind"), "without --calibrate")
    from actspan.core.errors import require

    require("onnx_ir", extra="export", purpose="rewriting ONNX graphs")
    from actspan.deploy.optimize import optimize_file, with_implied
    from actspan.deploy.passes.contract import PassSettings

    settings = PassSettings(
        dims=dims,
        batch=batch,
        length=length,
        opset=opset,
        io=io,
        calibration=_calibration(calibrate, model_kind, bundle),
    )
    names = split_names(passes)
    wanted = with_implied(names, settings)
    if not wanted:
        raise click.UsageError("--passes names no pass; see actspan optimize --list")
    if "fp16" not in wanted:
        refuse_options(context, ("io",), "without --passes fp16")
    rewritten = optimize_file(source, target, names, settings)
    asked = {*(names or ()), *(["int8"] if calibrate else ())}
    noted, missed = shortfalls([("", rewritten)], asked)
    if as_json:
        click.echo(json.dumps(_answer(source, target, rewritten), indent=2))
    else:
        _print_table(target, rewritten, noted)
    fail_if_missed(target, missed)


def split_names(text: str | None) -> list[str] | None:
    """Return comma-separated names; None stays None, and an empty text gives no names."""
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()]


def shortfalls(
    models: Iterable[tuple[str, Rewritten]], asked: Container[str]
) -> tuple[list[str], list[str]]:
    """Return lines to note, and lines about requested passes that missed their goal.

    Parameters
    ----------
    models : iterable of (str, Rewritten)
        Each with the start of the lines about its passes.
    asked : container of str
        Names of the passes that were asked for.
    """
    noted: list[str] = []
    missed: list[str] = []
    for begin, model in models:
        noted += (note for note in model.notes if note not in noted)  # both may have them
        for report in model.reports:
            if report.left is not None:
                lines = missed if report.missed and report.name in asked else noted
                lines.append(f"{begin}{report.name}: {report.left}")
    return noted, missed


def fail_if_missed(written: Path, missed: Iterable[str]) -> None:
    """Raise ExportError if a requested pass missed its goal."""
    from actspan.core.errors import ExportError

    reasons = "; ".join(missed)
    if reasons:
        raise ExportError(f"{written} is written, but not all is done. {reasons}")


def passes_answer(rewritten: Rewritten) -> dict[str, object]:
    """Return the part of the `--json` output about a model after its passes."""
    return {
        "changed": rewritten.changed,
        "tags": list(rewritten.tags),
        "notes": list(rewritten.notes),
        "passes": [dataclasses.asdict(report) for report in rewritten.reports],
    }


def _calibration(
    dataset: Path | None, kind: Literal["tem", "pem"], bundle: Path | None
) -> Calibration | None:
    if dataset is None:
        return None
    from actspan.deploy.passes.calibration import DatasetCalibration
    from actspan.model.bundle import Bundle

    return DatasetCalibration(dataset, kind, None if bundle is None else Bundle.load(bundle))


def _answer(source: Path, target: Path, rewritten: Rewritten) -> dict[str, object]:
    return {
        "source": str(source),
        "target": str(target),
        "size": target.stat().st_size,
        **passes_answer(rewritten),
    }


def _print_table(target: Path, rewritten: Rewritten, noted: Iterable[str]) -> None:
    from actspan.cli.tables import print_table

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
    for note in noted:
        click.echo(f"note: {note}")
    size = target.stat().st_size
    click.echo(f"{target}: {size / 1e3:,.0f} kB" + ("" if rewritten.changed else ", unchanged"))


def _list(as_json: bool) -> None:
    from actspan.deploy.passes import DEFAULT, contracts

    if as_json:
        found = [dataclasses.asdict(c) | {"default": c.name in DEFAULT} for c in contracts()]
        click.echo(json.dumps(found, indent=2))
        return
    for contract in contracts():
        click.echo(contract.name + (" (default)" if contract.name in DEFAULT else ""))
        click.echo(f"    {contract.summary}")
        click.echo(f"    needs:     {contract.needs}")
        click.echo(f"    ensures:   {contract.ensures}")
        click.echo(f"    tolerance: {contract.tolerance:g}")
