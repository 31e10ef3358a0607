"""Training of the networks of each kind of model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from actspan.config.training import TrainConfig, TrainingName
from actspan.core.progress import Report
from actspan.model.bmn.networks import Bmn
from actspan.model.bsn.networks import Network, Pem, Tem
from actspan.model.nets import Net
from actspan.training.bmn_task import BmnTask
from actspan.training.hardware import Hardware
from actspan.training.joint_task import JointTask, TemAndPem
from actspan.training.loop import Fit, train_members
from actspan.training.memory import return_freed_memory
from actspan.training.merging import merge_members
from actspan.training.parts import TRAINING, VALIDATION
from actspan.training.reduction import Reduction
from actspan.training.samples import Samples
from actspan.training.state import StateFolder
from actspan.training.tasks import Candidates, PemTask, TemTask, standardize

Parts = Mapping[str, Samples]
Fits = dict[TrainingName, list[Fit]]
Trained = tuple[dict[Net, Network], Fits]


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
    """Train TEM and PEM together if TEM has learnt curves, or else one after the other."""
    reduction = Reduction.of(parts[TRAINING], config.tem.components)
    if reduction is not None:
        parts = {name: reduction.project(samples) for name, samples in parts.items()}
    training = parts[TRAINING]

    def build_tem() -> Tem:
        dropouts = {"dropout": config.tem.dropout, "hidden_dropout": config.tem.hidden_dropout}
        if reduction is not None:
            return reduction.build(config.pipeline.tem, **dropouts)
        tem = Tem(config.pipeline.tem, **dropouts)
        if config.tem.standardize:
            standardize(tem, training)
        return tem

    build_pem = partial(Pem, config.pipeline.pem, dropout=config.pem.dropout)
    train = _train_together if config.trains_together else _train_in_turn
    tem, pem, fits = train(parts, config, options, build_tem, build_pem)
    if reduction is not None:
        tem = reduction.merge_into(tem)
    return {"tem": tem, "pem": pem}, fits


def _train_together(
    parts: Parts,
    config: TrainConfig,
    options: dict[str, Any],
    build_tem: Callable[[], Tem],
    build_pem: Callable[[], Pem],
) -> tuple[Tem, Pem, Fits]:
    """Train TEM and PEM in one loop."""
    pipeline = config.pipeline
    task = JointTask(parts[TRAINING], parts.get(VALIDATION), pipeline, config.tem, config.pem)

    def build() -> TemAndPem:
        net = TemAndPem(build_tem(), build_pem())
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter.div_(task.scale(name))
        return net

    members, fits = train_members(build, task, config.tem.optim, config.ensemble, **options)
    tem = merge_members([member.tem for member in members])
    pem = merge_members([member.pem for member in members], curves=pipeline.curves)
    return tem, pem, {"bsn": fits}


def _train_in_turn(
    parts: Parts,
    config: TrainConfig,
    options: dict[str, Any],
    build_tem: Callable[[], Tem],
    build_pem: Callable[[], Pem],
) -> tuple[Tem, Pem, Fits]:
    """Train TEM, then PEM on its candidates."""
    pipeline, count = config.pipeline, config.ensemble
    training, validation = parts[TRAINING], parts.get(VALIDATION)
    task = TemTask(training, validation, config.tem)
    tems, tem_fits = train_members(build_tem, task, config.tem.optim, count, **options)
    tem = merge_members(tems)
    validated = None if validation is None else Candidates(validation, tem, pipeline)
    pem_task = PemTask(Candidates(training, tem, pipeline), validated, config.pem)
    pems, pem_fits = train_members(build_pem, pem_task, config.pem.optim, count, **options)
    return tem, merge_members(pems), {"tem": tem_fits, "pem": pem_fits}


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
    (bmn,), fits = train_members(build, task, config.bmn.optim, 1, **options)
    return {"bmn": bmn}, {"bmn": fits}
