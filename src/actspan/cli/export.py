"""`actspan export`: a bundle's networks as ONNX."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actspan.cli.common import json_option, reports_errors

if TYPE_CHECKING:
    from actspan.export import ExportCheck


@click.command("export")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--batch", type=click.IntRange(min=1), help="Fix TEM's batch size; free by default.")
@click.option(
    "--length", type=click.IntRange(min=1), help="Fix TEM's number of cells; free by default."
)
@json_option
@reports_errors
def command(bundle: Path, batch: int | None, length: int | None, as_json: bool) -> None:
    """Write the networks of a BUNDLE as tem.onnx and pem.onnx.

    Each file runs on ONNX Runtime and must agree with the weights to 1e-5 before it is kept: with
    a NumPy forward pass and, where torch is installed, the torch network.

    \b
    Example:
      actspan export bsn/
    """
    from actspan.bundle import Bundle
    from actspan.export import export_bundle

    _, checks = export_bundle(Bundle.load(bundle), batch=batch, length=length)
    if as_json:
        answer = {"bundle": str(bundle), "files": [dataclasses.asdict(c) for c in checks]}
        click.echo(json.dumps(answer, indent=2))
        return
    _print_table(checks)


def _print_table(checks: list[ExportCheck]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for heading in ("net", "file"):
        table.add_column(heading)
    for heading in ("opset", "size", "NumPy", "torch"):
        table.add_column(heading, justify="right")
    for check in checks:
        torch = check.torch_difference
        table.add_row(
            check.net.upper(),
            check.file,
            str(check.opset),
            f"{check.size / 1e3:,.0f} kB",
            f"{check.numpy_difference:.1e}",
            "not installed" if torch is None else f"{torch:.1e}",
        )
    Console().print(table)
    click.echo("NumPy, torch: largest absolute difference from ONNX Runtime's output")
