"""From a dataset to a bundle: what is trained on what, and what the bundle says of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
import torch

from actspan.bundle import Bundle, Source
from actspan.config import (
    PRESETS,
    ClassifierTrainConfig,
    OptimConfig,
    PemConfig,
    PipelineConfig,
    SoftNmsConfig,
    TemConfig,
    TrainConfig,
    to_dict,
)
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.data.problems import Loss, stop_on_errors
from actspan.data.videos import Videos
from actspan.errors import AnnotationError, ConfigError
from actspan.nets.base import Net
from actspan.nets.pem import Pem
from actspan.nets.tem import Tem
from actspan.training.ensemble import merge_pems, merge_tems
from actspan.training.labels import labels_of
from actspan.training.loop import Fit, Task, fit
from actspan.training.report import Report, Silent
from actspan.training.samples import TRAINING, VALIDATION, Samples, split_videos
from actspan.training.state import StateFolder
from actspan.training.tasks import Candidates, PemTask, TemTask, score_samples, standardize
from actspan.training.whole import WholeVideos
from actspan.training.windowed import Windows
from actspan.training.writing import complete, versions

N = TypeVar("N", bound=Net)

_WINDOW_PICKS = 1000  # proposals a recording: the largest AN that is evaluated


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

    The state of each epoch goes to the folder `OUT.training`; called again with the same settings
    and data after a kill, training goes on there and ends with the same weights (on the same
    machine, with the same number of threads).

    Parameters
    ----------
    dataset : Dataset
        As `trainable` returns it: its training videos are learnt from, its validation videos
        choose the best epoch.
    out : path
        Where the bundle shall be.
    config : TrainConfig, optional
        The default preset unless given.
    classifier : ClassifierTrainConfig, optional
        Train a classifier of proposals as well, from the labels.
    seed : int
        Decides initial weights, the order of videos and everything that is drawn. Members of an
        ensemble have this seed and the ones that follow it.
    validation_split : float, optional
        Where the dataset has no validation videos: the share of the training videos to set apart.
        With neither, the last epoch is kept.
    restart : bool
        Throw away an unfinished training.
    overwrite : bool
        Replace a bundle that is there.
    report : Report, optional
        Gets progress and messages.

    Returns
    -------
    Bundle
        With ONNX files where onnx is installed. `training` has AR@AN and AUC on the validation
        videos beside those of guesses, and the ids of the videos that `validation_split` set
        apart.

    Raises
    ------
    ConfigError
        Settings are out of range, or an unfinished training with other settings is there.
    AnnotationError
        There is nothing to learn from, or no labels for a classifier.
    BundleError
        `out` is taken.

    Examples
    --------
    >>> bundle = train(trainable(Dataset.load("my-videos")), "my-model")  # doctest: +SKIP
    """
    report, out = report or Silent(), Path(out)
    config = _for_dataset(config or PRESETS["default"], dataset)
    if config.pipeline.mode == "window":
        report.say("long recordings: they are seen in windows, every half of one")
    if seed < 0:
        raise ConfigError(f"seed {seed} must not be negative")
    Bundle.check_target(out, overwrite=overwrite)
    dataset, apart = _split(dataset, validation_split, seed, report)
    samples = _read(dataset, config, report)
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
            "data": _describe(samples),
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


def trainable(dataset: Dataset, **checks: Any) -> Dataset:
    """Keep the training and validation videos, and check them (options of `check_dataset`).

    Where no video says its subset, all are training videos.

    Raises
    ------
    AnnotationError
        There is no training video, or none that holds an instance.
    DatasetError
        There are problems.
    """
    videos = dataset.videos
    if not any(videos.subsets):
        videos = Videos(replace(video, subset=TRAINING) for video in videos)
    chosen = [video for video in videos if video.subset in (TRAINING, VALIDATION)]
    if not any(video.subset == TRAINING for video in chosen):
        there = ", ".join(sorted(map(repr, set(videos.subsets)))) or "no videos"
        raise AnnotationError(
            f"{dataset.path}: no video in subset 'training'; there are: {there}. Write the subset "
            "of each video to the annotations"
        )
    checked = check_dataset(dataset.select(chosen), learns=True, **checks)
    checked = replace(checked, assumptions=(*checked.assumptions, *_unused(videos)))
    if not any(v.subset == TRAINING and len(v.segments) for v in checked):
        bad = [problem for problem in checked.problems if problem.loss is Loss.SEGMENT]
        stop_on_errors(bad, leaves_something=False)
        raise AnnotationError(
            f"{dataset.path}: no training video holds an instance to learn from. Annotate the "
            "actions of the training videos (segment and label), for example with ELAN or Label "
            "Studio: docs/datasets.md"
        )
    return checked


def _unused(videos: Videos) -> Iterator[str]:
    """A line on the videos of subsets that are neither learned from nor judged on."""
    others = Counter(name for name in videos.subsets if name not in (TRAINING, VALIDATION))
    if others:
        counts = ", ".join(f"{count:,} of subset {name!r}" for name, count in others.items())
        yield f"videos that are not used in training: {counts}"


@dataclass(frozen=True, slots=True)
class _Parts:
    """The two parts of what training reads."""

    training: Samples
    validation: Samples | None

    def fingerprint(self) -> dict[str, str]:
        parts = {TRAINING: self.training, VALIDATION: self.validation}
        return {name: part.fingerprint() for name, part in parts.items() if part is not None}


def _for_dataset(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """Settle what the dataset decides: channels, and how edges are filled."""
    given, channels = config.pipeline, dataset.spec.channels
    if channels is None:
        raise ConfigError(f"{dataset.path}: its channels are not known; use trainable(dataset)")
    edge = dataset.edge if given.rescale.edge == "auto" else given.rescale.edge
    mode = (
        _mode(dataset, (given.tem or TemConfig()).length) if config.mode == "auto" else config.mode
    )
    nms = given.soft_nms
    if mode == "window" and nms == SoftNmsConfig():
        nms = SoftNmsConfig(picks=_WINDOW_PICKS, keep=_WINDOW_PICKS)
    pipeline = msgspec.structs.replace(
        given,
        mode=mode,
        soft_nms=nms,
        tem=msgspec.structs.replace(given.tem or TemConfig(), channels=channels),
        pem=msgspec.structs.replace(given.pem or PemConfig(), inputs=given.bsp.size),
        rescale=msgspec.structs.replace(given.rescale, edge=edge),
    )
    dataset.require_fit(pipeline)
    return msgspec.structs.replace(config, mode=mode, pipeline=pipeline)


def _mode(dataset: Dataset, length: int) -> Literal["rescale", "window"]:
    """Windows where the training videos' median length is above two windows (bsn.md section 11)."""
    snippets = [len(dataset.open(v.id)) for v in dataset if v.subset == TRAINING]
    return "window" if np.median(snippets) > 2 * length else "rescale"


def _split(
    dataset: Dataset, share: float | None, seed: int, report: Report
) -> tuple[Dataset, list[str]]:
    """Set videos apart for validation where that is asked for and none are; also their ids."""
    if VALIDATION in dataset.videos.subsets:
        if share is not None:
            report.say("--validation-split is not needed: the dataset has validation videos")
        return dataset, []
    if share is None:
        report.say(
            "no validation videos: the last epoch is kept, and nothing tells how good the model "
            "is; set some apart: --validation-split 0.1"
        )
        return dataset, []
    _, apart = split_videos(dataset.videos, share, seed)
    report.say(f"{len(apart)} of {len(dataset)} videos are set apart for validation")
    return dataset.select(dataset.videos.with_set_apart(apart, VALIDATION)), sorted(apart)


def _read(dataset: Dataset, config: TrainConfig, report: Report) -> _Parts:
    pipeline = config.pipeline
    edge, length = pipeline.rescale.edge, pipeline.tem.length if pipeline.tem else 0
    assert edge != "auto"  # settled by _for_dataset

    def read(part: str) -> Samples:
        chosen = dataset.select(video for video in dataset if video.subset == part)
        progress = partial(report.progress, f"reading {part}")
        if pipeline.mode == "window":
            every = config.windows if part == TRAINING else None
            return Windows.read(chosen, length, every, progress)
        return WholeVideos.read(chosen, length, edge, progress)

    has_validation = VALIDATION in dataset.videos.subsets
    return _Parts(read(TRAINING), read(VALIDATION) if has_validation else None)


def _train_tems(
    samples: _Parts, config: TrainConfig, seed: int, state: StateFolder, report: Report
) -> tuple[Tem, list[Fit]]:
    """A TEM for each member of the ensemble, merged."""
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
    samples: _Parts, tem: Tem, config: TrainConfig, seed: int, state: StateFolder, report: Report
) -> tuple[Pem, list[Fit]]:
    """A PEM for each member, all on the candidates of the merged TEM; merged."""
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
    """Networks of the seeds `seed`, `seed + 1`, ..., and how each training ended."""
    nets, fits = [], []
    for member in range(count):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + member)
            net = build()
        place = state.of(member)
        fits.append(fit(net, task, optim, seed=seed + member, state=place, report=report))
        nets.append(net)
    return nets, fits


def _candidates(samples: Samples, tem: Net, pipeline: PipelineConfig) -> Candidates:
    scores = score_samples(tem, samples)
    return Candidates.find(samples, scores, pipeline)


def _describe(samples: _Parts) -> dict[str, Any]:
    parts = {TRAINING: samples.training, VALIDATION: samples.validation}
    return {
        name: {
            "videos": len(part.ids),
            "samples": len(part),
            "sha256": part.fingerprint(),
        }
        for name, part in parts.items()
        if part is not None
    }


def _preset_of(config: TrainConfig, dataset: Dataset) -> str:
    """The preset that these settings are, or "custom"."""
    names = [n for n, known in PRESETS.items() if _for_dataset(known, dataset) == config]
    return names[-1] if names else "custom"
