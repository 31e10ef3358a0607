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
from actspan.cli.options import Text, command, given_options
from actspan.cli.tables import print_table
from actspan.config.base import Bounds, Existing, ExistingFile, OnError, Positive
from actspan.config.training import DEFAULT_PRESET, PRESETS
from actspan.core.errors import require
from actspan.core.files import lock_target
from actspan.core.wording import counted, quoted

if TYPE_CHECKING:
    from actspan.config.training import TrainConfig
    from actspan.model.bundle import Bundle

_Size = Annotated[int, Bounds(2)]
_Share = Annotated[float, click.FloatRange(0, 1, min_open=True, max_open=True)]


@command(
    dataset="A dataset folder.",
    out="Bundle to write.",
    preset="Settings to start from.",
    config="TOML with settings that differ from the preset: [tem], [pem], [pipeline.tem] ...",
    epochs="Number of epochs of every network; an epoch has as many steps as without this option. "
    "[default: 20; classifier: 4 to 30]",
    labels="Learn only from instances whose label matches, as in '*_TO_*'.",
    classifier="Also train a small classifier of proposals, from the labels.",
    ensemble="Train N networks with consecutive seeds, and merge them. [default: 1]",
    mode="Rescale videos to T cells, or split recordings into windows of T snippets. [default: "
    "auto]",
    length="Temporal scale T. [default: 100]",
    tem_hidden="Hidden size of TEM. [default: 256; published: 512]",
    pem_hidden="Hidden size of PEM. [default: 256]",
    validation_split="Fraction of the videos to hold out if the dataset has no validation subset.",
    on_error="Stop at problems in the dataset, or skip what cannot be used.",
    restart="Discard an unfinished training of this bundle.",
    force="Replace an existing bundle.",
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
    json_: bool = False,
) -> None:
    """Train TEM and PEM on a dataset folder, and write a bundle that is ready to run.

    After an interruption, the same command resumes the training. Losses are logged for TensorBoard
    in OUT.training/logs, and in OUT/logs at the end.

    \b
    Example:
      actspan train --dataset my-videos/ --out my-model/
      actspan train --dataset my-videos/ --out my-model/ --preset published --seed 1
    """
    require("torch", extra="train", purpose="Training")
    from actspan.config.training import ClassifierTrainConfig
    from actspan.data.dataset import Dataset
    from actspan.data.instances import split_patterns
    from actspan.model.manifest import check_new_bundle
    from actspan.training.parts import trainable
    from actspan.training.trainer import train as train_bundle

    settings = _settings(preset, config)
    classified = None
    if classifier:
        classified = ClassifierTrainConfig.of_epochs(epochs) if epochs else ClassifierTrainConfig()
    check_new_bundle(out, overwrite=force)
    with lock_target(out), training_report() as report:
        trainable_videos = trainable(
            Dataset.load(dataset).with_labels(split_patterns(labels)),
            on_error=on_error,
            progress=report.progress,
        )
        print_problems(trainable_videos.problems, trainable_videos.notes)
        try:
            bundle = train_bundle(
                trainable_videos,
                out,
                settings,
                classifier=classified,
                seed=seed,
                validation_split=validation_split,
                restart=restart,
                overwrite=force,
                report=report,
            )
        except KeyboardInterrupt:
            report.say("stopped; the same command resumes after the last whole epoch")
            raise
    training = dict(bundle.training or {})
    if json_:
        names = ("preset", "seed", "data", "tem", "pem", "judged")
        figures = {name: training[name] for name in names if name in training}
        print_json({"bundle": bundle.path, **figures})
    else:
        _print(bundle, training)
    print_skipped(trainable_videos.problems)


def _settings(preset_name: str, file: Path | None) -> TrainConfig:
    """Return the preset with the changes of a file, then those of the given options."""
    from actspan.config.base import changed, read_toml
    from actspan.config.training import preset

    config = preset(preset_name)
    if file is not None:
        config = changed(config, read_toml(file), where=str(file))
    params = click.get_current_context().params
    options = {name: params[name] for name in given_options()}
    changes: dict[str, Any] = {
        name: options[name] for name in ("mode", "ensemble") if name in options
    }
    sizes = {"length": ("tem", "length"), "tem_hidden": ("tem", "hidden")}
    sizes |= {"pem_hidden": ("pem", "hidden")}
    pipeline: dict[str, Any] = {"tem": {}, "pem": {}}
    for option, (net, setting) in sizes.items():
        if option in options:
            pipeline[net][setting] = options[option]
    changes["pipeline"] = pipeline
    config = changed(config, changes, where="options")
    return config.of_epochs(options["epochs"]) if "epochs" in options else config


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
    for net in ("tem", "pem"):
        for fit in training[net]:
            losses = f"training loss {fit['training']:.4f}"
            if fit.get("validation") is not None:
                losses += f", validation loss {fit['validation']:.4f}"
            click.echo(f"{net.upper()}: epoch {fit['epoch']} of {fit['epochs']} kept, {losses}")
    if "judged" in training:
        _print_judged(training["judged"])
    if training.get("classifier") is not None:
        parts = training["classifier"]["accuracy"].items()
        shares = ", ".join(f"{100 * share:.1f} % of {part}" for part, share in parts)
        click.echo(f"classifier: annotated instances that get their own label: {shares}")
    click.echo(f"bundle: {bundle.path}")
    click.echo(f"next:   actspan propose --model {quoted(bundle.path)} --dataset DIR --out run/")


def _print_judged(judged: dict[str, Any]) -> None:
    """Print one row for the model, one for label-free proposals, and one per guess."""
    videos, instances = counted(judged["videos"], "video"), counted(judged["instances"], "instance")
    click.echo(
        f"on {videos} of the validation part, {instances}, next to what needs no model; in percent"
    )
    figures = judged["figures"]
    columns = list(figures["model"])
    rows = [[name, *(f"{row[c]:.1f}" for c in columns)] for name, row in figures.items()]
    print_table(["", *columns], rows)
