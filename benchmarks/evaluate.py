"""AR@AN of a result file: both JSON files in, recall arrays and AUC out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import numpy as np

import actspan
from benchmarks import made_up
from benchmarks.measure import Row, interleave, print_comparison, print_machine, run_new
from benchmarks.straightforward import evaluation as plain


def time_both(folder: Path, videos: int, proposals: int, seed: int, rounds: int) -> list[Row]:
    """Time both evaluators on made-up files: the function, and the command in a new process.

    Raises
    ------
    click.ClickException
        The two evaluators give different recall arrays.
    """
    truth, result = folder / "annotations.json", folder / "result.json"
    made_up.write_annotations(truth, range(videos), seed)
    made_up.write_result(result, range(videos), proposals, seed)
    ours = actspan.evaluate_recall(truth, result, subset="validation", max_proposals=100)
    theirs = plain.evaluate(truth, result)
    same = np.array_equal(ours.recall, theirs.recall)
    same &= np.allclose(ours.average_recall, theirs.average_recall, rtol=1e-12, atol=0)
    same &= np.allclose(ours.proposals_per_video, theirs.proposals_per_video, rtol=1e-12, atol=0)
    if not (same and np.isclose(ours.auc, theirs.auc, rtol=1e-12, atol=0)):
        raise click.ClickException("the two evaluators disagree: their speed cannot be compared")
    click.echo(f"both: AR@100 {100 * theirs.average_recall[-1]:.4f}, AUC {100 * theirs.auc:.4f}\n")
    seconds = interleave(
        {
            "baseline": lambda: plain.evaluate(truth, result),
            "function": lambda: actspan.evaluate_recall(truth, result),
            "command": lambda: run_new("actspan", "evaluate", result, "--ground-truth", truth),
        },
        rounds,
        warm=False,  # both ran just now
    )
    what = f"{videos:,} videos x {proposals} proposals, JSON in, AR and AUC out"
    return [
        Row(what, seconds["baseline"], seconds["function"], ">= 40x"),
        Row("the same by the command, start-up included", seconds["baseline"], seconds["command"]),
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--videos", default=4728, help="Videos with instances.")
@click.option("--proposals", default=100, help="Proposals a video.")
@click.option("--rounds", default=3, help="Times that both run, in turn; the median counts.")
@click.option("--seed", default=0, help="Of the made-up data.")
def main(videos: int, proposals: int, rounds: int, seed: int) -> None:
    """Compare `evaluate_recall` with a plain pandas evaluator of the published steps.

    The command is a new process each time; the baseline's imports are not counted.

    \b
    Example:
      python -m benchmarks.evaluate
    """
    print_machine()
    click.echo(f"evaluation, median of {rounds} rounds; made-up data, seed {seed}")
    with tempfile.TemporaryDirectory() as folder:
        print_comparison(time_both(Path(folder), videos, proposals, seed, rounds))


if __name__ == "__main__":
    main()
