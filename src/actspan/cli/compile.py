"""`actspan compile`: compile a bundle's networks for a device."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actspan.cli.common import (
    ExistingPath,
    json_option,
    refuse_options,
    reports_errors,
    say,
    step_report,
)

if TYPE_CHECKING:
    from actspan.deploy.compile.compile import Compiled
    from actspan.deploy.compile.plan import CompilePlan, CompileRequest
    from actspan.model.bundle import Bundle


@click.command("compile")
@click.argument("bundle", type=ExistingPath())
@click.option(
    "--target",
    required=True,
    type=click.Choice(["ascend", "tensorrt", "openvino"]),
    help="Vendor's compiler to use.",
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(min=1),
    default=(1, 16),
    show_default=True,
    help="Videos per call; may be repeated. ascend compiles one file per size, tensorrt one "
    "for the range; openvino takes any size.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="Precision of the compiled networks. [default: fp16; fp32 for openvino]",
)
@click.option("--soc", default="Ascend310", show_default=True, help="ascend: the chip.")
@click.option(
    "--calibrate",
    type=ExistingPath(),
    help="Dataset folder from which int8 takes its value ranges.",
)
@click.option(
    "--print", "print_script", is_flag=True, help="Write the commands as a script, and run none."
)
@click.option(
    "--record",
    is_flag=True,
    help="Add the files that the script made in the bundle's folder to the bundle.",
)
@json_option
@click.pass_context
@reports_errors
def command(
    context: click.Context,
    bundle: Path,
    target: str,
    batches: tuple[int, ...],
    precision: str | None,
    soc: str,
    calibrate: Path | None,
    print_script: bool,
    record: bool,
    as_json: bool,
) -> None:
    """Compile the networks of a BUNDLE for a device, into the bundle.

    The graphs that the vendor's compiler takes are written first, and each is compared with the
    weights. If the compiler is not installed, --print writes a script into the bundle's folder, to
    run on a host that has it.

    \b
    Example:
      actspan compile bsn/ --target openvino
      actspan compile bsn/ --target ascend --batch 1 --batch 16 --soc Ascend310P3
      actspan compile bsn/ --target ascend --print
      actspan compile bsn/ --target openvino --precision int8 --calibrate my-videos/
    """
    if print_script and record:
        raise click.UsageError("--print writes the script, --record comes after it has run")
    if target != "ascend":
        refuse_options(context, ("soc",), f"on {target}")
    if precision != "int8":
        refuse_options(context, ("calibrate",), "without --precision int8")
    from actspan.deploy.compile.compile import prepare_plan
    from actspan.deploy.compile.plan import CompileRequest
    from actspan.model.bundle import Bundle

    loaded = Bundle.load(bundle)
    request = CompileRequest(target, batches, precision or "", soc, calibrate)
    if print_script:
        _print_script(prepare_plan(loaded, request), as_json)
        return
    done = _record(loaded, request) if record else _compile(loaded, request)
    _say_notes(note for one in done for note in one.notes)
    if as_json:
        click.echo(json.dumps(_answer(bundle, request, done), indent=1))
    else:
        _print_table(request, done)


def _say_notes(notes: Iterable[str]) -> None:
    for note in dict.fromkeys(notes):
        say(f"note: {note}")


def _compile(bundle: Bundle, request: CompileRequest) -> list[Compiled]:
    from actspan.deploy.compile.compile import compile_plan, find_compiler, prepare_plan

    compiler = find_compiler(request)
    with step_report("compile") as report:
        plan = prepare_plan(bundle, request, compiler)
        _, done = compile_plan(plan, compiler, report)
    return done


def _record(bundle: Bundle, request: CompileRequest) -> list[Compiled]:
    from actspan.deploy.compile.compile import prepare_plan, take_outputs

    _, done = take_outputs(prepare_plan(bundle, request))
    return done


def _print_script(plan: CompilePlan, as_json: bool) -> None:
    from actspan.deploy.compile.compile import write_script

    _say_notes(note for job in plan.jobs for note in job.notes)
    _, path = write_script(plan)
    text = path.read_text(encoding="utf-8")
    if as_json:
        click.echo(json.dumps({"script": str(path), "text": text}, indent=1))
    else:
        click.echo(text, nl=False)
        say(f"script: {path}, with the graphs beside it: copy the folder to the device's host")


def _answer(bundle: Path, request: CompileRequest, done: list[Compiled]) -> dict[str, Any]:
    files = [
        {
            "net": one.job.net,
            "file": one.job.output,
            "source": one.job.source,
            "shapes": {one.job.input: one.job.shapes},
            "bytes": one.size,
            "seconds": one.seconds,
            "notes": list(one.notes),
        }
        for one in done
    ]
    return {
        "bundle": str(bundle),
        "target": request.target,
        "precision": request.precision,
        "files": files,
    }


def _print_table(request: CompileRequest, done: list[Compiled]) -> None:
    from actspan.cli.tables import print_table
    from actspan.deploy.compile.plan import TARGETS

    rows = [
        [
            one.job.output,
            one.job.source,
            f"{one.job.input}:{one.job.shapes}",
            f"{one.size / 1e3:,.0f} kB",
            f"{one.seconds:.1f}",
        ]
        for one in done
    ]
    print_table(["file", "from", "input", "size", "seconds"], rows)
    backend = TARGETS[request.target].backends[request.precision]
    click.echo(f"run it:  actspan propose --backend {backend} ...")
    click.echo(f"hold it against the checkpoint:  actspan verify --backends {backend} ...")
