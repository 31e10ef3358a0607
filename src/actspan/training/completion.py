"""Completion of a trained bundle: evaluated in the state folder, then moved to its place."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from actspan import __version__
from actspan.config.training import ClassifierTrainConfig
from actspan.core.errors import ActSpanError, BundleError
from actspan.core.files import replace_folder, sha256
from actspan.core.types import Float64, Video
from actspan.core.wording import listed, quoted
from actspan.data.dataset import Dataset
from actspan.evaluation.baselines import compare_with_guesses, not_beaten
from actspan.model.bundle import Bundle
from actspan.streams.projection import PROJECTION
from actspan.training.parts import propose_videos
from actspan.training.samples import VALIDATION
from actspan.training.state import Report, StateFolder
from actspan.training.train_classifier import train_classifier


def complete(
    bundle: Bundle,
    dataset: Dataset,
    out: Path,
    *,
    classifier: ClassifierTrainConfig | None,
    seed: int,
    state: StateFolder,
    report: Report,
) -> Bundle:
    """Evaluate a bundle of new weights, add its other files, and publish it.

    The bundle is in the state folder. If this is interrupted, `out` does not exist; a new call
    resumes.
    """
    if VALIDATION in dataset.videos.subsets:
        metrics = _evaluate(bundle, dataset, seed, report)
        bundle = bundle if metrics is None else bundle.with_training(judged=metrics)
    bundle = _export(_with_projection(bundle, dataset, out, report), out, report)
    if classifier is not None:
        train_classifier(dataset, bundle, classifier, seed=seed, state=state, report=report)
    try:
        replace_folder(bundle.path, out.resolve())
    except OSError as error:
        raise BundleError(f"{out}: cannot be written: {error.strerror}") from error
    state.finish(out)
    return Bundle.load(out)


def versions() -> dict[str, str]:
    """Return the versions of the packages used in training."""
    return {
        "actspan": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def _evaluate(bundle: Bundle, dataset: Dataset, seed: int, report: Report) -> dict[str, Any] | None:
    """Evaluate proposals on the validation videos; warn if random guesses are as good.

    Returns the numbers of videos and instances, and `figures` as `compare_with_guesses` returns
    them; None, with a report, if the videos cannot be evaluated.
    """
    videos = [
        _with_duration(v, dataset) for v in dataset if v.subset == VALIDATION and len(v.segments)
    ]
    if not videos:
        report.say("the model is not evaluated: no validation video has an instance")
        return None
    segments = np.concatenate([v.segments for v in dataset if v.subset != VALIDATION])
    lengths: Float64 = np.diff(segments, axis=1)[:, 0]
    try:
        proposals = propose_videos(bundle, dataset, videos, "torch", "evaluating", report)
        figures = compare_with_guesses(videos, proposals, lengths, seed=seed)
    except ActSpanError as error:  # must not discard the trained networks
        report.say(f"the model is not evaluated: {error}")
        return None
    if guesses := not_beaten(figures):
        rivals = listed(f"{name} {figures[name]['AUC']:.1f}" for name in guesses)
        report.say(
            f"warning: the model is no better than guessing: AUC {figures['model']['AUC']:.1f} on "
            f"the validation videos, {rivals}; try longer training (--epochs), more hidden units "
            "(--tem-hidden), more training videos or other features"
        )
    instances = sum(len(video.segments) for video in videos)
    return {"videos": len(videos), "instances": instances, "figures": figures}


def _with_duration(video: Video, dataset: Dataset) -> Video:
    """Return the video with the duration of its features, if the annotations give none."""
    if np.isfinite(video.duration):
        return video
    return replace(video, duration=dataset.open(video.id).seconds)


def _with_projection(bundle: Bundle, dataset: Dataset, out: Path, report: Report) -> Bundle:
    """Add the projection of the features, so that the bundle can propose from videos."""
    made = dataset.spec.extraction
    if made is None or made.projection is None:
        return bundle
    path = dataset.path / PROJECTION
    if not path.is_file() or sha256(path) != made.projection:
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
