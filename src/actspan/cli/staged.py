"""`actspan staged`: propose through files, for hosts with a device and a vendor's tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.console import findings, print_findings, print_json, progress_report, say
from actspan.cli.help import Group
from actspan.cli.options import command
from actspan.config.base import Existing, OnError, doc
from actspan.core.folders import locked_folder
from actspan.deploy.deploy_requests import RunRequest, StagedNet, StageRequest

if TYPE_CHECKING:
    from actspan.deploy.staged.step_files import StepReport

_LEAN = "Write only the files that later steps read."
_SUFFIX = "Suffix of the dumps of the first output; ais_bench writes _0.bin."


@click.group(cls=Group)
def staged() -> None:
    """Propose step by step through files, where a device's own tool runs the networks.

    A stage is a folder to which every step adds files. Between tem-inputs and tem-outputs the
    device computes TEM, between pem-inputs and pem-outputs PEM, and with a model of BMN, between
    bmn-inputs and bmn-outputs, BMN: with a vendor's tool over a list of raw inputs (staged info),
    with our script (staged script), or with staged run. The result equals that of actspan propose.

    \b
    Example:
      actspan staged tem-inputs --model bsn/ --dataset my-videos/ --out stage/
      actspan staged run stage/ --net tem --model bsn/
      actspan staged tem-outputs stage/
      actspan staged pem-inputs stage/
      actspan staged run stage/ --net pem --model bsn/
      actspan staged pem-outputs stage/ --out result.json
    """


@command(staged, lean=_LEAN)
def tem_inputs(request: StageRequest, *, lean: bool = False, json_: bool = False) -> None:
    """Start a stage: write TEM's inputs, one file per video (or window of a long recording).

    \b
    Example:
      actspan staged tem-inputs --model bsn/ --dataset my-videos/ --out stage/
    """
    with locked_folder(request.out), progress_report() as report:
        from actspan.deploy.staged.video_inputs import write_video_inputs

        done = write_video_inputs("tem", request, report, anchors=not lean)
    _print(done, "TEM inputs", json_)


@command(staged)
def bmn_inputs(request: StageRequest, *, json_: bool = False) -> None:
    """Start a stage of BMN: write its inputs, one file per video (or window of a long recording).

    \b
    Example:
      actspan staged bmn-inputs --model bmn/ --dataset my-videos/ --out stage/
      actspan staged run stage/ --net bmn --model bmn/
      actspan staged bmn-outputs stage/ --out result.json
    """
    with locked_folder(request.out), progress_report() as report:
        from actspan.deploy.staged.video_inputs import write_video_inputs

        done = write_video_inputs("bmn", request, report)
    _print(done, "BMN inputs", json_)


@command(
    staged,
    net="Network to use.",
    out="List to write. [default: NET.info in the stage]",
    prefix=doc("Folder of the inputs on the device's host. [default: where they are now]", "PATH"),
)
def info(
    stage: Existing,
    *,
    net: StagedNet,
    out: Path | None = None,
    prefix: str | None = None,
    json_: bool = False,
) -> None:
    """List a network's inputs in the format of vendors' tools: index path height width.

    \b
    Example:
      actspan staged info stage/ --net tem --out tem.info \\
          --prefix /data/stage/tem/input
    """
    from actspan.deploy.staged.runner import write_list
    from actspan.deploy.staged.stage import Stage

    loaded = Stage.load(stage)
    path, count = write_list(loaded, net, out, prefix)
    height, width = loaded.shape(net)
    if json_:
        print_json({"out": path, "inputs": count, "shape": [height, width]})
    else:
        say(f"{count} inputs of {height} x {width} in {path}")


@command(staged, dumps="Folder of the dumps. [default: tem-output/ in the stage]", suffix=_SUFFIX)
def tem_outputs(
    stage: Existing,
    *,
    dumps: Existing | None = None,
    suffix: str = "_1.bin",
    on_error: OnError = "fail",
    json_: bool = False,
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
        from actspan.deploy.staged.host_steps import write_tem_results
        from actspan.deploy.staged.stage import Stage

        loaded = Stage.load(stage)
        outputs = Dumps(dumps or loaded.outputs("tem"), suffix)
        done = write_tem_results(loaded, outputs, on_error=on_error, progress=report)
    _print(done, "TEM results", json_)


@command(staged, lean=_LEAN)
def pem_inputs(
    stage: Existing, *, lean: bool = False, on_error: OnError = "fail", json_: bool = False
) -> None:
    """Compute candidates and BSP features from TEM's results, as PEM's inputs.

    \b
    Example:
      actspan staged pem-inputs stage/
    """
    with progress_report() as report:
        from actspan.deploy.staged.host_steps import write_pem_inputs
        from actspan.deploy.staged.stage import Stage

        done = write_pem_inputs(Stage.load(stage), lean=lean, on_error=on_error, progress=report)
    _print(done, "PEM inputs", json_)


@command(
    staged,
    dumps="Folder of the dumps. [default: pem-output/ in the stage]",
    suffix=_SUFFIX,
    out="Result file to write. [default: result.json in the stage]",
    lean=_LEAN,
)
def pem_outputs(
    stage: Existing,
    *,
    dumps: Existing | None = None,
    suffix: str = "_1.bin",
    out: Path | None = None,
    lean: bool = False,
    on_error: OnError = "fail",
    json_: bool = False,
) -> None:
    """Read PEM's dumps, apply Soft-NMS, and write PEM results and the result file.

    Dumps are checked as in tem-outputs.

    \b
    Example:
      actspan staged pem-outputs stage/ --dumps result/dumpOutput_device1 \\
          --out result.json
    """
    _write_results("pem", stage, dumps, suffix, out, lean, on_error, json_)


@command(
    staged,
    dumps="Folder of the dumps. [default: bmn-output/ in the stage]",
    suffix=f"{_SUFFIX} The other outputs count on: _2.bin, _3.bin after _1.bin.",
    out="Result file to write. [default: result.json in the stage]",
    lean=_LEAN,
)
def bmn_outputs(
    stage: Existing,
    *,
    dumps: Existing | None = None,
    suffix: str = "_1.bin",
    out: Path | None = None,
    lean: bool = False,
    on_error: OnError = "fail",
    json_: bool = False,
) -> None:
    """Read BMN's dumps, find candidates, apply Soft-NMS, and write the result file.

    Every input has three dumps: confidence map, start and end scores. They are checked as in
    tem-outputs.

    \b
    Example:
      actspan staged bmn-outputs stage/ --dumps result/bmn --suffix _0.bin \\
          --out result.json
    """
    _write_results("bmn", stage, dumps, suffix, out, lean, on_error, json_)


def _write_results(
    net: Literal["pem", "bmn"],
    stage: Path,
    dumps: Path | None,
    suffix: str,
    out: Path | None,
    lean: bool,
    on_error: OnError,
    as_json: bool,
) -> None:
    with progress_report() as report:
        from actspan.deploy.staged.dumps import Dumps
        from actspan.deploy.staged.results import write_results
        from actspan.deploy.staged.stage import Stage

        loaded = Stage.load(stage)
        outputs = Dumps(dumps or loaded.outputs(net), suffix)
        done = write_results(
            loaded, net, outputs, out=out, lean=lean, on_error=on_error, progress=report
        )
    _print(done, f"{net.upper()} results", as_json)


@command(staged, arguments=["stage"])
def run(request: RunRequest, *, json_: bool = False) -> None:
    """Run a network over its inputs, in place of a vendor's tool.

    \b
    Example:
      actspan staged run stage/ --net tem --model bsn/ --backend onnxruntime
    """
    with progress_report() as report:
        from actspan.deploy.staged.runner import run_net

        done = run_net(request, report)
    _print(done, f"{request.net.upper()} dumps", json_)


@command(staged, out="Script to write.")
def script(*, out: Path) -> None:
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


def _print(done: StepReport, what: str, as_json: bool) -> None:
    if as_json:
        figures = {name: getattr(done, name) for name in ("out", "inputs", "videos", "seconds")}
        print_json({**figures, **findings(done.problems, done.notes)})
        return
    rate = done.inputs / done.seconds
    of = "" if done.inputs == done.videos else f" of {done.videos} recordings"
    say(f"{done.inputs} {what}{of} in {done.seconds:.2f} s ({rate:.0f}/s): {done.out}")
    print_findings(done.problems, done.notes)
