"""Training of a proposal classifier on examples, resumable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from actspan.config.stages import ClassifierConfig
from actspan.config.training import ClassifierTrainConfig
from actspan.core.types import Float32
from actspan.model.bsn.networks import Classifier
from actspan.training.examples import Examples
from actspan.training.report import Report, Silent
from actspan.training.state import StateFolder

_STATE = "classifier"  # file in the state folder
_WARMUP = 0.2  # share of the steps in which the learning rate rises


def fit_classifier(
    examples: Examples,
    settings: ClassifierConfig,
    config: ClassifierTrainConfig,
    *,
    seed: int,
    state: StateFolder | None = None,
    report: Report | None = None,
) -> Classifier:
    """Train on examples; a fixed share of every batch is background."""
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
    """Load an unfinished training, and return the number of finished steps."""
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
    """Yield the rows of every step: instances and background in fixed shares, if both exist."""
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
