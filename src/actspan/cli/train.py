"""`actspan train`: train a bundle on a dataset folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    console,
    json_option,
    on_error_option,
    progress_bar,
    reports_errors,
    say,
    say_left_out,
    say_problems,
)
from actspan.cli.progress_lines import ProgressLines
from actspan.config.training import DEFAULT_PRESET, PRESETS
from actspan.core.errors import require
from actspan.core.wording import counted, quoted

if TYPE_CHECKING:
    from rich.progress import Progress

    from actspan.config.training import ClassifierTrainConfig, TrainConfig
    from actspan.model.bundle import Bundle
    from actspan.training.report import Report


@click.command()
@click.option("--dataset", required=True, type=ExistingPath(), help="A dataset folder.")
@click.option("--out", required=True, type=PlainPath(), help="Bundle to write.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of all random choices.",
)
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default=DEFAULT_PRESET,
    show_default=True,
    help="Settings to start from.",
)
@click.option(
    "--config",
    "config_file",
    type=ExistingPath(dir_okay=False),
    help="TOML with settings that differ from the preset: [tem], [pem], [pipeline.tem] ...",
)
@click.option("--epochs", type=click.IntRange(1), help="Train every network for this many epochs.")
@click.option(
    "--labels",
    multiple=True,
    metavar="PATTERN",
    help="Learn only from instances whose label matches, as in '*_TO_*'.",
)
@click.option(
    "--classifier",
    is_flag=True,
    help="Also train a small classifier of proposals, from the labels.",
)
@click.option(
    "--ensemble",
    type=click.IntRange(1),
    help="Train N networks with consecutive seeds, and merge them. [default: 1]",
)
@click.option(
    "--mode",
    type=click.Choice(["auto", "rescale", "window"]),
    help="Rescale videos to T cells, or split recordings into windows of T snippets. [default: "
    "auto]",
)
@click.option("--length", type=click.IntRange(2), help="Temporal scale T. [default: 100]")
@click.option("--tem-hidden", type=click.IntRange(1), help="Hidden size of TEM. [default: 512]")
@click.option("--pem-hidden", type=click.IntRange(1), help="Hidden size of PEM. [default: 256]")
@click.option(
    "--validation-split",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Fraction of the videos to set apart if the dataset has no validation part.",
)
@on_error_option("Stop at problems in the dataset, or skip what cannot be used.")
@click.option("--restart", is_flag=True, help="Discard an unfinished training of this bundle.")
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@json_option
@reports_errors
def command(
    dataset: Path,
    out: Path,
    seed: int,
    preset: str,
    config_file: Path | None,
    epochs: int | None,
    labels: tuple[str, ...],
    classifier: bool,
    ensemble: int | None,
    mode: str | None,
    length: int | None,
    tem_hidden: int | None,
    pem_hidden: int | None,
    validation_split: float | None,
    on_error: Literal["fail", "skip"],
    restart: bool,
    force: bool,
    as_json: bool,
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
    from actspan.data.dataset import Dataset
    from actspan.data.videos import split_patterns
    from actspan.model.bundle import Bundle
    from actspan.training.parts import trainable
    from actspan.training.train import train

    sizes = {
        "tem": {"length": length, "hidden": tem_hidden},
        "pem": {"hidden": pem_hidden},
    }
    config = _settings(preset, config_file, epochs, sizes, mode=mode, ensemble=ensemble)
    Bundle.check_target(out, overwrite=force)
    with drawn_report() as report:
        found = trainable(
            Dataset.load(dataset).with_labels(split_patterns(labels)),
            on_error=on_error,
            progress=report.progress,
        )
        say_problems(found.problems, found.notes)
        try:
            bundle = train(
                found,
                out,
                config,
                classifier=_classifier(epochs) if classifier else None,
                seed=seed,
                validation_split=validation_split,
                restart=restart,
                overwrite=force,
                report=report,
            )
        except KeyboardInterrupt:
            report.say("stopped; the same command goes on after the last whole epoch")
            raise
    if as_json:
        click.echo(json.dumps(_figures(bundle)))
    else:
        _print(bundle)
    say_left_out(found.problems)


def _classifier(epochs: int | None) -> ClassifierTrainConfig:
    from actspan.config.training import ClassifierTrainConfig

    return ClassifierTrainConfig() if epochs is None else ClassifierTrainConfig.of_epochs(epochs)


def _settings(
    preset_name: str,
    file: Path | None,
    epochs: int | None,
    sizes: dict[str, dict[str, int | None]],
    **others: str | int | None,
) -> TrainConfig:
    """Return the preset with the changes of a file, then those of options."""
    from actspan.config.base import changed, read_toml
    from actspan.config.training import preset

    config = preset(preset_name)
    if file is not None:
        config = changed(config, read_toml(file), where=str(file))
    chosen = {net: {k: v for k, v in size.items() if v} for net, size in sizes.items()}
    changes: dict[str, Any] = {"pipeline": chosen}
    changes |= {name: value for name, value in others.items() if value is not None}
    if epochs is not None:
        length = {"optim": {"epochs": epochs, "passes": epochs, "steps": 0}}
        changes |= {"tem": length, "pem": length}
    return changed(config, changes, where="options")


class _Bars:
    """A report that shows progress bars, one per kind of work."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tasks: dict[str, Any] = {}

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total, note=note)
        self._bar.update(self._tasks[what], completed=done, total=total, note=note)

    def say(self, message: str) -> None:
        say(message)


class _Lines:
    """A report that prints plain lines."""

    def __init__(self, lines: ProgressLines) -> None:
        self.progress = lines.report

    def say(self, message: str) -> None:
        say(message)


@contextmanager
def drawn_report() -> Iterator[Report]:
    """Yield a report for people: progress with losses, as bars or lines, and messages as lines."""
    if not console.is_terminal:
        with ProgressLines(say) as lines:
            yield _Lines(lines)
        return
    with progress_bar() as bar:
        yield _Bars(bar)


def _figures(bundle: Bundle) -> dict[str, Any]:
    training = dict(bundle.training or {})
    names = ("preset", "seed", "data", "tem", "pem", "judged")
    return {"bundle": str(bundle.path), **{n: training[n] for n in names if n in training}}


def _print(bundle: Bundle) -> None:
    figures = _figures(bundle)
    for net in ("tem", "pem"):
        for fit in figures[net]:
            losses = f"training loss {fit['training']:.4f}"
            if fit.get("validation") is not None:
                losses += f", validation loss {fit['validation']:.4f}"
            click.echo(f"{net.upper()}: epoch {fit['epoch']} of {fit['epochs']} kept, {losses}")
    if "judged" in figures:
        _print_judged(figures["judged"])
    classifier = (bundle.training or {}).get("classifier")
    if classifier is not None:
        parts = classifier["accuracy"].items()
        shares = ", ".join(f"{100 * share:.1f} % of {part}" for part, share in parts)
        click.echo(f"classifier: annotated instances that get their own label: {shares}")
    click.echo(f"bundle: {bundle.path}")
    click.echo(f"next:   actspan propose --model {quoted(bundle.path)} --dataset DIR --out run/")


def _print_judged(judged: dict[str, Any]) -> None:
    """Print one row for the model and one per guess."""
    from actspan.cli.tables import print_table

    videos, instances = counted(judged["videos"], "video"), counted(judged["instances"], "instance")
    click.echo(f"on {videos} of the validation part, {instances}, beside guesses; in percent")
    figures = judged["figures"]
    columns = list(figures["model"])
    rows = [[name, *(f"{row[c]:.1f}" for c in columns)] for name, row in figures.items()]
    print_table(["", *columns], rows)
