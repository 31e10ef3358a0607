"""Training of a bundle from a dataset."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import torch

from actspan.config.base import to_dict
from actspan.config.stages import PipelineConfig
from actspan.config.training import PRESETS, ClassifierTrainConfig, OptimConfig, TrainConfig
from actspan.core.errors import ConfigError
from actspan.data.dataset import Dataset
from actspan.model.bsn.networks import Network, Pem, Tem
from actspan.model.bundle import Bundle
from actspan.model.manifest import Source, check_new_bundle
from actspan.training.ensemble import merge_pems, merge_tems
from actspan.training.examples import labels_of
from actspan.training.loop import Fit, Task, fit
from actspan.training.parts import Parts, for_dataset, read_parts, set_apart
from actspan.training.report import Report, Silent
from actspan.training.samples import Samples
from actspan.training.state import StateFolder
from actspan.training.tasks import Candidates, PemTask, TemTask, score_samples, standardize
from actspan.training.writing import complete, versions

N = TypeVar("N", bound=Network)


def train(
    dataset: Dataset,
    out: str | os.PathLike[str],
    config: TrainConfig | None = None,
    *,
    classifier: ClassifierTrainConfig | None = None,
    seed: int = 0,
    validation_split: float | None = None,
    restart: bool = False,
    overwrite: bool = False,
    report: Report | None = None,
) -> Bundle:
    """Train TEM and PEM and write them as a bundle.

    The state of each epoch is saved in the folder `OUT.training`. After an interruption, a call
    with the same settings and data resumes there and ends with the same weights (on the same
    machine, with the same number of threads).

    Parameters
    ----------
    dataset : Dataset
        Output of `trainable`: its training videos are trained on, its validation videos choose
        the best epoch.
    out : path
        Path of the new bundle.
    config : TrainConfig, optional
        The default preset if not given.
    classifier : ClassifierTrainConfig, optional
        Train a classifier of proposals as well, from the labels.
    seed : int
        Seed of the initial weights, the order of videos and all random choices. Members of an
        ensemble use this seed and the following ones.
    validation_split : float, optional
        If the dataset has no validation videos: the share of the training videos to set apart.
        With neither, the last epoch is kept.
    restart : bool
        Discard an unfinished training.
    overwrite : bool
        Replace an existing bundle.
    report : Report, optional
        Receives progress and messages.

    Returns
    -------
    Bundle
        The trained bundle, with ONNX files if onnx is installed. `training` has AR@AN and AUC
        on the validation videos, those of random guesses, and the ids of the videos that
        `validation_split` set apart.

    Raises
    ------
    ConfigError
        Settings are out of range, or an unfinished training with other settings exists.
    AnnotationError
        There are no instances to train on, or no labels for a classifier.
    BundleError
        `out` already exists.

    Examples
    --------
    >>> bundle = train(trainable(Dataset.load("my-videos")), "my-model")  # doctest: +SKIP
    """
    report, out = report or Silent(), Path(out)
    given = config or PRESETS["default"]
    config = for_dataset(given, dataset)
    if given.mode == "auto" and config.mode == "window":
        report.say("long recordings: they are seen in windows, every half of one")
    if seed < 0:
        raise ConfigError(f"seed {seed} must not be negative")
    check_new_bundle(out, overwrite=overwrite)
    dataset, apart = set_apart(dataset, validation_split, seed, report)
    samples = read_parts(dataset, config, report)
    settings = {
        "config": to_dict(config),
        "seed": seed,
        "data": samples.fingerprint(),
        "versions": versions(),
    }
    if classifier is not None:
        settings["classifier"] = {"config": to_dict(classifier), "labels": labels_of(dataset)}
    state = StateFolder.open(out, settings, restart=restart)
    tem, tem_fits = _train_tems(samples, config, seed, state, report)
    pem, pem_fits = _train_pems(samples, tem, config, seed, state, report)
    bundle = Bundle.create(
        state.path / "bundle",
        config=msgspec.structs.replace(config.pipeline, tem=tem.config, pem=pem.config),
        features=dataset.spec,
        source=Source(note=f"trained on {dataset.path.resolve().name}"),
        tem=tem.weights(),
        pem=pem.weights(),
        training={
            "preset": _preset_of(config, dataset),
            "seed": seed,
            "data": samples.describe(),
            "versions": versions(),
            "config": {net: to_dict(getattr(config, net)) for net in ("tem", "pem")},
            "tem": list(map(to_dict, tem_fits)),
            "pem": list(map(to_dict, pem_fits)),
            **({"set_apart": apart} if apart else {}),
        },
        overwrite=True,
    )
    return complete(
        bundle, dataset, out, classifier=classifier, seed=seed, state=state, report=report
    )


def _train_tems(
    samples: Parts, config: TrainConfig, seed: int, state: StateFolder, report: Report
) -> tuple[Tem, list[Fit]]:
    """Train one TEM per member of the ensemble, and merge them."""
    training = config.tem
    task = TemTask(samples.training, samples.validation, training)

    def build() -> Tem:
        dropouts = {"dropout": training.dropout, "hidden_dropout": training.hidden_dropout}
        tem = Tem(config.pipeline.tem, **dropouts)
        if training.standardize:
            standardize(tem, samples.training)
        return tem

    tems, fits = _train_members(build, task, training.optim, config.ensemble, seed, state, report)
    return merge_tems(tems), fits


def _train_pems(
    samples: Parts, tem: Tem, config: TrainConfig, seed: int, state: StateFolder, report: Report
) -> tuple[Pem, list[Fit]]:
    """Train one PEM per member, all on the candidates of the merged TEM, and merge them."""
    training, validation = (
        None if part is None else _candidates(part, tem, config.pipeline)
        for part in (samples.training, samples.validation)
    )
    assert training is not None
    task = PemTask(training, validation, config.pem)

    def build() -> Pem:
        return Pem(config.pipeline.pem, dropout=config.pem.dropout)

    optim = config.pem.optim
    pems, fits = _train_members(build, task, optim, config.ensemble, seed, state, report)
    return merge_pems(pems), fits


def _train_members(
    build: Callable[[], N],
    task: Task,
    optim: OptimConfig,
    count: int,
    seed: int,
    state: StateFolder,
    report: Report,
) -> tuple[list[N], list[Fit]]:
    """Train networks with the seeds `seed`, `seed + 1`, ...; return them with their results."""
    nets, fits = [], []
    for member in range(count):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + member)
            net = build()
        place = state.of(member)
        fits.append(fit(net, task, optim, seed=seed + member, state=place, report=report))
        nets.append(net)
    return nets, fits


def _candidates(samples: Samples, tem: Network, pipeline: PipelineConfig) -> Candidates:
    scores = score_samples(tem, samples)
    return Candidates.find(samples, scores, pipeline)


def _preset_of(config: TrainConfig, dataset: Dataset) -> str:
    """Return the name of the preset with these settings, or "custom"."""
    names = [n for n, known in PRESETS.items() if for_dataset(known, dataset) == config]
    return names[-1] if names else "custom"
