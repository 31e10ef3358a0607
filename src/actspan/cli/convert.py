"""`actspan convert`: published checkpoints to a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actspan.cli.common import json_option, reports_errors

if TYPE_CHECKING:
    from actspan.bundle import Bundle
    from actspan.nets.foreign import Checkpoint

_ORIGIN = {"bsn": "the authors' code", "openmmlab": "OpenMMLab"}


@click.command("convert")
@click.argument("checkpoints", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option(
    "--length",
    type=click.IntRange(min=2),
    default=100,
    show_default=True,
    help="Temporal scale T of the TEM, which its weights do not tell.",
)
@click.option("--force", is_flag=True, help="Replace a bundle that is there.")
@json_option
@reports_errors
def command(
    checkpoints: tuple[Path, ...], out: Path, length: int, force: bool, as_json: bool
) -> None:
    """Turn the authors' or OpenMMLab's CHECKPOINTS into a bundle.

    Give a TEM, a PEM or both, in any order: which is which shows in the weights. Code inside a
    checkpoint is never run; a file that carries any is refused.

    \b
    Example:
      actspan convert tem_best.pth.tar pem_best.pth.tar --out bsn/
    """
    from actspan.nets.foreign import convert_checkpoints

    bundle, found = convert_checkpoints(list(checkpoints), out, length=length, overwrite=force)
    if as_json:
        click.echo(json.dumps(_answer(bundle, found), indent=2))
        return
    for checkpoint in found:
        sizes = ", ".join(
            f"{key} {value}"
            for key, value in _sizes(bundle, checkpoint).items()
            if key != "members"  # a checkpoint holds one network
        )
        click.echo(
            f"{checkpoint.path.name}: {checkpoint.kind.upper()} from {_ORIGIN[checkpoint.origin]}: "
            f"{sizes}; {checkpoint.parameters:,} parameters"
        )
    click.echo(f"bundle: {out}")
    click.echo(f"next:   {_next(bundle)}")


def _sizes(bundle: Bundle, checkpoint: Checkpoint) -> dict[str, Any]:
    from actspan.config import to_dict

    return to_dict(bundle.config.tem if checkpoint.kind == "tem" else bundle.config.pem)


def _answer(bundle: Bundle, found: list[Checkpoint]) -> dict[str, Any]:
    networks = [
        {
            "file": str(checkpoint.path),
            "kind": checkpoint.kind,
            "origin": checkpoint.origin,
            "config": _sizes(bundle, checkpoint),
            "parameters": checkpoint.parameters,
        }
        for checkpoint in found
    ]
    return {"bundle": str(bundle.path), "networks": networks, "next": _next(bundle)}


def _next(bundle: Bundle) -> str:
    if not bundle.has_pem:
        return f"actspan export {bundle.path}"
    source = "" if bundle.has_tem else " --scores scores.npz"
    return f"actspan propose --model {bundle.path} --dataset DIR{source} --out run/"
