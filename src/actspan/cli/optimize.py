"""`actspan optimize`: graph passes over any ONNX file."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click

from actspan.cli.console import print_json, print_text
from actspan.cli.help import Text, print_sections
from actspan.cli.options import command, refuse_options
from actspan.cli.tables import print_table
from actspan.cli.values import split_names
from actspan.config.base import Positive, doc
from actspan.core.errors import ExportError, require

if TYPE_CHECKING:
    from actspan.deploy.optimize import RewrittenModel
    from actspan.deploy.passes.contract import Calibration


@command(
    passes=doc(
        "Names of passes, comma-separated, in order. [default: see --list]", "NAMES", group="Passes"
    ),
    dim=doc(
        "Pass fix-dims: size of all axes of a name, such as sequence=576, or of one axis of an "
        "input, INPUT:AXIS=N, such as state:1=1. May be repeated.",
        group="Passes",
    ),
    batch=doc("Pass fix-dims: size of the batch axes.", group="Passes"),
    length=doc("Pass fix-dims: size of other free axes.", group="Passes"),
    opset=doc("Pass opset: version to convert to.", group="Passes"),
    io=doc("Pass fp16: type of the inputs and outputs.", group="Passes"),
    calibrate=doc("Pass int8: dataset folder from which to compute value ranges.", group="Passes"),
    model_kind=doc(
        "Pass int8: inputs of the network, snippet features (tem, bmn) or of proposals (pem).",
        group="Passes",
    ),
    bundle=doc(
        "Pass int8: bundle that computes the inputs from features; PEM needs its TEM.",
        group="Passes",
    ),
    list_=doc("List the passes, and stop.", group="Passes"),
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
    model_kind: Literal["tem", "pem", "bmn"] = "tem",
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
      actspan optimize tem.onnx tem8.onnx --passes fold-scale \\
          --calibrate my-videos/
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
    notes, missed = goals([("", rewritten)], requested)
    if json_:
        files = {"source": source, "target": target, "size": size}
        print_json({**files, **passes_answer(rewritten)})
    else:
        _print_passes(rewritten)
        for note in notes:
            print_text(f"note: {note}")
        print_text(f"{target}: {size / 1e3:,.0f} kB" + ("" if rewritten.changed else ", unchanged"))
    raise_if_missed(target, missed)


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
    dataset: Path | None, kind: Literal["tem", "pem", "bmn"], bundle: Path | None
) -> Calibration | None:
    if dataset is None:
        return None
    from actspan.deploy.passes.calibration import DatasetCalibration
    from actspan.model.bundle import Bundle

    return DatasetCalibration(dataset, kind, None if bundle is None else Bundle.load(bundle))


def goals(
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


def raise_if_missed(written: Path, missed: Iterable[str]) -> None:
    """Raise ExportError with the reasons, if any, why a written file misses a requested goal."""
    if reasons := "; ".join(missed):
        raise ExportError(f"{written} is written, but is incomplete. {reasons}")


def passes_answer(rewritten: RewrittenModel) -> dict[str, object]:
    """Return the JSON entries of the passes over a model."""
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
    print_sections(
        (
            contract.name + (" (default)" if contract.name in DEFAULT else ""),
            [
                ("what", contract.summary),
                ("needs", contract.needs),
                ("ensures", contract.ensures),
                ("tolerance", f"{contract.tolerance:g}"),
            ],
        )
        for contract in contracts()
    )
