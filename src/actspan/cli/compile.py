"""`actspan compile`: networks of a bundle for a device."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.console import (
    print_json,
    print_notes,
    say,
    step_report,
)
from actspan.cli.options import command, refuse_options
from actspan.cli.tables import print_table
from actspan.config.base import Existing
from actspan.core.folders import locked_folder
from actspan.deploy.deploy_requests import TARGETS, CompileRequest

if TYPE_CHECKING:
    from actspan.deploy.compilation import CompileResult
    from actspan.model.bundle import Bundle

Precision = Literal["fp32", "fp16", "int8"]


@command(
    print_="Write the commands as a script, and run none.",
    record="Add the files that the script made in the bundle's folder to the bundle.",
)
def compile_(
    bundle: Existing,
    request: CompileRequest,
    *,
    precision: Precision | None = None,
    print_: bool = False,
    record: bool = False,
    json_: bool = False,
) -> None:
    """Compile the networks of a BUNDLE for a device, into the bundle.

    The graphs for the vendor's compiler are written first, and each is compared with the
    weights. If the compiler is not installed, --print writes a script into the bundle's folder, to
    run on a host that has it.

    \b
    Example:
      actspan compile bsn/ --target openvino
      actspan compile bsn/ --target ascend --batch 1 --batch 16 \\
          --soc Ascend310P3
      actspan compile bsn/ --target ascend --print
      actspan compile bsn/ --target openvino --precision int8 \\
          --calibrate my-videos/
    """
    if print_ and record:
        raise click.UsageError("--print writes the script, --record comes after it has run")
    refuse_for_target(request.target, precision)
    from actspan.deploy.compilation import (
        compile_plan,
        find_compiler,
        prepare_plan,
        record_outputs,
    )
    from actspan.model.bundle import Bundle

    loaded = Bundle.load(bundle)
    if print_:
        _write_script(loaded, request, json_)
        return
    if record:
        _, done = record_outputs(prepare_plan(loaded, request))
    else:
        compiler = find_compiler(request)
        with locked_folder(bundle), step_report("compile") as report:
            loaded = Bundle.load(bundle)
            _, done = compile_plan(prepare_plan(loaded, request, compiler), compiler, report)
    print_notes(note for result in done for note in result.notes)
    _print_compiled(bundle, request, done, json_)


def _print_compiled(
    bundle: Path, request: CompileRequest, results: Iterable[CompileResult], as_json: bool
) -> None:
    if as_json:
        files = [
            {
                "net": result.job.net,
                "file": result.job.output,
                "source": result.job.source,
                "shapes": {result.job.input: result.job.shapes},
                "bytes": result.size,
                "seconds": result.seconds,
                "notes": result.notes,
            }
            for result in results
        ]
        answer = {"bundle": bundle, "target": request.target, "precision": request.precision}
        print_json({**answer, "files": files})
        return
    rows = [
        (
            result.job.output,
            result.job.source,
            f"{result.job.input}:{result.job.shapes}",
            f"{result.size / 1e3:,.0f} kB",
            f"{result.seconds:.1f}",
        )
        for result in results
    ]
    print_table(("file", "from", "input", "size", "seconds"), rows)
    backend = TARGETS[request.target].backends[request.precision]
    click.echo(f"run it:  actspan propose --backend {backend} ...")
    click.echo(f"compare it with the checkpoint:  actspan verify --backends {backend} ...")


def refuse_for_target(target: str, precision: str | None) -> None:
    """Raise a usage error for options that this target or precision does not use."""
    if target != "ascend":
        refuse_options(["soc"], f"on {target}")
    if precision != "int8":
        refuse_options(["calibrate"], "without --precision int8")


def _write_script(bundle: Bundle, request: CompileRequest, as_json: bool) -> None:
    from actspan.deploy.compilation import prepare_plan, write_script

    plan = prepare_plan(bundle, request)
    print_notes(note for job in plan.jobs for note in job.notes)
    _, path = write_script(plan)
    text = path.read_text(encoding="utf-8")
    if as_json:
        print_json({"script": path, "text": text})
    else:
        click.echo(text, nl=False)
        say(f"script: {path}, with the graphs next to it: copy the folder to the device's host")
