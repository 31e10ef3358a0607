"""`actspan tune`: better settings of the ranking of a run, checked on other videos."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Literal

import click

from actspan.cli.console import (
    findings,
    print_findings,
    print_json,
    print_notes,
    print_text,
    progress_report,
)
from actspan.cli.help import Text
from actspan.cli.options import command
from actspan.cli.tables import print_table
from actspan.config.base import Bounds, Existing, ExistingFolder, OnError, OutputFile, doc
from actspan.core.files import atomic_file
from actspan.core.locks import lock_target

if TYPE_CHECKING:
    from pathlib import Path

    from actspan.evaluation.tuning import Tuning
    from actspan.jobs.run import Run


@command(
    subset=doc("Use the videos of this subset.", "NAME", group="Input"),
    held_out=doc(
        "Share of the instances that settings are checked on, not chosen by.",
        "SHARE",
        group="Evaluation",
    ),
    by=doc(
        "Groups of videos that stay in one part, as for `actspan annotate split`. [default: every "
        "video is a group]",
        group="Evaluation",
    ),
    seed=doc("Seed of the two parts.", group="Evaluation"),
    protocol=doc("Budgets, as in `actspan evaluate`.", group="Evaluation"),
    on_error=doc("Stop at annotations that cannot be read, or skip them.", group="Input"),
    out=doc(
        "TOML file to write with the settings, if they are better on the held-out part.",
        group="Output",
    ),
    force=doc("Replace the file if it exists.", group="Output"),
)
def tune(
    run: ExistingFolder,
    *,
    ground_truth: Existing,
    subset: str = "validation",
    held_out: Annotated[float, click.FloatRange(0, 1, min_open=True, max_open=True)] = 0.5,
    by: Annotated[str, Text("GROUP")] | None = None,
    seed: Annotated[int, Bounds(0)] = 0,
    protocol: Literal["activitynet", "thumos14"] = "activitynet",
    out: OutputFile | None = None,
    force: bool = False,
    on_error: OnError = "fail",
    json_: bool = False,
) -> None:
    """Find better settings of the ranking of RUN, from the candidates that it kept.

    The score of a candidate (exponents of its start score, end score and confidence) and Soft-NMS
    (thresholds and decay) are changed one after the other, to the largest AUC on one part of the
    videos. The other part, which is held out, decides whether the settings are recommended.

    \b
    Example:
      actspan tune run/ --ground-truth my-videos/
      actspan tune run/ --ground-truth my-videos/ --by '^([^_]+)_' \\
          --out settings.toml
      actspan propose --model bsn/ --dataset my-videos/ \\
          --settings settings.toml --out better/
    """
    from actspan.config.changes import settings_file
    from actspan.core.errors import ResultError
    from actspan.evaluation.evaluate import read_ground_truth
    from actspan.evaluation.protocols import PROTOCOLS, parse_thresholds
    from actspan.evaluation.tuning import tune as find_settings
    from actspan.jobs.run import Run

    if out is not None and out.exists() and not force:
        raise ResultError(f"{out}: already exists; --force replaces it")
    agreed = PROTOCOLS[protocol]
    truth = read_ground_truth(ground_truth, run, subset=subset, protocol=protocol)
    print_notes(truth.notes)
    with lock_target(out) if out else nullcontext(), progress_report("tune") as report:
        found = find_settings(
            run,
            truth,
            subset=subset,
            held_out=held_out,
            by=by,
            seed=seed,
            max_proposals=agreed.max_proposals,
            tiou=parse_thresholds(agreed.proposal_tiou),
            on_error=on_error,
            progress=report,
        )
    if out is not None and found.is_recommended:
        with atomic_file(out) as stream:
            stream.write(settings_file(found.changes).encode())
    _print(found, Run.load(run), out, as_json=json_)
    if out is not None and not found.is_recommended:
        raise ResultError(f"{out}: not written, because no settings are recommended")


def _print(result: Tuning, run: Run, out: Path | None, *, as_json: bool) -> None:
    """Print the parts with both settings, and the command to use if they are recommended."""
    from actspan.config.changes import settings_text

    parts = {"tuning": result.tuning, "held out": result.held_out}
    options = [word for text in settings_text(result.changes) for word in ("--set", text)]
    if as_json:
        figures = {
            name.replace(" ", "_"): {
                "groups": part.groups,
                "videos": part.now.videos,
                "instances": part.now.instances,
                "now": part.now.summary(),
                "best": part.best.summary(),
            }
            for name, part in parts.items()
        }
        document = {**figures, "tried": result.tried, "settings": result.settings}
        document |= {"recommended": result.is_recommended, "options": options}
        document |= {"out": out if result.is_recommended else None}
        print_json({**document, **findings(result.problems, result.notes)})
        return
    rows = []
    for name, part in parts.items():
        for settings, recall in (("now", part.now), ("best", part.best)):
            counts = (f"{part.groups:,}", f"{recall.videos:,}", f"{recall.instances:,}")
            shown = (f"{value:.2f}" for value in recall.summary().values())
            rows.append([name, settings, *counts, *shown])
    columns = ["part", "settings", "groups", "videos", "instances", *result.tuning.now.summary()]
    print_table(columns, rows, left=2)
    print_text(
        f"best of {result.tried:,} settings: {', '.join(result.settings) or 'those of the run'}"
    )
    print_findings(result.problems, result.notes)
    if result.is_recommended:
        use = "which may be chance; to try them" if result.is_uncertain else "use them"
        print_text(f"AUC on the held-out part: {result.held_out.gain:+.2f}, {use}:")
        use_file = options if out is None else ["--settings", str(out)]
        again = [*run.propose_options(), *use_file, "--out", f"{run.path.name}-tuned"]
        print_text(f"  actspan propose {shlex.join(again)}")
        if out is not None:
            print_text(f"written: {out}")
    elif result.settings:
        gain = f"AUC on the held-out part changes by {result.held_out.gain:+.2f}"
        print_text(f"not recommended: {gain}; keep the settings of the run")
