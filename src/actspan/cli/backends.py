"""`actspan backends`: list the inference runtimes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from actspan.cli.common import json_option, reports_errors

if TYPE_CHECKING:
    from actspan.runtime.backends import Backend, Support


@click.command("backends")
@json_option
@reports_errors
def command(as_json: bool) -> None:
    """List the inference runtimes: installed, usable here, verified.

    The rows are in the order in which `--backend auto` looks for a runtime. It takes the first one
    that is usable and for which the bundle has the files. "Verified" runtimes are run by this
    project and compared with the checkpoint. A runtime that "differs" runs here but gives other
    proposals, so `auto` never takes it. The others follow their vendors' documentation and have not
    been tested here. `actspan verify` checks that the answers of a bundle stay the same.

    \b
    Example:
      actspan backends
      actspan propose --model bsn/ --dataset my-videos/ --backend openvino --out run/
    """
    from actspan.runtime.backends import BACKENDS
    from actspan.runtime.opening import check_backend

    found = [(backend, check_backend(name)) for name, backend in BACKENDS.items()]
    if as_json:
        click.echo(json.dumps([_row(backend, support) for backend, support in found], indent=1))
    else:
        _print_table(found)


def _row(backend: Backend, support: Support) -> dict[str, Any]:
    return {
        "backend": backend.name,
        "device": backend.device,
        "files": backend.suffix,
        "precision": backend.precision,
        "installed": support.installed,
        "usable": support.usable,
        "version": support.version or None,
        "why_not": _why_not(backend, support) or None,
        "verified": backend.verified,
        "changes_the_answer": backend.alters,
        "auto": backend.auto,
    }


def _why_not(backend: Backend, support: Support) -> str:
    return support.problem.removeprefix(f"backend {backend.name}: ")


def _print_table(found: list[tuple[Backend, Support]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("backend", "device", "version", "usable", "verified"):
        table.add_column(heading, overflow="fold")
    for backend, support in found:
        usable, verified = ("yes" if flag else "no" for flag in (support.usable, backend.verified))
        verified += ": differs" if backend.alters else ""
        cells = (backend.name, backend.device, support.version or "-", usable, verified)
        table.add_row(*map(escape, cells))
    Console(highlight=False).print(table)
    click.echo("verified: run by this project and held to the checkpoint, on this kind of device")
    click.echo("differs: runs here, but changes the answer; auto never takes it")
    click.echo("not usable, because:")
    for backend, support in found:
        if not support.usable:
            click.echo(f"  {backend.name}: {_short(backend, support)}")


def _short(backend: Backend, support: Support) -> str:
    return _why_not(backend, support) if support.installed else f"not installed: {backend.install}"
