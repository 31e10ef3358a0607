"""`actspan verify`: compare every variant of a model with its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    json_option,
    progress_report,
    repeated,
    reports_errors,
    say,
    say_left_out,
)
from actspan.core.wording import counted

if TYPE_CHECKING:
    from actspan.deploy.verify.verify import Verification

_existing = ExistingPath(file_okay=False)


@click.command("verify")
@click.argument("bundle", type=ExistingPath())
@click.option("--dataset", type=_existing, help="A dataset folder. [default: made-up features]")
@click.option("--subset", help="Use only the videos of this subset: validation, ... [default: all]")
@click.option(
    "--backends",
    help="Backends to check, comma-separated. [default: those that this project verifies, and "
    "compiled files]",
)
@click.option(
    "--threads", type=click.IntRange(1), default=2, show_default=True, help="Number of threads."
)
@click.option(
    "--markdown",
    type=PlainPath(dir_okay=False),
    help="Write the report as a Markdown page.",
)
@json_option
@click.pass_context
@reports_errors
def command(
    context: click.Context,
    bundle: Path,
    dataset: Path | None,
    subset: str | None,
    backends: str | None,
    threads: int,
    markdown: Path | None,
    as_json: bool,
) -> None:
    """Compare every variant of a BUNDLE with its checkpoint.

    Variants are all graphs of the bundle (tem.onnx, tem.fp16.onnx, ...) on every backend, and its
    compiled files. Outputs are compared before and after the sigmoid, proposals by segment and
    rank, and, with a dataset, AR@AN and AUC. The exit code is 1 if a variant exceeds the limits of
    its precision, or if a requested variant does not run.

    \b
    Example:
      actspan verify bsn/
      actspan verify bsn/ --dataset my-videos/ --subset validation --markdown accuracy.md
      actspan verify bsn/ --backends onnxruntime,openvino:bf16 --json
    """
    if subset is not None and dataset is None:
        raise click.UsageError("--subset needs --dataset")
    names = None if backends is None else [n.strip() for n in backends.split(",") if n.strip()]
    with progress_report() as report:
        from actspan.core.files import atomic_file
        from actspan.deploy.verify.accuracy_report import to_dict, to_markdown
        from actspan.deploy.verify.verify import verify_bundle

        found = verify_bundle(
            bundle,
            dataset=dataset,
            subset=subset,
            backends=names,
            threads=threads,
            progress=report,
        )
    if markdown is not None:
        with atomic_file(markdown) as stream:
            stream.write(to_markdown(found, repeated(context)).encode())
        say(f"report: {markdown}")
    if as_json:
        click.echo(json.dumps(to_dict(found), indent=1))
    else:
        _print(found)
    context.exit(0 if found.holds else 1)


def _print(found: Verification) -> None:
    from actspan.cli.tables import print_table
    from actspan.deploy.verify.accuracy_report import answer_table, output_table

    click.echo(
        f"{found.material}: {counted(found.videos, 'video')}, "
        f"{counted(found.proposals, 'proposal')}"
    )
    if found.ran:
        for header, rows in (output_table(found), answer_table(found)):
            print_table(header, rows)
    for result in found.results:
        for reason in result.failures:
            say(f"{result.variant.name}: {reason}")
    for note in found.notes:
        say(f"note: {note}")
    if found.ran:
        click.echo("every variant holds" if found.holds else "not every variant holds")
    else:
        click.echo("nothing could be run, so nothing was compared")
    say_left_out(found.problems)
