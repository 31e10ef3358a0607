"""`actspan deploy`: from checkpoints, or a bundle, to verified networks on a device."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from actspan.cli.compile import Precision, refuse_for_target
from actspan.cli.console import (
    findings,
    print_error,
    print_json,
    print_notes,
    print_skipped,
    print_text,
    progress_report,
    say,
    step_report,
)
from actspan.cli.models import print_verification, report_failures
from actspan.cli.options import command, refuse_options
from actspan.cli.tables import print_figures, print_table
from actspan.config.base import Existing, doc
from actspan.core.wording import counted
from actspan.deploy.deploy_requests import DeployRequest

if TYPE_CHECKING:
    from actspan.deploy.deployment import Deployment, Evaluation


@command(
    arguments=["sources"],
    names={"script_only": "print_"},
    batch=doc("Videos per call; may be repeated.", group="Device"),
    calibrate=doc(
        "Dataset from which to compute the value ranges of int8. [default: --dataset]",
        group="Device",
    ),
    evaluate=doc("Also propose on this dataset, and report recall and speed.", group="Evaluation"),
    run=doc(
        "Run folder of --evaluate. [default: NAME-run, next to the bundle]", group="Evaluation"
    ),
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
      actspan deploy tem_best.pth.tar pem_best.pth.tar --target openvino \\
          --out bsn/
      actspan deploy bsn/ --target openvino --dataset my-videos/ \\
          --evaluate my-videos/
      actspan deploy tem_best.pth.tar pem_best.pth.tar --target ascend \\
          --out bsn/ --print
    """
    sources, dataset = request.sources, request.dataset
    is_bundle = len(sources) == 1 and sources[0].is_dir()
    if request.out is None and not is_bundle:
        raise click.UsageError("checkpoints become a bundle: say which folder to write: --out")
    from actspan.deploy.deployment import deploy as deploy_sources

    if is_bundle:
        refuse_options(["preset", "length"], "on a bundle, which has both a preset and a length")
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
    click.get_current_context().exit(0 if _print_end(done, request) else 1)


def _print_end(done: Deployment, request: DeployRequest) -> bool:
    """Print what failed and what has to be done elsewhere; return whether all was done."""
    report_failures(done.verification)
    left = done.left and not request.script_only
    if left:
        print_error(f"{done.bundle.path}: not compiled; the lines above say what to do")
    return done.verification.passed and not left


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
        "not_done": done.left,
        "unverified": done.unverified or None,
        "verification": {**to_dict(checked), **findings(checked.problems, checked.notes)},
        "evaluation": evaluation,
    }


def _print(done: Deployment, evaluation: Evaluation | None) -> None:
    rows = [
        (s.name, s.file, "" if math.isnan(s.seconds) else f"{s.seconds:.1f}", s.result)
        for s in done.steps
    ]
    print_table(("step", "file", "seconds", "result"), rows, left=2)
    checked = done.verification
    print_text(f"parity on {checked.material}: {counted(checked.videos, 'video')}")
    print_verification(checked)
    print_notes((*checked.notes, *(evaluation.notes if evaluation else ())))
    if evaluation is not None:
        _print_evaluation(evaluation)
    print_text(f"bundle: {done.bundle.path}")
    if done.unverified:
        say(f"note: {done.unverified}")
    for line in done.left:
        say(f"not done here: {line}")
    print_skipped(checked.problems)


def _print_evaluation(evaluation: Evaluation) -> None:
    from actspan.core.perf_lines import performance_lines

    print_text(
        f"{counted(evaluation.videos, 'video')} proposed on {evaluation.backend}: {evaluation.run}"
    )
    print_figures(evaluation.recall, digits=2)
    for (net, batch), times in evaluation.times.items():
        print_text(f"{net} bs{batch}, one thread:")
        for line in performance_lines(times):
            print_text(line)
    for batch in evaluation.untimed:
        say(f"note: not timed at batch {batch}: there are fewer videos or windows than that")
