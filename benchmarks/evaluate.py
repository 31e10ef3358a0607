"""AR@AN of a result file: both JSON files in, recall arrays and AUC out."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import actspan
from benchmarks import data
from benchmarks import published_evaluation as published
from benchmarks.harness import (
    Row,
    benchmark,
    median_seconds,
    print_comparison,
    run_new,
)


def check_equal(ours: actspan.RecallResult, theirs: published.PlainRecall) -> None:
    """Require equal recall arrays; the sums may differ in their last digits."""
    same = np.array_equal(ours.recall, theirs.recall)
    for name in ("average_recall", "proposals_per_video", "auc"):
        same &= np.allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12, atol=0)
    if not same:
        raise click.ClickException("the two evaluators disagree: their speed cannot be compared")


@benchmark(rounds=3, seed=True)
@click.option("--videos", default=4728, help="Videos with instances.")
@click.option("--proposals", default=100, help="Proposals per video.")
def main(folder: Path, videos: int, proposals: int, rounds: int, seed: int) -> None:
    """Compare `evaluate_recall` with a plain pandas evaluator of the published steps.

    The command is a new process each time; the baseline's imports are not counted.

    \b
    Example:
      python -m benchmarks.evaluate
    """
    click.echo(f"evaluation, median of {rounds} rounds; synthetic data, seed {seed}")
    truth, result = folder / "annotations.json", folder / "result.json"
    data.write_annotations(truth, range(videos), seed)
    data.write_result(result, range(videos), proposals, seed)
    theirs = published.evaluate(truth, result)
    check_equal(actspan.evaluate_recall(truth, result), theirs)
    click.echo(f"both: AR@100 {100 * theirs.average_recall[-1]:.4f}, AUC {100 * theirs.auc:.4f}\n")
    seconds = median_seconds(
        {
            "baseline": lambda: published.evaluate(truth, result),
            "function": lambda: actspan.evaluate_recall(truth, result),
            "command": lambda: run_new("actspan", "evaluate", result, "--ground-truth", truth),
        },
        rounds,
        warm=False,  # both ran just now
    )
    what = f"{videos:,} videos x {proposals} proposals, JSON in, AR and AUC out"
    command = "the same by the command, start-up included"
    print_comparison(
        [
            Row(what, seconds["baseline"], seconds["function"], ">= 40x"),
            Row(command, seconds["baseline"], seconds["command"]),
        ]
    )


if __name__ == "__main__":
    main()
