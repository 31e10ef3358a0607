"""`actspan train`: train a bundle on a dataset folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import click

from actspan.cli.console import (
    Report,
    print_json,
    print_problems,
    print_skipped,
    progress_report,
    say,
)
from actspan.cli.help import Text
from actspan.cli.options import command
from actspan.cli.tables import print_table
from actspan.config.base import Bounds, Existing, ExistingFile, OnError, Positive, doc
from actspan.config.training import DEFAULT_PRESET, PRESETS, TRAININGS, Precision
from actspan.core.wording import counted, quoted

if TYPE_CHECKING:
    from actspan.core.problems import Problem
    from actspan.data.dataset import Dataset
    from actspan.model.bundle import Bundle

_Size = Annotated[int, Bounds(2)]
_Share = Annotated[float, click.FloatRange(0, 1, min_open=True, max_open=True)]


@command(
    seed=doc("Seed of all random choices.", group="Training"),
    dataset=doc("A dataset folder.", group="Input"),
    out=doc("Bundle to write.", group="Output"),
    preset=doc(
        "Settings to start from; jjboy2020 to paddle are published codes of BMN.", group="Model"
    ),
    config=doc(
        "TOML with settings that differ from the preset: [tem], [bmn], [pipeline.tem] ...",
        group="Model",
    ),
    epochs=doc(
        "Number of epochs of every network; an epoch has as many steps as without this option. "
        "[default: 20; BMN: 9; classifier: 4 to 30]",
        group="Training",
    ),
    labels=doc(
        "Learn only from instances whose label matches, as in '*_TO_*'; may be repeated. "
        "[default: all]",
        group="Input",
    ),
    classifier=doc("Also train a small classifier of proposals, from the labels.", group="Model"),
    ensemble=doc(
        "Train N networks of TEM and of PEM with consecutive seeds, and merge them. [default: 1]",
        group="Model",
    ),
    mode=doc(
        "Rescale videos to T cells, or split recordings into windows of T snippets. [default: "
        "auto]",
        group="Model",
    ),
    length=doc("Temporal scale T. [default: 100]", group="Model"),
    tem_hidden=doc("Hidden size of TEM. [default: 128; published: 512]", group="Model"),
    pem_hidden=doc("Hidden size of PEM. [default: 64; published: 256]", group="Model"),
    validation_split=doc(
        "Fraction of the videos to hold out if the dataset has no validation subset. "
        "[default: none; the model is not evaluated]",
        "SHARE",
        group="Input",
    ),
    on_error=doc("Stop at problems in the dataset, or skip what cannot be used.", group="Input"),
    restart=doc(
        "Discard an unfinished training of this bundle, instead of resuming it.", group="Resume"
    ),
    force=doc("Replace an existing bundle.", group="Output"),
    device=doc(
        "auto (a GPU if PyTorch sees one), cpu, cuda, or a GPU by its number: cuda:1.",
        "DEVICE",
        group="Speed",
    ),
    precision=doc("Precision of the networks while they are trained.", group="Speed"),
)
def train(
    *,
    dataset: Existing,
    out: Path,
    seed: Annotated[int, Bounds(0)] = 0,
    preset: Annotated[str, click.Choice(list(PRESETS))] = DEFAULT_PRESET,
    config: ExistingFile | None = None,
    epochs: Positive | None = None,
    labels: tuple[Annotated[str, Text("PATTERN")], ...] = (),
    classifier: bool = False,
    ensemble: Positive | None = None,
    mode: Literal["auto", "rescale", "window"] | None = None,
    length: _Size | None = None,
    tem_hidden: Positive | None = None,
    pem_hidden: Positive | None = None,
    validation_split: _Share | None = None,
    on_error: OnError = "fail",
    restart: bool = False,
    force: bool = False,
    device: str = "auto",
    precision: Precision = "fp32",
    json_: bool = False,
) -> None:
    """Train a model on a dataset folder, and write a bundle that is ready to run.

    A model is BSN (TEM computes the boundary scores of a video, and PEM the confidence of each
    proposal) or BMN (one network computes both). After an interruption, the same command resumes
    the training. Losses are logged for TensorBoard in OUT.training/logs, and in OUT/logs at the
    end.

    \b
    Example:
      actspan train --dataset my-videos/ --out my-model/
      actspan train --dataset my-videos/ --out my-model/ --preset published \\
          --seed 1
      actspan train --dataset my-videos/ --out my-model/ --preset jjboy2020
    """
    from actspan.training.train import train as train_bundle

    skipped: list[Problem] = []

    def checked(dataset: Dataset) -> None:
        print_problems(dataset.problems, dataset.notes)
        skipped.extend(dataset.problems)

    with training_report() as report:
        try:
            bundle = train_bundle(
                dataset,
                out=out,
                seed=seed,
                preset=preset,
                config=config,
                epochs=epochs,
                labels=labels,
                classifier=classifier,
                ensemble=ensemble,
                mode=mode,
                length=length,
                tem_hidden=tem_hidden,
                pem_hidden=pem_hidden,
                validation_split=validation_split,
                on_error=on_error,
                restart=restart,
                force=force,
                device=device,
                precision=precision,
                report=report,
                checked=checked,
            )
        except KeyboardInterrupt:
            report.say("stopped; the same command resumes after the last whole epoch")
            raise
    from actspan.training.hardware import place_in_torchrun

    if place_in_torchrun().rank > 0:
        return
    training = dict(bundle.training or {})
    if json_:
        names = ("preset", "seed", "data", *TRAININGS, "evaluation")
        figures = {name: training[name] for name in names if name in training}
        print_json({"bundle": bundle.path, **figures})
    else:
        _print(bundle, training)
    print_skipped(skipped)


class _TrainingReport:
    """A report for people: progress with losses, and messages as lines."""

    def __init__(self, progress: Report) -> None:
        self.progress = progress

    def say(self, message: str) -> None:
        say(message)

    def losses(self, net: str, epoch: int, training: float, validation: float | None) -> None:
        """Ignore the losses: they are in the lines of progress."""


@contextmanager
def training_report() -> Iterator[_TrainingReport]:
    """Yield a report that shows the progress of training, one bar per network, or as lines."""
    with progress_report(bar_each=True) as progress:
        yield _TrainingReport(progress)


def _print(bundle: Bundle, training: dict[str, Any]) -> None:
    for net in TRAININGS:
        for fit in training.get(net, ()):
            losses = f"training loss {fit['training']:.4f}"
            if fit.get("validation") is not None:
                losses += f", validation loss {fit['validation']:.4f}"
            click.echo(f"{net.upper()}: epoch {fit['epoch']} of {fit['epochs']} kept, {losses}")
    if "evaluation" in training:
        _print_evaluation(training["evaluation"])
    if training.get("classifier") is not None:
        parts = training["classifier"]["accuracy"].items()
        shares = ", ".join(f"{100 * share:.1f} % of {part}" for part, share in parts)
        click.echo(f"classifier: annotated instances that get their own label: {shares}")
    click.echo(f"bundle: {bundle.path}")
    click.echo(f"next:   actspan propose --model {quoted(bundle.path)} --dataset DIR --out run/")


def _print_evaluation(evaluation: dict[str, Any]) -> None:
    """Print one row for the model, one for label-free proposals, and one per guess."""
    videos, instances = (counted(evaluation[f"{thing}s"], thing) for thing in ("video", "instance"))
    click.echo(
        f"on {videos} of the validation part, {instances}, next to what needs no model; in percent"
    )
    figures = evaluation["figures"]
    columns = list(figures["model"])
    rows = [[name, *(f"{row[c]:.1f}" for c in columns)] for name, row in figures.items()]
    print_table(["", *columns], rows)
