"""`actspan convert`: convert published checkpoints into a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actspan.cli.common import PlainPath, json_option, reports_errors, say
from actspan.core.wording import quoted

if TYPE_CHECKING:
    from actspan.model.bsn.checkpoints import Checkpoint
    from actspan.model.bundle import Bundle


@click.command("convert")
@click.argument("checkpoints", nargs=-1, required=True, type=PlainPath())
@click.option("--out", required=True, type=PlainPath(), help="Bundle folder to write.")
@click.option(
    "--length",
    type=click.IntRange(min=2),
    help="Temporal scale T of the TEM, which its weights do not contain. [default: 100]",
)
@click.option(
    "--force", is_flag=True, help="Replace networks that the bundle in --out already has."
)
@json_option
@reports_errors
def command(
    checkpoints: tuple[Path, ...], out: Path, length: int | None, force: bool, as_json: bool
) -> None:
    """Convert CHECKPOINTS from the authors, OpenMMLab and similar sources into a bundle.

    Give a TEM, a PEM or both, in any order: the weights tell which is which. If --out has only one
    of the two, the other is added. Code inside a checkpoint is never run; a file that contains code
    is refused.

    \b
    Example:
      actspan convert tem_best.pth.tar pem_best.pth.tar --out bsn/
      actspan convert pem_best.pth.tar --out bsn-with-a-tem/
    """
    from actspan.model.bsn.checkpoints import ORIGINS, convert_checkpoints

    bundle, found = convert_checkpoints(
        list(checkpoints), out, length=length or 100, overwrite=force
    )
    for note in _notes(found, length):
        say(f"note: {note}")
    if as_json:
        click.echo(json.dumps(_answer(bundle, found), indent=2))
        return
    for checkpoint in found:
        sizes = ", ".join(
            f"{key} {value}"
            for key, value in _sizes(bundle, checkpoint).items()
            if (key, value) != ("members", 1)
        )
        click.echo(
            f"{checkpoint.path.name}: {checkpoint.kind.upper()} from {ORIGINS[checkpoint.origin]}: "
            f"{sizes}; {checkpoint.parameters:,} parameters"
        )
    click.echo(f"bundle: {out}")
    click.echo(f"next:   {_next(bundle)}")


def _notes(found: list[Checkpoint], length: int | None) -> Iterator[str]:
    for checkpoint in found:
        yield from checkpoint.notes
    if length is not None and all(checkpoint.kind != "tem" for checkpoint in found):
        yield "--length is not used: it is the temporal scale of a TEM, and none is given"


def _sizes(bundle: Bundle, checkpoint: Checkpoint) -> dict[str, Any]:
    from actspan.config.base import to_dict

    return to_dict(bundle.config.tem if checkpoint.kind == "tem" else bundle.config.pem)


def _answer(bundle: Bundle, found: list[Checkpoint]) -> dict[str, Any]:
    networks = [
        {
            "file": str(checkpoint.path),
            "kind": checkpoint.kind,
            "origin": checkpoint.origin,
            "config": _sizes(bundle, checkpoint),
            "parameters": checkpoint.parameters,
            "notes": list(checkpoint.notes),
        }
        for checkpoint in found
    ]
    return {"bundle": str(bundle.path), "networks": networks, "next": _next(bundle)}


def _next(bundle: Bundle) -> str:
    path = quoted(bundle.path)
    if not bundle.has_pem:
        return f"actspan export {path}"
    source = "" if bundle.has_tem else " --scores scores.npz"
    return f"actspan propose --model {path} --dataset DIR{source} --out run/"
