"""`actspan staged`: propose through files, for hosts with a device and a vendor's tool."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    json_option,
    on_error_option,
    progress_report,
    reports_errors,
    say,
    say_findings,
)

if TYPE_CHECKING:
    from actspan.deploy.staged.step_files import StepReport

F = TypeVar("F", bound=Callable[..., Any])

_path = PlainPath()
_existing = ExistingPath()
_stage = click.argument("stage", type=_existing)
_net = click.option(
    "--net", required=True, type=click.Choice(["tem", "pem"]), help="Network to use."
)
_on_error = on_error_option("Stop at problems, or skip what cannot be used.")
_lean = click.option("--lean", is_flag=True, help="Write only the files that later steps read.")


def _dumps(function: F) -> F:
    """Add the options of commands that read dumps."""
    suffix = click.option(
        "--suffix",
        default="_1.bin",
        show_default=True,
        help="Suffix of the dumps; ais_bench writes _0.bin.",
    )
    folder = click.option(
        "--dumps",
        type=_existing,
        help="Folder of the dumps. [default: tem-output/ or pem-output/ in the stage]",
    )
    return folder(suffix(function))


@click.group()
def command() -> None:
    """Propose step by step through files, where a device's own tool runs the two networks.

    A stage is a folder to which every step adds files. The device works between tem-inputs and
    tem-outputs, and between pem-inputs and pem-outputs: a vendor's tool over a list of raw inputs,
    our script (staged script), or staged run. The result equals that of actspan propose.

    \b
    Example:
      actspan staged tem-inputs --model bsn/ --dataset my-videos/ --out stage/
      actspan staged run stage/ --net tem --model bsn/
      actspan staged tem-outputs stage/
      actspan staged pem-inputs stage/
      actspan staged run stage/ --net pem --model bsn/
      actspan staged pem-outputs stage/ --out result.json
    """


@command.command()
@click.option("--model", required=True, type=_existing, help="A bundle.")
@click.option("--dataset", required=True, type=_existing, help="A dataset folder.")
@click.option("--out", required=True, type=_path, help="Stage folder to write.")
@click.option(
    "--subset",
    help="Process only the videos of this subset: training, validation, ... [default: all]",
)
@_lean
@_on_error
@click.option("--force", is_flag=True, help="Replace an existing stage and its dumps.")
@json_option
@reports_errors
def tem_inputs(
    model: Path,
    dataset: Path,
    out: Path,
    subset: str | None,
    lean: bool,
    on_error: Literal["fail", "skip"],
    force: bool,
    as_json: bool,
) -> None:
    """Start a stage: write TEM's inputs, one file per video (or window of a long recording).

    \b
    Example:
      actspan staged tem-inputs --model bsn/ --dataset my-videos/ --out stage/
    """
    with progress_report() as report:
        from actspan.deploy.staged.tem_steps import TemRequest, write_tem_inputs

        request = TemRequest(
            model=model,
            dataset=dataset,
            out=out,
            subset=subset,
            lean=lean,
            on_error=on_error,
            overwrite=force,
        )
        done = write_tem_inputs(request, report)
    _say(done, "TEM inputs", as_json)


@command.command()
@_stage
@_net
@click.option(
    "--out", type=_path, help="List to write. [default: tem.info or pem.info in the stage]"
)
@click.option(
    "--prefix", help="Folder of the inputs on the device's host. [default: where they are now]"
)
@json_option
@reports_errors
def info(stage: Path, net: Literal["tem", "pem"], out: Path | None, prefix: str | None,
         as_json: bool) -> None:  # fmt: skip
    """List a network's inputs in the format of vendors' tools: index path height width.

    \b
    Example:
      actspan staged info stage/ --net tem --out tem.info --prefix /data/stage/tem/input
    """
    from actspan.deploy.staged.runner import write_list
    from actspan.deploy.staged.stage import Stage

    loaded = Stage.load(stage)
    path, count = write_list(loaded, net, out, prefix)
    height, width = loaded.shape(net)
    if as_json:
        click.echo(json.dumps({"out": str(path), "inputs": count, "shape": [height, width]}))
    else:
        say(f"{count} inputs of {height} x {width} in {path}")


@command.command()
@_stage
@_dumps
@_on_error
@json_option
@reports_errors
def tem_outputs(
    stage: Path,
    dumps: Path | None,
    suffix: str,
    on_error: Literal["fail", "skip"],
    as_json: bool,
) -> None:
    """Read TEM's dumps, and write boundary scores, one CSV per input.

    Before anything is written, all unusable dumps are reported together: missing, too many, too
    short or long, not finite, stale, or of another network or dataset.

    \b
    Example:
      actspan staged tem-outputs stage/ --dumps result/dumpOutput_device0
      actspan staged tem-outputs stage/ --dumps result/tem --suffix _0.bin
    """
    with progress_report() as report:
        from actspan.deploy.staged.dumps import Dumps
        from actspan.deploy.staged.stage import Stage
        from actspan.deploy.staged.tem_steps import take_tem_outputs

        loaded = Stage.load(stage)
        given = Dumps(dumps or loaded.outputs("tem"), suffix)
        done = take_tem_outputs(loaded, given, on_error=on_error, progress=report)
    _say(done, "TEM results", as_json)


@command.command()
@_stage
@_lean
@_on_error
@json_option
@reports_errors
def pem_inputs(stage: Path, lean: bool, on_error: Literal["fail", "skip"], as_json: bool) -> None:
    """Compute candidates and BSP features from TEM's results, as PEM's inputs.

    \b
    Example:
      actspan staged pem-inputs stage/
    """
    with progress_report() as report:
        from actspan.deploy.staged.pem_steps import write_pem_inputs
        from actspan.deploy.staged.stage import Stage

        done = write_pem_inputs(Stage.load(stage), lean=lean, on_error=on_error, progress=report)
    _say(done, "PEM inputs", as_json)


@command.command()
@_stage
@_dumps
@click.option("--out", type=_path, help="Result file to write. [default: result.json in the stage]")
@_lean
@_on_error
@json_option
@reports_errors
def pem_outputs(
    stage: Path,
    dumps: Path | None,
    suffix: str,
    out: Path | None,
    lean: bool,
    on_error: Literal["fail", "skip"],
    as_json: bool,
) -> None:
    """Read PEM's dumps, apply Soft-NMS, and write PEM results and the result file.

    Dumps are checked as in tem-outputs.

    \b
    Example:
      actspan staged pem-outputs stage/ --dumps result/dumpOutput_device1 --out result.json
    """
    with progress_report() as report:
        from actspan.deploy.staged.dumps import Dumps
        from actspan.deploy.staged.pem_steps import take_pem_outputs
        from actspan.deploy.staged.stage import Stage

        loaded = Stage.load(stage)
        given = Dumps(dumps or loaded.outputs("pem"), suffix)
        done = take_pem_outputs(
            loaded, given, out=out, lean=lean, on_error=on_error, progress=report
        )
    _say(done, "PEM results", as_json)


@command.command()
@_stage
@_net
@click.option(
    "--model", required=True, type=_existing, help="The bundle that the stage was made with."
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="Inference runtime; see actspan backends.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=16, show_default=True, help="Inputs per call."
)
@click.option(
    "--threads", type=click.IntRange(1), help="Calls at the same time. [default: all cores]"
)
@click.option(
    "--out",
    type=_path,
    help="Folder for the dumps. [default: tem-output/ or pem-output/ in the stage]",
)
@click.option("--force", is_flag=True, help="Replace existing dumps.")
@json_option
@reports_errors
def run(
    stage: Path,
    net: Literal["tem", "pem"],
    model: Path,
    backend: str,
    batch: int,
    threads: int | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Run TEM or PEM over its inputs, in place of a vendor's tool.

    \b
    Example:
      actspan staged run stage/ --net tem --model bsn/ --backend onnxruntime
    """
    with progress_report() as report:
        from actspan.deploy.staged.runner import RunRequest, run_net

        request = RunRequest(
            stage=stage,
            model=model,
            net=net,
            backend=backend,
            batch=batch,
            threads=threads,
            out=out,
            overwrite=force,
        )
        done = run_net(request, report)
    _say(done, f"{net.upper()} dumps", as_json)


@command.command()
@click.option("--out", required=True, type=_path, help="Script to write.")
@reports_errors
def script(out: Path) -> None:
    """Write a runner for hosts without ActSpan: one file that needs Python 3.7 and numpy.

    The runner computes a network over a list (staged info) with ais_bench, pyACL or ONNX Runtime,
    and writes the dumps.

    \b
    Example:
      actspan staged script --out run_staged.py
      python3 run_staged.py --model tem.bs16.om --list tem.info --out tem-output
    """
    from actspan.deploy.staged.runner import write_script

    write_script(out)
    say(f"runner: {out} (python3 {out} --help)")


def _say(done: StepReport, what: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_figures(done)))
        return
    rate = done.inputs / done.seconds
    of = "" if done.inputs == done.videos else f" of {done.videos} recordings"
    say(f"{done.inputs} {what}{of} in {done.seconds:.2f} s ({rate:.0f}/s): {done.out}")
    say_findings(done.problems, done.notes)


def _figures(done: StepReport) -> dict[str, object]:
    return {
        "out": str(done.out),
        "inputs": done.inputs,
        "videos": done.videos,
        "seconds": done.seconds,
        "skipped": [[p.video, p.problem] for p in done.problems if p.is_error],
        "notes": [[p.video, p.problem] for p in done.problems if not p.is_error],
        "assumptions": done.notes,
    }
