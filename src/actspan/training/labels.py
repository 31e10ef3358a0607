"""A small proposal classifier, for users with labels but without a classifier of their own.

It is trained on the annotated instances and on the bundle's own proposals for the training
videos: a proposal that overlaps an instance well gets its label, one that overlaps none is
background.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import torch

from actspan.config.base import to_dict
from actspan.config.stages import ClassifierConfig
from actspan.config.training import ClassifierTrainConfig
from actspan.core.errors import BundleError
from actspan.core.types import Proposals
from actspan.core.wording import counted
from actspan.data.dataset import Dataset
from actspan.model.bsn.networks import Classifier
from actspan.model.bundle import Bundle
from actspan.pipeline.classifier import PARTS, pool_features
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import VideoInput
from actspan.training.examples import collect, labels_of, videos_of
from actspan.training.fit_classifier import fit_classifier
from actspan.training.report import Report, Silent
from actspan.training.samples import TRAINING, VALIDATION
from actspan.training.state import StateFolder


def train_classifier(
    dataset: Dataset,
    bundle: Bundle,
    config: ClassifierTrainConfig | None = None,
    *,
    seed: int = 0,
    proposals: Mapping[str, Proposals] | None = None,
    state: StateFolder | None = None,
    report: Report | None = None,
) -> Bundle:
    """Train a proposal classifier and put it into the bundle.

    Videos that the bundle's training set apart are not trained on.

    Parameters
    ----------
    dataset : Dataset
        Output of `trainable`; the classifier is trained on its training videos. Its validation
        videos give the accuracy that the bundle records.
    bundle : Bundle
        A bundle with TEM and PEM.
    config : ClassifierTrainConfig, optional
    seed : int
        Seed of the initial weights and all random choices.
    proposals : mapping of video id to Proposals, optional
        Proposals of the training videos, in seconds, best first; by default the bundle makes them.
    state : StateFolder, optional
        Folder for the state of unfinished training, to resume it.
    report : Report, optional
        Receives progress and messages.

    Returns
    -------
    Bundle
        The bundle with the classifier, and with its ONNX file if onnx is installed.

    Raises
    ------
    AnnotationError
        The instances have no labels.
    BundleError
        The bundle cannot make proposals, or cannot be written.

    Examples
    --------
    >>> dataset = trainable(Dataset.load("my-videos"))  # doctest: +SKIP
    >>> train_classifier(dataset, Bundle.load("my-model")).config.classifier.labels
    ... # doctest: +SKIP
    ('jump', 'run')
    """
    config, report = config or ClassifierTrainConfig(), report or Silent()
    dataset = dataset.select(dataset.videos.with_set_apart(bundle.set_apart, VALIDATION))
    labels = labels_of(dataset)
    if bare := sum(not label for video in videos_of(dataset, TRAINING) for label in video.labels):
        report.say(f"note: the classifier ignores {counted(bare, 'instance')} without a label")
    if proposals is None:
        proposals = dict(_propose(dataset, bundle, report))
    training = collect(dataset, proposals, labels, config, seed)
    channels = training.features.shape[1] // PARTS
    settings = ClassifierConfig(labels=labels, channels=channels, hidden=config.hidden)
    net = fit_classifier(training, settings, config, seed=seed, state=state, report=report)
    record = {
        "seed": seed,
        "examples": len(training),
        "config": to_dict(config),
        "accuracy": _accuracies(net, dataset, labels),
    }
    bundle = bundle.add_classifier(settings, net.weights(), training=record)
    if importlib.util.find_spec("onnx") is None:
        report.say("onnx is not installed, so there is no classifier.onnx yet")
        return bundle
    from actspan.runtime.export import export_network

    exported, _ = export_network(bundle, "classifier")
    return exported


def _propose(dataset: Dataset, bundle: Bundle, report: Report) -> Iterator[tuple[str, Proposals]]:
    """Yield the bundle's own proposals for the training videos."""
    if not (bundle.has_tem and bundle.has_pem):
        raise BundleError(
            f"{bundle.path}: a classifier learns from proposals, which need a TEM and a PEM; give "
            "proposals that were made elsewhere, or make a bundle of both"
        )
    videos = videos_of(dataset, TRAINING)
    jobs = (VideoInput(v.id, partial(dataset.open, v.id, mapped=False)) for v in videos)
    done = 0
    with Pipeline.load(bundle, backend="onnxruntime", edge=dataset.edge) as pipeline:
        for outcome in pipeline.run(jobs):
            if outcome.proposals is not None:
                done += 1
                report.progress("proposing", done, len(videos))
                yield outcome.id, outcome.proposals


def _accuracies(net: Classifier, dataset: Dataset, labels: tuple[str, ...]) -> dict[str, float]:
    """Return the share of instances of each part whose predicted label is right."""
    parts = {name: _accuracy(net, dataset, labels, name) for name in (TRAINING, VALIDATION)}
    return {name: share for name, share in parts.items() if share is not None}


@torch.no_grad()
def _accuracy(
    net: Classifier, dataset: Dataset, labels: tuple[str, ...], subset: str
) -> float | None:
    right = total = 0
    for video in videos_of(dataset, subset):
        start, end = video.segments.T
        pooled = pool_features(dataset.open(video.id), Proposals(start, end, np.ones(len(start))))
        best = net(torch.from_numpy(pooled))[:, :-1].argmax(dim=1).tolist()
        pairs = zip(best, video.labels, strict=True)
        right += sum(labels[code] == label for code, label in pairs)
        total += sum(map(bool, video.labels))
    return right / total if total else None
