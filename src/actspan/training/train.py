"""The job `train` as a function: its options are those of the command, its result is a bundle.

PyTorch is loaded only when a training starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from actspan.config.base import OnError, changed, read_toml
from actspan.config.training import (
    DEFAULT_PRESET,
    ClassifierTrainConfig,
    Precision,
    TrainConfig,
    preset,
)
from actspan.core.errors import ConfigError, require
from actspan.core.files import StrPath
from actspan.core.folders import locked_folder
from actspan.core.progress import NoReport, Report
from actspan.data.dataset import Dataset
from actspan.data.instances import split_patterns
from actspan.model.bundle import Bundle
from actspan.model.manifest import check_new_bundle

Mode = Literal["auto", "rescale", "window"]

# Options that change the hidden size of a network.
_SIZES = {"tem_hidden": "tem", "pem_hidden": "pem"}


def _ignore(dataset: Dataset) -> None:
    """Ignore what the check of the dataset found."""


def train(
    dataset: StrPath | Dataset,
    *,
    out: StrPath,
    seed: int = 0,
    preset: str = DEFAULT_PRESET,
    config: StrPath | Mapping[str, Any] | TrainConfig | None = None,
    epochs: int | None = None,
    labels: str | Iterable[str] = (),
    classifier: bool = False,
    ensemble: int | None = None,
    mode: Mode | None = None,
    length: int | None = None,
    tem_hidden: int | None = None,
    pem_hidden: int | None = None,
    validation_split: float | None = None,
    on_error: OnError = "fail",
    restart: bool = False,
    force: bool = False,
    device: str = "auto",
    precision: Precision = "fp32",
    report: Report | None = None,
    checked: Callable[[Dataset], object] = _ignore,
) -> Bundle:
    """Train a model on a dataset, and write a bundle that is ready to run.

    Every option is that of `actspan train`. After an interruption, the same call resumes.

    Parameters
    ----------
    dataset : path or Dataset
        Annotated videos with features.
    out : path
        The bundle to write.
    seed : int
        Seed of all random choices.
    preset : str
        Settings to start from: "default" or "published" (TEM and PEM), or a published code of BMN:
        "jjboy2020", "jjboy2019", "mmaction2" or "paddle".
    config : path, mapping or TrainConfig, optional
        Settings that differ from the preset, as in {"tem": {"dropout": 0.2}}, or a TOML file of
        them; or all settings.
    epochs : int, optional
        Number of epochs of every network, each with as many steps as without this argument.
    labels : str or iterable of str
        Learn only from instances whose label matches one of these patterns.
    classifier : bool
        Also train a classifier of proposals, from the labels.
    ensemble : int, optional
        Train this many networks, and merge them.
    mode, length, tem_hidden, pem_hidden
        Mode and temporal scale T of the model, and hidden sizes of the networks.
    validation_split : float, optional
        Fraction of the videos to hold out if the dataset has no validation subset.
    on_error : "fail" or "skip"
        Stop at problems in the dataset, or skip what cannot be used.
    restart, force : bool
        Discard an unfinished training; replace an existing bundle.
    device : str
        "cpu", "cuda", or "cuda:1" for the GPU with number 1; "auto" is a GPU if PyTorch sees one,
        or else the CPU. Under torchrun, every process takes its own GPU and its share of a batch.
    precision : "fp32" or "bf16"
        Of the networks while they are trained; weights and losses are float32.
    report : Report, optional
        Receives progress, losses and messages.
    checked : callable
        Called with the dataset after its check, whose `problems` were skipped, before the training.

    Returns
    -------
    Bundle
        `bundle.training["evaluation"]` has AR@AN and AUC on the validation videos.

    Raises
    ------
    MissingExtraError
        PyTorch is not installed.
    ConfigError
        A setting is unknown or out of range, or an unfinished training with others exists; there
        is no such device.
    AnnotationError, DatasetError
        There is nothing to learn from, or the dataset has problems.
    BundleError, DataError
        `out` already exists, or another process writes it.

    Examples
    --------
    >>> bundle = train("my-videos/", out="model/", epochs=20)  # doctest: +SKIP
    """
    require("torch", extra="train", purpose="Training")
    from actspan.training import trainer
    from actspan.training.hardware import Hardware
    from actspan.training.parts import trainable

    settings = train_config(
        preset,
        config,
        epochs=epochs,
        ensemble=ensemble,
        mode=mode,
        length=length,
        tem_hidden=tem_hidden,
        pem_hidden=pem_hidden,
    )
    classified = None
    if classifier:
        classified = ClassifierTrainConfig.of_epochs(epochs) if epochs else ClassifierTrainConfig()
    hardware = Hardware.find(device, precision)
    check_new_bundle(Path(out), overwrite=force)
    report = (report if hardware.is_first else None) or NoReport()
    given = dataset if isinstance(dataset, Dataset) else Dataset.load(os.fspath(dataset))
    patterns = split_patterns((labels,) if isinstance(labels, str) else tuple(labels))
    # Locked before the check, which takes minutes for a large dataset.
    with locked_folder(Path(out)) if hardware.is_first else nullcontext():
        chosen = trainable(given.with_labels(patterns), on_error=on_error, progress=report.progress)
        if hardware.is_first:
            checked(chosen)
        return trainer.train(
            chosen,
            out,
            settings,
            classifier=classified,
            seed=seed,
            validation_split=validation_split,
            restart=restart,
            overwrite=force,
            hardware=hardware,
            report=report,
        )


def train_config(
    name: str,
    config: StrPath | Mapping[str, Any] | TrainConfig | None = None,
    *,
    epochs: int | None = None,
    **options: Any,
) -> TrainConfig:
    """Return a preset with the changes of `config`, then those of the options of `train`.

    Raises ConfigError if a setting is unknown or out of range.
    """
    result = preset(name)
    if isinstance(config, TrainConfig):
        result = config
    elif isinstance(config, Mapping):
        result = changed(result, dict(config), where="config")
    elif config is not None:
        result = changed(result, read_toml(Path(config)), where=os.fspath(config))
    given = {name: value for name, value in options.items() if value is not None}
    nets: dict[str, Any] = {net: {} for net in result.nets}
    if "length" in given:
        nets[result.nets[0]]["length"] = given.pop("length")
    for option in _SIZES.keys() & given.keys():
        if _SIZES[option] not in nets:
            raise ConfigError(
                f"--{option.replace('_', '-')}: preset {name!r} trains BMN; change its sizes with "
                "--config: [pipeline.bmn]"
            )
        nets[_SIZES[option]]["hidden"] = given.pop(option)
    result = changed(result, {**given, "pipeline": nets}, where="options")
    return result if epochs is None else result.of_epochs(epochs)
