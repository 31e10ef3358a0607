"""Training of the networks of each kind of model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from actspan.config.training import TrainConfig
from actspan.core.progress import Report
from actspan.model.bmn.networks import Bmn
from actspan.model.bsn.networks import Network, Pem, Tem
from actspan.model.nets import Net
from actspan.training.bmn_task import BmnTask
from actspan.training.hardware import Hardware
from actspan.training.loop import Fit, train_ensemble
from actspan.training.memory import return_freed_memory
from actspan.training.parts import TRAINING, VALIDATION
from actspan.training.reduction import Reduction
from actspan.training.samples import Samples
from actspan.training.state import StateFolder
from actspan.training.tasks import Candidates, PemTask, TemTask, standardize

Parts = Mapping[str, Samples]
Trained = tuple[dict[Net, Network], dict[Net, list[Fit]]]


def train_networks(
    parts: Parts,
    config: TrainConfig,
    *,
    seed: int,
    state: StateFolder,
    report: Report,
    hardware: Hardware,
) -> Trained:
    """Train the networks of the model's kind; return them, and the results of their members."""
    train = _train_bsn if config.pipeline.bmn is None else _train_bmn
    options = {"seed": seed, "state": state, "report": report, "hardware": hardware}
    return train(parts, config, options)


def _train_bsn(parts: Parts, config: TrainConfig, options: dict[str, Any]) -> Trained:
    """Train TEM, then PEM on its candidates."""
    pipeline, count = config.pipeline, config.ensemble
    reduction = Reduction.of(parts[TRAINING], config.tem.components)
    if reduction is not None:
        parts = {name: reduction.project(samples) for name, samples in parts.items()}
    training, validation = parts[TRAINING], parts.get(VALIDATION)

    def build_tem() -> Tem:
        dropouts = {"dropout": config.tem.dropout, "hidden_dropout": config.tem.hidden_dropout}
        if reduction is not None:
            return reduction.build(pipeline.tem, **dropouts)
        tem = Tem(pipeline.tem, **dropouts)
        if config.tem.standardize:
            standardize(tem, training)
        return tem

    tem_task = TemTask(training, validation, config.tem)
    tem, tem_fits = train_ensemble(build_tem, tem_task, config.tem.optim, count, **options)
    validated = None if validation is None else Candidates(validation, tem, pipeline)
    pem_task = PemTask(Candidates(training, tem, pipeline), validated, config.pem)
    build_pem = partial(Pem, pipeline.pem, dropout=config.pem.dropout)
    pem, pem_fits = train_ensemble(build_pem, pem_task, config.pem.optim, count, **options)
    if reduction is not None:
        tem = reduction.merge_into(tem)
    return {"tem": tem, "pem": pem}, {"tem": tem_fits, "pem": pem_fits}


def _train_bmn(parts: Parts, config: TrainConfig, options: dict[str, Any]) -> Trained:
    """Train BMN."""
    return_freed_memory()
    training, network = parts[TRAINING], config.pipeline.bmn
    assert network is not None

    def build() -> Bmn:
        bmn = Bmn(network, dropout=config.bmn.dropout)
        if config.bmn.standardize:
            standardize(bmn, training)
        return bmn

    task = BmnTask(training, parts.get(VALIDATION), network, config.bmn)
    bmn, fits = train_ensemble(build, task, config.bmn.optim, 1, **options)
    return {"bmn": bmn}, {"bmn": fits}
