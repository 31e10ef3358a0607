"""`actspan compile` and `actspan deploy`: networks of a bundle, or of checkpoints, for a device."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from msgspec.structs import replace

from actspan.cli.console import (
    findings,
    print_json,
    print_notes,
    print_skipped,
    progress_report,
    say,
    step_report,
)
from actspan.cli.models import print_verification
from actspan.cli.options import command, refuse_options
from actspan.cli.tables import print_figures, print_table
from actspan.config.base import Existing
from actspan.core.files import lock_target
from actspan.core.wording import counted
from actspan.deploy.deploy_requests import TARGETS, CompileRequest, DeployRequest

if TYPE_CHECKING:
    from actspan.deploy.compilation import CompileResult
    from actspan.deploy.deployment import Deployment, Evaluation
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
      actspan compile bsn/ --target ascend --batch 1 --batch 16 --soc Ascend310P3
      actspan compile bsn/ --target ascend --print
      actspan compile bsn/ --target openvino --precision int8 --calibrate my-videos/
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
        with lock_target(bundle), step_report("compile") as report:
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


@command(
    arguments=["sources"],
    names={"script_only": "print_"},
    batch="Videos per call; may be repeated.",
    calibrate="Dataset from which to compute the value ranges of int8. [default: --dataset]",
    evaluate="Also propose on this dataset, and report recall and speed.",
    run="Run folder of --evaluate. [default: NAME-run, next to the bundle]",
)
def deploy(
    request: DeployRequest,
    *,
    precision: Precision | None = None,
    evaluate: Existing | None = None,
    run: Path | None = None,
    json_: bool = False,
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
    sources, dataset = request.sources, request.dataset
    is_bundle = len(sources) == 1 and sources[0].is_dir()
    if request.out is None and not is_bundle:
        raise click.UsageError("checkpoints become a bundle: say which folder to write: --out")
    from actspan.deploy.deployment import deploy as deploy_sources

    if is_bundle:
        refuse_options(["length"], "on a bundle, whose TEM has a length")
    refuse_for_target(request.target, precision)
    if evaluate is None:
        refuse_options(["run"], "without --evaluate")
        if dataset is None:
            refuse_options(["subset"], "without --dataset or --evaluate")
    if request.subset == "all":
        request = replace(request, subset=None)
    _check_datasets((dataset, evaluate), request.subset)
    _check_datasets((request.calibrate,), None)
    if evaluate is not None:
        from actspan.jobs.driver import check_target

        bundle = request.out or sources[0]
        run = run or bundle.with_name(f"{bundle.resolve().name}-run")
        check_target(run, replace=request.overwrite)
    with step_report("deploy") as report:
        done = deploy_sources(request, report)
    evaluation = None
    if evaluate is not None and run is not None and not done.unverified:
        evaluation = _evaluate(done, request, evaluate, run)
    elif evaluate is not None:
        say("not evaluated: what is compiled does not run here (actspan backends)")
    if json_:
        print_json(_answer(done, evaluation))
    else:
        _print(done, evaluation)
    ok = done.verification.passed and (request.script_only or not done.left)
    click.get_current_context().exit(0 if ok else 1)


def _check_datasets(folders: Iterable[Path | None], subset: str | None) -> None:
    """Raise, before long work, if a dataset does not exist or has no video of the subset."""
    from actspan.data.dataset import Dataset

    for folder in dict.fromkeys(filter(None, folders)):
        Dataset.load(folder).subset(subset)


def _evaluate(done: Deployment, request: DeployRequest, dataset: Path, run: Path) -> Evaluation:
    from actspan.deploy.deployment import evaluate_deployed

    try:
        with progress_report() as report:
            return evaluate_deployed(done.bundle, request, dataset, run, report)
    except BaseException as error:
        error.add_note(f"{done.bundle.path} is complete; only --evaluate failed")
        raise


def _answer(done: Deployment, evaluated: Evaluation | None) -> dict[str, Any]:
    from actspan.deploy.accuracy_report import to_dict

    steps = [asdict(step) for step in done.steps]
    for step in steps:
        step["seconds"] = None if math.isnan(step["seconds"]) else step["seconds"]
    checked, evaluation = done.verification, None
    if evaluated is not None:
        names = ("run", "backend", "videos", "recall", "untimed", "notes")
        times = [{"net": net, "batch": n} | asdict(t) for (net, n), t in evaluated.times.items()]
        evaluation = {name: getattr(evaluated, name) for name in names} | {"times": times}
    return {
        "bundle": done.bundle.path,
        "steps": steps,
        "left": done.left,
        "unverified": done.unverified or None,
        "verification": {**to_dict(checked), **findings(checked.problems, checked.notes)},
        "evaluation": evaluation,
    }


def _print(done: Deployment, evaluation: Evaluation | None) -> None:
    rows = [
        (s.name, s.file, "" if math.isnan(s.seconds) else f"{s.seconds:.1f}", s.result)
        for s in done.steps
    ]
    print_table(("step", "file", "seconds", "result"), rows)
    checked = done.verification
    click.echo(f"parity on {checked.material}: {counted(checked.videos, 'video')}")
    print_verification(checked)
    print_notes((*checked.notes, *(evaluation.notes if evaluation else ())))
    if evaluation is not None:
        _print_evaluation(evaluation)
    click.echo(f"bundle: {done.bundle.path}")
    if done.unverified:
        say(f"note: {done.unverified}")
    for line in done.left:
        say(f"left: {line}")
    print_skipped(checked.problems)


def _print_evaluation(evaluation: Evaluation) -> None:
    from actspan.core.perf_lines import performance_lines

    click.echo(
        f"{counted(evaluation.videos, 'video')} proposed on {evaluation.backend}: {evaluation.run}"
    )
    print_figures(evaluation.recall, digits=2)
    for (net, batch), times in evaluation.times.items():
        click.echo(f"{net} bs{batch}, one thread:")
        for line in performance_lines(times):
            click.echo(line)
    for batch in evaluation.untimed:
        say(f"note: not timed at batch {batch}: there are fewer videos or windows than that")
