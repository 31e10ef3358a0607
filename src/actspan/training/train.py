"""Training of a bundle from a dataset."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import torch

from actspan.config.base import to_dict
from actspan.config.training import PRESETS, ClassifierTrainConfig, OptimConfig, TrainConfig
from actspan.core.errors import ConfigError
from actspan.core.types import Float32
from actspan.data.dataset import Dataset
from actspan.model.bsn.networks import Network, Pem, Tem
from actspan.model.bundle import Bundle
from actspan.model.manifest import Source, check_new_bundle
from actspan.training.completion import complete, versions
from actspan.training.loop import Fit, fit
from actspan.training.parts import for_dataset, read_parts, set_apart
from actspan.training.sample_sets import Samples
from actspan.training.state import NoReport, Report, StateFolder
from actspan.training.tasks import Candidates, PemTask, Task, TemTask, standardize
from actspan.training.train_classifier import labels_of

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
    restart, overwrite : bool
        Discard an unfinished training; replace an existing bundle.

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
    report, out = report or NoReport(), Path(out)
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
        "data": {part: facts["sha256"] for part, facts in samples.describe().items()},
        "versions": versions(),
    }
    if classifier is not None:
        settings["classifier"] = {"config": to_dict(classifier), "labels": labels_of(dataset)}
    state = StateFolder.open(out, settings, restart=restart)
    training, validation = samples.training, samples.validation

    def build_tem() -> Tem:
        dropouts = {"dropout": config.tem.dropout, "hidden_dropout": config.tem.hidden_dropout}
        tem = Tem(config.pipeline.tem, **dropouts)
        if config.tem.standardize:
            standardize(tem, training)
        return tem

    def build_pem() -> Pem:
        return Pem(config.pipeline.pem, dropout=config.pem.dropout)

    def candidates(part: Samples) -> Candidates:
        return Candidates.find(part, tem, config.pipeline)

    common = (config.ensemble, seed, state, report)
    tem_task = TemTask(training, validation, config.tem)
    tems, tem_fits = _train_members(build_tem, tem_task, config.tem.optim, *common)
    tem = merge_tems(tems)
    validated = None if validation is None else candidates(validation)
    pem_task = PemTask(candidates(training), validated, config.pem)
    pems, pem_fits = _train_members(build_pem, pem_task, config.pem.optim, *common)
    pem = merge_pems(pems)
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


def _preset_of(config: TrainConfig, dataset: Dataset) -> str:
    """Return the name of the preset with these settings, or "custom"."""
    names = [n for n, known in PRESETS.items() if for_dataset(known, dataset) == config]
    return names[-1] if names else "custom"


def merge_tems(members: Sequence[Tem]) -> Tem:
    """Merge TEMs of equal size, which must standardise their input alike.

    The logits of the merged network are the mean of the members' logits. The members lie side by
    side in the hidden layers: TEM's second convolution has one group per member, and the last
    layer holds all their weights, divided by their number. The bundle, its graphs and every
    backend see one wider network.
    """
    if len(members) == 1:
        return members[0]
    weights = [member.weights() for member in members]
    config, count = members[0].config, len(members)
    sizes = {"hidden": config.hidden * count, "members": config.members * count}
    merged = Tem(msgspec.structs.replace(config, **sizes))
    scaling = {name: w for name, w in weights[0].items() if name.startswith("input.")}
    merged.load_weights(scaling | _side_by_side(weights, ("conv1", "conv2"), "conv3"))
    return merged.eval()


def merge_pems(members: Sequence[Pem]) -> Pem:
    """Merge PEMs of equal size, as `merge_tems` does."""
    if len(members) == 1:
        return members[0]
    config, count = members[0].config, len(members)
    merged = Pem(msgspec.structs.replace(config, hidden=config.hidden * count))
    merged.load_weights(_side_by_side([m.weights() for m in members], ("fc1",), "fc2"))
    return merged.eval()


def _side_by_side(
    members: Sequence[Mapping[str, Float32]], hidden: Sequence[str], last: str
) -> dict[str, Float32]:
    """Stack weights: hidden layers by output, the last layer by input and divided."""
    merged = {
        f"{layer}.{part}": np.concatenate([w[f"{layer}.{part}"] for w in members])
        for layer in hidden
        for part in ("weight", "bias")
    }
    weight = np.concatenate([w[f"{last}.weight"] for w in members], axis=1)
    merged[f"{last}.weight"] = weight / np.float32(len(members))
    merged[f"{last}.bias"] = np.mean([w[f"{last}.bias"] for w in members], axis=0)
    return merged
