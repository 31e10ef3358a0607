"""`actspan deploy`: checkpoints, or a bundle, to a device in one go."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actspan.cli.common import console, json_option, progress_report, reports_errors, say

if TYPE_CHECKING:
    from actspan.deploying import Deployment, DeployRequest, Evaluation

_path = click.Path(path_type=Path)


@click.command("deploy")
@click.argument("sources", nargs=-1, required=True, type=_path)
@click.option(
    "--target",
    required=True,
    type=click.Choice(["ascend", "tensorrt", "openvino"]),
    help="The vendor's compiler.",
)
@click.option("--out", type=_path, help="The bundle to make. [default for a bundle: in its place]")
@click.option("--dataset", type=_path, help="Verify on this dataset. [default: made-up features]")
@click.option("--evaluate", type=_path, help="Then propose on this dataset: recall and speed.")
@click.option(
    "--subset", default="validation", show_default=True, help="Of these datasets; all: all videos."
)
@click.option(
    "--run", type=_path, help="Run folder of --evaluate. [default: beside the bundle, NAME-run]"
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(min=1),
    default=(1, 16),
    show_default=True,
    help="Videos a call. Repeatable.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="[default: fp16; fp32 for openvino]",
)
@click.option("--soc", default="Ascend310", show_default=True, help="ascend: the chip.")
@click.option(
    "--calibrate", type=_path, help="A dataset for int8 to learn from. [default: --dataset]"
)
@click.option(
    "--length",
    type=click.IntRange(min=2),
    default=100,
    show_default=True,
    help="Temporal scale T of a checkpoint's TEM.",
)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Workers.")
@click.option(
    "--print", "print_script", is_flag=True, help="Leave the compiling to a script, and say so."
)
@click.option("--force", is_flag=True, help="Replace a bundle, or a run, that is there.")
@json_option
@click.pass_context
@reports_errors
def command(
    context: click.Context,
    sources: tuple[Path, ...],
    target: str,
    out: Path | None,
    dataset: Path | None,
    evaluate: Path | None,
    subset: str,
    run: Path | None,
    batches: tuple[int, ...],
    precision: str | None,
    soc: str,
    calibrate: Path | None,
    length: int,
    threads: int,
    print_script: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Take checkpoints, or a bundle, to a device: convert, export, rewrite, compile, verify.

    Where the vendor's compiler is not at hand, all else is done and a script for the device's host
    is left in the bundle; the exit code is then 1, unless --print asked for that. With --evaluate
    it also proposes on the compiled networks, and prints recall and a performance summary.

    \b
    Example:
      actspan deploy tem_best.pth.tar pem_best.pth.tar --target openvino --out bsn/
      actspan deploy bsn/ --target openvino --dataset my-videos/ --evaluate my-videos/
      actspan deploy tem_best.pth.tar pem_best.pth.tar --target ascend --out bsn/ --print
    """
    is_bundle = len(sources) == 1 and sources[0].is_dir()
    if out is None and not is_bundle:
        raise click.UsageError("checkpoints become a bundle: say which folder to write: --out")
    from actspan.deploying import DeployRequest, deploy
    from actspan.export.compile import CompileRequest

    _check_folders(dataset, evaluate, calibrate)
    chosen = None if subset == "all" else subset
    request = DeployRequest(
        sources=sources,
        out=out,
        compile=CompileRequest(target, batches, precision or "", soc, calibrate or dataset),
        dataset=dataset,
        subset=chosen,
        length=length,
        threads=threads,
        script_only=print_script,
        overwrite=force,
    )
    done = deploy(request, say if console.is_terminal else None)
    found = None
    if evaluate is not None and not done.unverified:
        found = _evaluate(done, request, evaluate, run, force)
    elif evaluate is not None:
        say("not evaluated: what is compiled does not run here (actspan backends)")
    if as_json:
        click.echo(json.dumps(_answer(done, found), indent=1))
    else:
        _print(done, found)
    context.exit(0 if _holds(done, print_script) else 1)


def _check_folders(*folders: Path | None) -> None:
    """Before long work: are the datasets there at all?"""
    from actspan.data.dataset import Dataset

    for folder in dict.fromkeys(filter(None, folders)):
        Dataset.load(folder)


def _holds(done: Deployment, print_script: bool) -> bool:
    return done.verification.holds and (print_script or not done.left)


def _evaluate(
    done: Deployment, request: DeployRequest, dataset: Path, run: Path | None, force: bool
) -> Evaluation:
    from actspan.deploying import evaluate

    folder = done.bundle.path
    with progress_report() as report:
        return evaluate(
            done.bundle,
            dataset,
            run or folder.with_name(f"{folder.resolve().name}-run"),
            backend=request.backend,
            batches=request.compile.batches,
            subset=request.subset,
            threads=request.threads,
            overwrite=force,
            report=report,
        )


def _answer(done: Deployment, found: Evaluation | None) -> dict[str, Any]:
    from dataclasses import asdict

    from actspan.verify.report import to_dict

    steps = [asdict(step) for step in done.steps]
    for step in steps:
        step["seconds"] = None if math.isnan(step["seconds"]) else step["seconds"]
    evaluation = found and {
        "run": str(found.run),
        "backend": found.backend,
        "videos": found.videos,
        "recall": dict(found.recall),
        "times": [
            {"net": net, "batch": batch} | asdict(times)
            for (net, batch), times in found.times.items()
        ],
        "untimed": list(found.untimed),
    }
    return {
        "bundle": str(done.bundle.path),
        "steps": steps,
        "left": list(done.left),
        "unverified": done.unverified or None,
        "verification": to_dict(done.verification),
        "evaluation": evaluation,
    }


def _print(done: Deployment, found: Evaluation | None) -> None:
    from actspan.cli.tables import print_table
    from actspan.verify.report import answer_table, output_table

    rows = [
        [s.name, s.file, "" if math.isnan(s.seconds) else f"{s.seconds:.1f}", s.result]
        for s in done.steps
    ]
    print_table(["step", "file", "seconds", "result"], rows)
    checked = done.verification
    click.echo(f"parity on {checked.material}: {checked.videos:,} videos")
    for header, lines in (output_table(checked), answer_table(checked)):
        print_table(header, lines)
    for result in checked.results:
        for reason in [*result.broken, *([result.problem] if result.problem else [])]:
            say(f"{result.variant.name}: {reason}")
    for note in checked.notes:
        say(f"note: {note}")
    if found is not None:
        _print_evaluation(found)
    click.echo(f"bundle: {done.bundle.path}")
    if done.unverified:
        say(f"note: {done.unverified}")
    for line in done.left:
        say(f"left: {line}")


def _print_evaluation(found: Evaluation) -> None:
    from actspan.cli.tables import row_table
    from actspan.perf_lines import performance_lines

    click.echo(f"{found.videos} videos proposed on {found.backend}: {found.run}")
    from rich.console import Console

    Console(highlight=False).print(row_table(found.recall, digits=2))
    for (net, batch), times in found.times.items():
        click.echo(f"{net} bs{batch}, one thread:")
        for line in performance_lines(times):
            click.echo(line)
    for batch in found.untimed:
        say(f"note: not timed at batch {batch}: there are fewer videos or windows than that")
