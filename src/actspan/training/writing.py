"""Completion of a trained bundle: finished in the state folder, then moved to its place."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import torch

from actspan import __version__
from actspan.config.training import ClassifierTrainConfig
from actspan.core.errors import BundleError
from actspan.core.files import replace_folder, sha256
from actspan.core.wording import quoted
from actspan.data.dataset import Dataset
from actspan.model.bundle import Bundle
from actspan.streams.projection import PROJECTION
from actspan.training.judging import judge
from actspan.training.labels import train_classifier
from actspan.training.report import Report
from actspan.training.samples import VALIDATION
from actspan.training.state import StateFolder


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

    If it is interrupted, `out` does not exist; a new call resumes.

    Parameters
    ----------
    bundle : Bundle
        The bundle in the state folder.
    out : Path
        Final path.
    """
    validation = [video.id for video in dataset if video.subset == VALIDATION]
    if validation:
        judged = judge(bundle, dataset, validation, seed=seed, report=report)
        bundle = bundle if judged is None else bundle.with_training(judged=judged)
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
