"""Training of a small proposal classifier, for users with labels but without their own classifier.

It is trained on the annotated instances and on the bundle's own proposals for the training
videos: a proposal that overlaps an instance well gets its label, one that overlaps none is
background.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from actspan.config.base import to_dict
from actspan.config.stages import ClassifierConfig
from actspan.config.training import CLASSIFIER_EPOCH, ClassifierTrainConfig
from actspan.core.errors import ActSpanError, AnnotationError, BundleError
from actspan.core.progress import NoReport, Report
from actspan.core.segments import Proposals
from actspan.core.tiou import tiou_matrix
from actspan.core.types import Float32, Video
from actspan.core.wording import counted
from actspan.data.dataset import Dataset
from actspan.evaluation.detection import evaluate_detection
from actspan.model.bsn.networks import Classifier
from actspan.model.bundle import Bundle
from actspan.pipeline.classifier import ProposalClassifier, pool_features
from actspan.training.loop import Losses, Plan, Training
from actspan.training.parts import (
    TRAINING,
    VALIDATION,
    propose_videos,
    videos_in,
    with_duration,
)
from actspan.training.samples import Bool, Int64
from actspan.training.state import StateFolder
from actspan.training.tasks import inverse_deviation

_FIGURES = ("mAP@0.50", "mAP@0.75", "average_mAP")
_WARMUP = 0.2  # share of the steps in which the learning rate rises


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

    Videos that the bundle's training held out are not trained on. The result has the classifier's
    ONNX file too if onnx is installed.

    Parameters
    ----------
    dataset : Dataset
        Output of `trainable`; the classifier is trained on its training videos. Its validation
        videos give the accuracy that the bundle records.
    bundle : Bundle
        A bundle of any kind of model, with all its networks.
    proposals : mapping of video id to Proposals, optional
        Proposals of the training videos, in seconds, best first; by default the bundle makes them.
    state : StateFolder, optional
        Folder for the state of unfinished training, to resume it.

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
    config, report = config or ClassifierTrainConfig(), report or NoReport()
    dataset = dataset.select(dataset.videos.with_set_apart(bundle.set_apart, VALIDATION))
    labels, videos = labels_of(dataset), videos_in(dataset, TRAINING)
    if unlabelled := sum(not label for video in videos for label in video.labels):
        ignored = counted(unlabelled, "instance")
        report.say(f"note: the classifier ignores {ignored} without a label")
    if proposals is None:
        if bundle.missing_nets:
            nets = " and no ".join(sorted(net.upper() for net in bundle.missing_nets))
            raise BundleError(
                f"{bundle.path}: a classifier learns from the bundle's proposals, but it has no "
                f"{nets} to make them; add it, or give proposals that were made elsewhere"
            )
        proposals = propose_videos(bundle, dataset, videos, "onnxruntime", "proposing", report)
    features, codes = collect_examples(dataset, proposals, labels, config, seed, report)
    settings = ClassifierConfig(
        labels=labels,
        channels=features.shape[1] // (config.parts + 2),
        parts=config.parts,
        hidden=config.hidden,
    )
    with torch.random.fork_rng(devices=[]):
        net = _fit(features, codes, settings, config, seed, state, report)
    record = {
        "seed": seed,
        "examples": len(codes),
        "config": to_dict(config),
        "accuracy": _accuracies(net, dataset, labels),
    }
    bundle = bundle.add_classifier(settings, net.weights(), training=record)
    if importlib.util.find_spec("onnx") is None:
        report.say("onnx is not installed, so there is no classifier.onnx yet")
        return bundle
    from actspan.runtime.export import export_network

    bundle, _ = export_network(bundle, "classifier")
    if figures := _evaluate(bundle, dataset, report):
        bundle = bundle.with_training(classifier={**record, "evaluation": figures})
    return bundle


def collect_examples(
    dataset: Dataset,
    proposals: Mapping[str, Proposals],
    labels: tuple[str, ...],
    config: ClassifierTrainConfig,
    seed: int,
    report: Report | None = None,
) -> tuple[Float32, Int64]:
    """Return examples of all training videos: instances, and a bounded number of proposals each.

    They are pooled segments, (R, inputs), and the positions of their labels, (R,); the number of
    labels stands for background.
    """
    code = {label: number for number, label in enumerate(labels)}
    features, targets, report = [], [], report or NoReport()
    videos = videos_in(dataset, TRAINING)
    for number, video in enumerate(videos):
        rng = np.random.default_rng([seed, number])
        proposed = proposals.get(video.id, Proposals.empty("seconds"))
        segments, label = _examples_of(video, proposed, code, config, rng)
        features.append(pool_features(dataset.open(video.id), segments, config.parts))
        targets.append(label)
        report.progress("reading examples", number + 1, len(videos))
    return np.concatenate(features), np.concatenate(targets)


def _examples_of(
    video: Video,
    proposals: Proposals,
    code: Mapping[str, int],
    config: ClassifierTrainConfig,
    rng: np.random.Generator,
) -> tuple[Proposals, Int64]:
    """Return instances, and proposals drawn from those that clearly match one or none.

    Instances without a label, and proposals that match them, are left out.
    """
    start, end = video.segments.T
    label_codes = np.array([code.get(label, -1) for label in video.labels], np.int64)
    overlap = tiou_matrix(proposals.start, proposals.end, start, end)  # (N, M)
    best = overlap.max(axis=1, initial=0.0)
    inside = _draw(best >= config.positive_tiou, config.positives, rng)
    outside = _draw(best < config.negative_tiou, config.negatives, rng)
    nearest = overlap[inside].argmax(axis=1) if len(inside) else np.empty(0, np.int64)
    chosen = proposals[np.concatenate([inside, outside])]
    segments = Proposals(
        np.concatenate([start, chosen.start]),
        np.concatenate([end, chosen.end]),
        np.ones(len(label_codes) + len(chosen)),
        unit="seconds",
    )
    background = np.full(len(outside), len(code), np.int64)
    label = np.concatenate([label_codes, label_codes[nearest], background])
    return segments[label >= 0], label[label >= 0]


def _draw(mask: Bool, most: int, rng: np.random.Generator) -> Int64:
    rows = np.flatnonzero(mask)
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def labels_of(dataset: Dataset) -> tuple[str, ...]:
    """Return the labels of the training videos, sorted; "" counts as no label.

    Raises AnnotationError if there are none.
    """
    videos = videos_in(dataset, TRAINING)
    labels = {label for video in videos for label in video.labels} - {""}
    if not labels:
        raise AnnotationError(
            f"{dataset.path}: the training videos' instances have no labels to learn"
        )
    return tuple(sorted(labels))


def _fit(
    features: Float32,
    codes: Int64,
    settings: ClassifierConfig,
    config: ClassifierTrainConfig,
    seed: int,
    state: StateFolder | None,
    report: Report,
) -> Classifier:
    """Train on examples; a fixed share of every batch is background."""
    torch.manual_seed(seed)
    net = Classifier(settings, dropout=config.dropout, context_dropout=config.context_dropout)
    scale = inverse_deviation(features.std(axis=0, dtype=np.float64))
    mean = torch.from_numpy(features.mean(axis=0, dtype=np.float64))
    net.standardize(mean.float(), torch.from_numpy(scale).float())
    plan = Plan(config.steps_for(len(codes)), CLASSIFIER_EPOCH)
    optimizer = torch.optim.AdamW(net.parameters(), config.rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.rate, total_steps=plan.steps, pct_start=_WARMUP
    )
    name = "classifier"
    training = Training(name, net, optimizer, plan, report, state, name, schedule=schedule)
    batches = _batches(codes == len(settings.labels), config, seed)
    batches = islice(batches, training.done * CLASSIFIER_EPOCH, None)  # the others are done
    inputs, labels = torch.from_numpy(features), torch.from_numpy(codes)

    def losses(steps: range) -> Losses:
        for rows in map(torch.from_numpy, islice(batches, len(steps))):
            yield {"loss": functional.cross_entropy(net.logits(inputs[rows]), labels[rows])}
            schedule.step()

    for epoch, means in training.epochs(losses):  # the weights of the last one are kept
        report.losses(name, epoch + 1, means["loss"], None)
    return net.eval()


def _batches(
    background: NDArray[np.bool_], config: ClassifierTrainConfig, seed: int
) -> Iterator[Int64]:
    """Yield the rows of every step: instances and background in fixed shares, if both exist."""
    rng = np.random.default_rng([seed, 0xC1A5])
    inside, outside = np.flatnonzero(~background), np.flatnonzero(background)
    count = round(config.background_share * config.batch) if len(outside) else 0
    while True:
        drawn = rng.choice(inside, config.batch - count)
        yield np.concatenate([drawn, rng.choice(outside, count)]) if count else drawn


def _evaluate(bundle: Bundle, dataset: Dataset, report: Report) -> dict[str, float]:
    """Return mAP of the bundle's detections in the validation videos, in percent.

    The result is empty, with a report, if the videos or the bundle's proposals allow none.
    """
    videos = [with_duration(video, dataset) for video in videos_in(dataset, VALIDATION)]
    if bundle.missing_nets or not any(label for video in videos for label in video.labels):
        report.say("detections are not evaluated: that needs labelled validation videos")
        return {}
    try:
        found = propose_videos(bundle, dataset, videos, "onnxruntime", "evaluating labels", report)
        with ProposalClassifier.open(bundle) as classifier:
            detections = {
                name: classifier.detect(dataset.open(name), proposals)
                for name, proposals in found.items()
            }
        summary = evaluate_detection(videos, detections).summary()
    except ActSpanError as error:  # must not discard the trained networks
        report.say(f"detections are not evaluated: {error}")
        return {}
    return {name: summary[name] for name in _FIGURES}


@torch.no_grad()
def _accuracies(net: Classifier, dataset: Dataset, labels: tuple[str, ...]) -> dict[str, float]:
    """Return the share of instances of each part whose predicted label is right."""
    shares = {}
    for subset in (TRAINING, VALIDATION):
        right = total = 0
        for video in videos_in(dataset, subset):
            start, end = video.segments.T
            segments = Proposals(start, end, np.ones(len(start)), unit="seconds")
            pooled = pool_features(dataset.open(video.id), segments, net.config.parts)
            best = net(torch.from_numpy(pooled))[:, :-1].argmax(dim=1).tolist()
            pairs = zip(best, video.labels, strict=True)
            right += sum(labels[code] == label for code, label in pairs)
            total += sum(map(bool, video.labels))
        if total:
            shares[subset] = right / total
    return shares
