"""`actspan deploy`: convert, compile and verify checkpoints or a bundle for a device."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    json_option,
    progress_report,
    refuse_options,
    reports_errors,
    say,
    say_left_out,
    step_report,
)
from actspan.core.wording import counted

if TYPE_CHECKING:
    from actspan.deploy.deploy import Deployment, DeployRequest
    from actspan.deploy.evaluate import Evaluation

_existing = ExistingPath()
_path = PlainPath()


@click.command("deploy")
@click.argument("sources", nargs=-1, required=True, type=_existing)
@click.option(
    "--target",
    required=True,
    type=click.Choice(["ascend", "tensorrt", "openvino"]),
    help="Vendor's compiler to use.",
)
@click.option(
    "--out", type=_path, help="Bundle to write. [default for a bundle: change it in place]"
)
@click.option(
    "--dataset", type=_existing, help="Verify on this dataset. [default: made-up features]"
)
@click.option(
    "--evaluate", type=_existing, help="Also propose on this dataset, and report recall and speed."
)
@click.option(
    "--subset",
    default="validation",
    show_default=True,
    help="Subset of these datasets; all: all videos.",
)
@click.option(
    "--run", type=_path, help="Run folder of --evaluate. [default: NAME-run, beside the bundle]"
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(min=1),
    default=(1, 16),
    show_default=True,
    help="Videos per call; may be repeated.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="Precision of the compiled networks. [default: fp16; fp32 for openvino]",
)
@click.option("--soc", default="Ascend310", show_default=True, help="ascend: the chip.")
@click.option(
    "--calibrate",
    type=_existing,
    help="Dataset from which int8 takes its value ranges. [default: --dataset]",
)
@click.option(
    "--length",
    type=click.IntRange(min=2),
    default=100,
    show_default=True,
    help="Temporal scale T of a checkpoint's TEM.",
)
@click.option(
    "--threads", type=click.IntRange(1), default=2, show_default=True, help="Number of threads."
)
@click.option(
    "--print",
    "print_script",
    is_flag=True,
    help="Write a script that compiles, instead of compiling here.",
)
@click.option("--force", is_flag=True, help="Replace an existing bundle or run.")
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
    """Deploy checkpoints, or a bundle, to a device: convert, export, rewrite, compile, verify.

    If the vendor's compiler is not installed, everything else is done, and a script for the
    device's host is written into the bundle. The exit code is then 1, unless --print was given.
    With --evaluate, the compiled networks also propose on a dataset, and recall and a performance
    summary are printed.

    \b
    Example:
      actspan deploy tem_best.pth.tar pem_best.pth.tar --target openvino --out bsn/
      actspan deploy bsn/ --target openvino --dataset my-videos/ --evaluate my-videos/
      actspan deploy tem_best.pth.tar pem_best.pth.tar --target ascend --out bsn/ --print
    """
    is_bundle = len(sources) == 1 and sources[0].is_dir()
    if out is None and not is_bundle:
        raise click.UsageError("checkpoints become a bundle: say which folder to write: --out")
    from actspan.deploy.compile.plan import CompileRequest
    from actspan.deploy.deploy import DeployRequest, deploy

    _refuse_ineffective(context, is_bundle)
    chosen = None if subset == "all" else subset
    _check_datasets((dataset, evaluate), chosen)
    _check_datasets((calibrate,), None)
    if evaluate is not None:
        from actspan.jobs.run import check_run_target

        run = run or _run_beside(out or sources[0])
        check_run_target(run, replace=force)
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
    with step_report("deploy") as report:
        done = deploy(request, report)
    found = None
    if evaluate is not None and run is not None and not done.unverified:
        found = _evaluate(done, request, evaluate, run, force)
    elif evaluate is not None:
        say("not evaluated: what is compiled does not run here (actspan backends)")
    if as_json:
        click.echo(json.dumps(_answer(done, found), indent=1))
    else:
        _print(done, found)
    context.exit(0 if _holds(done, print_script) else 1)


def _refuse_ineffective(context: click.Context, is_bundle: bool) -> None:
    given = context.params
    if is_bundle:
        refuse_options(context, ("length",), "on a bundle, whose TEM has a length")
    if given["target"] != "ascend":
        refuse_options(context, ("soc",), f"on {given['target']}")
    if given["precision"] != "int8":
        refuse_options(context, ("calibrate",), "without --precision int8")
    if given["evaluate"] is None:
        refuse_options(context, ("run",), "without --evaluate")
        if given["dataset"] is None:
            refuse_options(context, ("subset",), "without --dataset or --evaluate")


def _check_datasets(folders: Iterable[Path | None], subset: str | None) -> None:
    """Raise, before long work, if a dataset does not exist or has no video of the subset."""
    from actspan.data.dataset import Dataset

    for folder in dict.fromkeys(filter(None, folders)):
        Dataset.load(folder).subset(subset)


def _run_beside(bundle: Path) -> Path:
    return bundle.with_name(f"{bundle.resolve().name}-run")


def _holds(done: Deployment, print_script: bool) -> bool:
    return done.verification.holds and (print_script or not done.left)


def _evaluate(
    done: Deployment, request: DeployRequest, dataset: Path, run: Path, force: bool
) -> Evaluation:
    from actspan.deploy.evaluate import evaluate

    try:
        with progress_report() as report:
            return evaluate(
                done.bundle,
                dataset,
                run,
                backend=request.backend,
                batches=request.compile.batches,
                subset=request.subset,
                threads=request.threads,
                overwrite=force,
                progress=report,
            )
    except BaseException as error:
        error.add_note(f"{done.bundle.path} is complete; only --evaluate failed")
        raise


def _answer(done: Deployment, found: Evaluation | None) -> dict[str, Any]:
    from dataclasses import asdict

    from actspan.deploy.verify.accuracy_report import to_dict

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
        "notes": list(found.notes),
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
    from actspan.deploy.verify.accuracy_report import answer_table, output_table

    rows = [
        [s.name, s.file, "" if math.isnan(s.seconds) else f"{s.seconds:.1f}", s.result]
        for s in done.steps
    ]
    print_table(["step", "file", "seconds", "result"], rows)
    checked = done.verification
    click.echo(f"parity on {checked.material}: {counted(checked.videos, 'video')}")
    for header, lines in (output_table(checked), answer_table(checked)):
        print_table(header, lines)
    for result in checked.results:
        for reason in result.failures:
            say(f"{result.variant.name}: {reason}")
    for note in dict.fromkeys((*checked.notes, *(found.notes if found else ()))):
        say(f"note: {note}")
    if found is not None:
        _print_evaluation(found)
    click.echo(f"bundle: {done.bundle.path}")
    if done.unverified:
        say(f"note: {done.unverified}")
    for line in done.left:
        say(f"left: {line}")
    say_left_out(checked.problems)


def _print_evaluation(found: Evaluation) -> None:
    from actspan.cli.tables import row_table
    from actspan.core.perf_lines import performance_lines

    click.echo(f"{counted(found.videos, 'video')} proposed on {found.backend}: {found.run}")
    from rich.console import Console

    Console(highlight=False).print(row_table(found.recall, digits=2))
    for (net, batch), times in found.times.items():
        click.echo(f"{net} bs{batch}, one thread:")
        for line in performance_lines(times):
            click.echo(line)
    for batch in found.untimed:
        say(f"note: not timed at batch {batch}: there are fewer videos or windows than that")
