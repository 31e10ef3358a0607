"""A small classifier of proposals, for people who have labels and no classifier of their own.

It learns from the proposals that the bundle itself makes on the training videos, beside the
annotated instances: what overlaps an instance well carries its label, what overlaps none is
background.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from actspan.bundle import Bundle, add_classifier
from actspan.config import ClassifierConfig, ClassifierTrainConfig, to_dict
from actspan.data.dataset import Dataset
from actspan.errors import AnnotationError, BundleError
from actspan.labelling.pooling import PARTS, pool_features
from actspan.nets.classifier import Classifier
from actspan.pipeline import Job, Pipeline
from actspan.segments import tiou_matrix
from actspan.training.report import Report, Silent
from actspan.training.samples import TRAINING, VALIDATION
from actspan.training.state import StateFolder
from actspan.types import Float32, Proposals, Video

_STATE = "classifier"  # file in the state folder
_WARMUP = 0.2  # share of the steps in which the learning rate rises


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Pooled segments and what is in them.

    Attributes
    ----------
    features : (R, inputs) float32
    label : (R,) int64
        Positions in the labels; their number stands for background.
    """

    features: Float32
    label: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)


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

    Videos that the bundle's training set apart are not learned from.

    Parameters
    ----------
    dataset : Dataset
        As `trainable` returns it; its training videos are learnt from, its validation videos tell
        the accuracy that the bundle records.
    bundle : Bundle
        With TEM and PEM.
    config : ClassifierTrainConfig, optional
    seed : int
        Decides initial weights and everything that is drawn.
    proposals : mapping of video id to Proposals, optional
        Of the training videos, in seconds, best first; the bundle makes them unless given.
    state : StateFolder, optional
        Where unfinished work is kept, so that it can be continued.
    report : Report, optional
        Gets progress and messages.

    Returns
    -------
    Bundle
        With the classifier, and its ONNX file where onnx is installed.

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
    bundle = add_classifier(bundle, settings, net.weights(), training=record)
    if importlib.util.find_spec("onnx") is None:
        report.say("onnx is not installed, so there is no classifier.onnx yet")
        return bundle
    from actspan.export.classifier import export_classifier

    exported, _ = export_classifier(bundle)
    return exported


def labels_of(dataset: Dataset) -> tuple[str, ...]:
    """Labels of the training videos, sorted.

    Raises
    ------
    AnnotationError
        There are none.
    """
    chosen = _videos(dataset, TRAINING)
    labels = tuple(sorted({label for video in chosen for label in video.labels}))
    if labels in ((), ("",)):
        raise AnnotationError(
            f"{dataset.path}: the training videos' instances have no labels to learn"
        )
    return labels


def collect(
    dataset: Dataset,
    proposals: Mapping[str, Proposals],
    labels: tuple[str, ...],
    config: ClassifierTrainConfig,
    seed: int,
) -> Examples:
    """Examples of all training videos: instances, and a bounded number of proposals each."""
    code = {label: number for number, label in enumerate(labels)}
    features, targets = [], []
    for number, video in enumerate(_videos(dataset, TRAINING)):
        rng = np.random.default_rng([seed, number])
        found = proposals.get(video.id, Proposals.empty())
        segments, label = _examples_of(video, found, code, config, rng)
        features.append(pool_features(dataset.open(video.id), segments))
        targets.append(label)
    return Examples(np.concatenate(features), np.concatenate(targets))


def _examples_of(
    video: Video,
    proposals: Proposals,
    code: Mapping[str, int],
    config: ClassifierTrainConfig,
    rng: np.random.Generator,
) -> tuple[Proposals, NDArray[np.int64]]:
    """Instances, and proposals drawn from those that clearly are or are not one."""
    start, end = video.segments.T
    own = np.array([code[label] for label in video.labels], np.int64)
    overlap = tiou_matrix(proposals.start, proposals.end, start, end)  # (N, M)
    closeness = overlap.max(axis=1, initial=0.0)
    inside = _draw(closeness >= config.positive_tiou, config.positives, rng)
    outside = _draw(closeness < config.negative_tiou, config.negatives, rng)
    nearest = overlap[inside].argmax(axis=1) if len(inside) else np.empty(0, np.int64)
    chosen = proposals[np.concatenate([inside, outside])]
    segments = Proposals(
        np.concatenate([start, chosen.start]),
        np.concatenate([end, chosen.end]),
        np.ones(len(own) + len(chosen)),
    )
    background = np.full(len(outside), len(code), np.int64)
    return segments, np.concatenate([own, own[nearest], background])


def _draw(mask: NDArray[np.bool_], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    there = np.flatnonzero(mask)
    return there if len(there) <= most else np.sort(rng.choice(there, most, replace=False))


def fit_classifier(
    examples: Examples,
    settings: ClassifierConfig,
    config: ClassifierTrainConfig,
    *,
    seed: int,
    state: StateFolder | None = None,
    report: Report | None = None,
) -> Classifier:
    """Train on examples; a share of every batch is background."""
    report = report or Silent()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Classifier(settings, dropout=config.dropout, context_dropout=config.context_dropout)
        _standardize(net, examples.features)
        _descend(net, examples, config, seed, state, report)
    net.eval()
    return net


def _descend(
    net: Classifier,
    examples: Examples,
    config: ClassifierTrainConfig,
    seed: int,
    state: StateFolder | None,
    report: Report,
) -> None:
    steps = config.steps_for(len(examples))
    features, label = torch.from_numpy(examples.features), torch.from_numpy(examples.label)
    optimizer = torch.optim.AdamW(net.parameters(), config.rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.rate, total_steps=steps, pct_start=_WARMUP
    )
    net.train()
    background = examples.label == len(net.config.labels)
    moving: dict[str, Any] = {"net": net, "optimizer": optimizer, "schedule": schedule}
    done = _restore(moving, state, steps, report)
    batches = islice(_batches(background, config, seed), done, steps)
    for step, rows in enumerate(batches, start=done + 1):
        chosen = torch.from_numpy(rows)
        loss = functional.cross_entropy(net.logits(features[chosen]), label[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps:
            if state is not None:
                parts = {name: part.state_dict() for name, part in moving.items()}
                state.save(_STATE, {**parts, "done": step, "random": torch.get_rng_state()})
            report.progress("training classifier", step, steps, f"loss {loss.item():.4f}")


def _restore(
    moving: Mapping[str, Any], state: StateFolder | None, steps: int, report: Report
) -> int:
    """Take up an unfinished training; the number of steps that are done."""
    found = None if state is None else state.load(_STATE)
    if found is None:
        return 0
    for name, part in moving.items():
        part.load_state_dict(found[name])
    torch.set_rng_state(found["random"])
    done = int(found["done"])
    report.say(f"continuing: classifier: {done} of {steps} steps were done before")
    return done


def _batches(
    background: NDArray[np.bool_], config: ClassifierTrainConfig, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Rows of every step: instances and background in fixed shares, where there is background."""
    rng = np.random.default_rng([seed, 0xC1A5])
    inside, outside = np.flatnonzero(~background), np.flatnonzero(background)
    count = round(config.background_share * config.batch) if len(outside) else 0
    while True:
        drawn = rng.choice(inside, config.batch - count)
        yield np.concatenate([drawn, rng.choice(outside, count)]) if count else drawn


def _standardize(net: Classifier, features: Float32) -> None:
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64)
    telling = deviation > 1e-6 * max(float(deviation.max()), 1e-30)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=telling)
    net.standardize(torch.from_numpy(mean).float(), torch.from_numpy(scale).float())


def _propose(dataset: Dataset, bundle: Bundle, report: Report) -> Iterator[tuple[str, Proposals]]:
    """The bundle's own proposals of the training videos."""
    if not (bundle.has_tem and bundle.has_pem):
        raise BundleError(
            f"{bundle.path}: a classifier learns from proposals, which need a TEM and a PEM; give "
            "proposals that were made elsewhere, or make a bundle of both"
        )
    videos = _videos(dataset, TRAINING)
    jobs = (Job(v.id, partial(dataset.open, v.id, mapped=False)) for v in videos)
    done = 0
    with Pipeline.load(bundle, backend="onnxruntime", edge=dataset.edge) as pipeline:
        for outcome in pipeline.run(jobs):
            if outcome.proposals is not None:
                done += 1
                report.progress("proposing", done, len(videos))
                yield outcome.id, outcome.proposals


def _accuracies(net: Classifier, dataset: Dataset, labels: tuple[str, ...]) -> dict[str, float]:
    """Share of the annotated instances of each part that get their own label."""
    parts = {name: _accuracy(net, dataset, labels, name) for name in (TRAINING, VALIDATION)}
    return {name: share for name, share in parts.items() if share is not None}


@torch.no_grad()
def _accuracy(
    net: Classifier, dataset: Dataset, labels: tuple[str, ...], subset: str
) -> float | None:
    right = total = 0
    for video in _videos(dataset, subset):
        start, end = video.segments.T
        pooled = pool_features(dataset.open(video.id), Proposals(start, end, np.ones(len(start))))
        best = net(torch.from_numpy(pooled))[:, :-1].argmax(dim=1).tolist()
        pairs = zip(best, video.labels, strict=True)
        right += sum(labels[code] == label for code, label in pairs)
        total += len(video.labels)
    return right / total if total else None


def _videos(dataset: Dataset, subset: str) -> list[Video]:
    return [video for video in dataset if video.subset == subset]
