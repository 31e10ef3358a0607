"""Training of a bundle from a dataset.

The bundle is made and evaluated in the state folder, then moved to its place. After an interruption
the place is empty, and a new call resumes.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from actspan import __version__
from actspan.config.base import to_dict
from actspan.config.training import PRESETS, ClassifierTrainConfig, TrainConfig
from actspan.core.errors import ActSpanError, BundleError, ConfigError
from actspan.core.files import sha256
from actspan.core.folders import locked_folder, replace_folder
from actspan.core.progress import NoReport, Report
from actspan.core.types import Float64
from actspan.core.wording import listed, quoted
from actspan.data.dataset import Dataset
from actspan.evaluation.baselines import compare_with_guesses, not_beaten
from actspan.model import LABEL_FREE
from actspan.model.bundle import Bundle
from actspan.model.manifest import Source, check_new_bundle
from actspan.streams.feature_files import PROJECTION
from actspan.training.hardware import Hardware
from actspan.training.networks import train_networks
from actspan.training.parts import (
    VALIDATION,
    for_dataset,
    preset_of,
    propose_videos,
    read_parts,
    set_apart,
    videos_in,
    with_duration,
)
from actspan.training.samples import fingerprint
from actspan.training.state import StateFolder
from actspan.training.train_classifier import labels_of, train_classifier


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
    hardware: Hardware | None = None,
    report: Report | None = None,
) -> Bundle:
    """Train the networks of a model and write them as a bundle.

    The state of each epoch is saved in the folder `OUT.training`. After an interruption, a call
    with the same settings and data resumes there and ends with the same weights (on the same
    machine, with the same number of threads). It may resume on another device.

    Parameters
    ----------
    dataset : Dataset
        Output of `trainable`: its training videos are trained on, its validation videos measure
        the model, and choose the epoch if the settings select the best one.
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
        If the dataset has no validation videos: the share of the training videos to hold out.
    restart, overwrite : bool
        Discard an unfinished training; replace an existing bundle.
    hardware : Hardware, optional
        Device and precision; by default a GPU if PyTorch sees one, or else the CPU. Of several
        processes, the first one writes and reports.

    Returns
    -------
    Bundle
        The trained bundle, with ONNX files if onnx is installed. `training` has AR@AN and AUC
        on the validation videos, those of random guesses, and the ids of the videos that
        `validation_split` held out.

    Raises
    ------
    ConfigError
        Settings are out of range, or an unfinished training with other settings exists.
    AnnotationError
        There are no instances to train on, or no labels for a classifier.
    BundleError
        `out` already exists.
    DataError
        Another process trains the bundle.

    Examples
    --------
    >>> bundle = train(trainable(Dataset.load("my-videos")), "my-model")  # doctest: +SKIP
    """
    hardware = hardware or Hardware.find()
    lock = locked_folder(Path(out)) if hardware.is_first else nullcontext()
    with lock, hardware.opened():
        return _train(
            dataset,
            Path(out),
            config or PRESETS["default"],
            classifier,
            seed=seed,
            validation_split=validation_split,
            restart=restart,
            overwrite=overwrite,
            hardware=hardware,
            report=(report if hardware.is_first else None) or NoReport(),
        )


def _train(
    dataset: Dataset,
    out: Path,
    requested: TrainConfig,
    classifier: ClassifierTrainConfig | None,
    *,
    seed: int,
    validation_split: float | None,
    restart: bool,
    overwrite: bool,
    hardware: Hardware,
    report: Report,
) -> Bundle:
    config = for_dataset(requested, dataset)
    if requested.mode == "auto" and config.mode == "window":
        report.say("long recordings: trained on windows, each half a window after the last one")
    if seed < 0:
        raise ConfigError(f"seed {seed} must not be negative")
    check_new_bundle(out, overwrite=overwrite)
    dataset, apart = set_apart(dataset, validation_split, seed, report)
    parts = read_parts(dataset, config, report)
    data = {
        name: {"videos": len(part.ids), "samples": len(part), "sha256": fingerprint(part)}
        for name, part in parts.items()
    }
    versions = {
        "actspan": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }
    settings = {
        "config": to_dict(config),
        "seed": seed,
        "precision": hardware.precision,
        "data": {name: facts["sha256"] for name, facts in data.items()},
        "versions": versions,
    }
    if classifier is not None:
        settings["classifier"] = {"config": to_dict(classifier), "labels": labels_of(dataset)}
    if hardware.description != "cpu":
        report.say(f"training on {hardware.description}, {hardware.precision}")
    state = _open_state(out, settings, hardware, restart=restart)
    options: Any = {"state": state, "report": report, "hardware": hardware}
    nets, fits = train_networks(parts, config, seed=seed, **options)
    if not hardware.is_first:
        hardware.wait()
        return Bundle.load(out)
    pipeline = msgspec.structs.replace(
        config.pipeline, **{name: net.config for name, net in nets.items()}
    )
    bundle = Bundle.create(
        state.path / "bundle",
        config=pipeline,
        features=dataset.spec,
        source=Source(note=f"trained on {dataset.path.resolve().name}"),
        weights={name: net.weights() for name, net in nets.items()},
        training={
            "preset": preset_of(config, dataset),
            "seed": seed,
            "device": hardware.description,
            "precision": hardware.precision,
            "data": data,
            "versions": versions,
            "config": {net: to_dict(getattr(config, net)) for net in config.nets},
            **{name: list(map(to_dict, results)) for name, results in fits.items()},
            **({"set_apart": apart} if apart else {}),
        },
        overwrite=True,
    )
    if VALIDATION in parts:
        metrics = _evaluate(bundle, dataset, seed, report)
        bundle = bundle if metrics is None else bundle.with_training(evaluation=metrics)
    bundle = _export(_with_projection(bundle, dataset, out, report), out, report)
    if classifier is not None:
        train_classifier(dataset, bundle, classifier, seed=seed, state=state, report=report)
    state.copy_logs(bundle.path)
    try:
        replace_folder(bundle.path, out.resolve())
    except OSError as error:
        raise BundleError(f"{out}: cannot be written: {error.strerror}") from error
    state.remove()
    hardware.wait()
    return Bundle.load(out)


def _open_state(
    out: Path, settings: dict[str, Any], hardware: Hardware, *, restart: bool
) -> StateFolder:
    """Open the state in the first process, which creates it, and then in the others."""
    if not hardware.is_first:
        hardware.wait()
    options = {"restart": restart, "writes": hardware.is_first}
    state = StateFolder.open(out, settings, **options)
    if hardware.is_first:
        hardware.wait()
    return state


def _evaluate(bundle: Bundle, dataset: Dataset, seed: int, report: Report) -> dict[str, Any] | None:
    """Evaluate proposals on the validation videos; warn if random guesses are as good.

    Returns the numbers of videos and instances, and `figures` as `compare_with_guesses` returns
    them; None, with a report, if the videos cannot be evaluated.
    """
    videos = videos_in(dataset, VALIDATION)
    videos = [with_duration(video, dataset) for video in videos if len(video.segments)]
    if not videos:
        report.say("the model is not evaluated: no validation video has an instance")
        return None
    segments = np.concatenate([v.segments for v in dataset if v.subset != VALIDATION])
    lengths: Float64 = np.diff(segments, axis=1)[:, 0]
    try:
        found, without_labels = (
            propose_videos(model, dataset, videos, "torch", "evaluating", report)
            for model in (bundle, Bundle.load(LABEL_FREE))
        )
        figures = compare_with_guesses(videos, found, without_labels, lengths, seed=seed)
    except ActSpanError as error:  # must not discard the trained networks
        report.say(f"the model is not evaluated: {error}")
        return None
    if guesses := not_beaten(figures):
        rivals = listed(f"{name} {figures[name]['AUC']:.1f}" for name in guesses)
        auc = figures["model"]["AUC"]
        wider = "more hidden units (--tem-hidden), " if bundle.config.bmn is None else ""
        report.say(
            f"warning: the model is no better than what needs no model: AUC {auc:.1f} on the "
            f"validation videos, {rivals}; try longer training (--epochs), {wider}more training "
            "videos or other features"
        )
    instances = sum(len(video.segments) for video in videos)
    return {"videos": len(videos), "instances": instances, "figures": figures}


def _with_projection(bundle: Bundle, dataset: Dataset, out: Path, report: Report) -> Bundle:
    """Add the projection of the features, so that the bundle can propose from videos."""
    extraction = dataset.spec.extraction
    if extraction is None or extraction.projection is None:
        return bundle
    path = dataset.path / PROJECTION
    if not path.is_file() or sha256(path) != extraction.projection:
        report.say(
            f"no {PROJECTION} of these features in {dataset.path}: copy it to {out}, to propose "
            "from videos"
        )
        return bundle
    return bundle.add_file(PROJECTION, partial(shutil.copyfile, path))


def _export(bundle: Bundle, out: Path, report: Report) -> Bundle:
    """Add the ONNX files, so that the bundle runs without an export."""
    if importlib.util.find_spec("onnx") is None:
        report.say(
            f"onnx is not installed, so there are no ONNX files: actspan export {quoted(out)}"
        )
        return bundle
    from actspan.runtime.export import export_bundle

    exported, _ = export_bundle(bundle)
    return exported
