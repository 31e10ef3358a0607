"""The training loop: steps, epochs, the best epoch, and resuming after an interruption.

All random choices depend only on the seed and the epoch, and the learning rate on the step, so
an interrupted training ends with the same weights as an uninterrupted one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actspan.config.training import OptimConfig
from actspan.model.bsn.networks import Network
from actspan.training.state import Report, StateFolder
from actspan.training.tasks import Task

_WARMUP_FROM = 0.04  # "one-cycle" starts at this share of the peak rate


@dataclass(frozen=True, slots=True)
class Fit:
    """Result of a training: its chosen epoch, from 1, and the losses of that epoch.

    `validation` is None without a validation set; `epochs` and `steps` are total numbers.
    """

    epoch: int
    epochs: int
    steps: int
    training: float
    validation: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps and epochs of a training; every epoch has the same whole number of steps."""

    batches: int  # per pass over the training videos
    epochs: int
    epoch_steps: int

    @classmethod
    def of(cls, optim: OptimConfig, videos: int) -> Plan:
        """Plan at least the requested passes and steps, in equal epochs."""
        batches = math.ceil(videos / optim.batch)
        total = max(optim.passes * batches, optim.steps)
        return cls(batches, optim.epochs, math.ceil(total / optim.epochs))

    @property
    def steps(self) -> int:
        """Total number of steps."""
        return self.epochs * self.epoch_steps


def learning_rate(optim: OptimConfig, plan: Plan, step: int) -> float:
    """Return the learning rate of one step, counted from 0."""
    if optim.schedule == "step":
        drops: int = step // plan.epoch_steps // optim.decay_epochs
        return float(optim.rate * optim.decay_factor**drops)
    rise = optim.warmup * plan.steps
    if step < rise:
        share = _WARMUP_FROM + (1 - _WARMUP_FROM) * (1 - math.cos(math.pi * step / rise)) / 2
    else:
        share = (1 + math.cos(math.pi * (step - rise) / (plan.steps - rise))) / 2
    return optim.rate * share


def descend(
    optimizer: torch.optim.Optimizer,
    losses: Iterable[Mapping[str, Tensor]],
    after_step: Callable[[int, float], None],
) -> dict[str, float]:
    """Make a step for the losses of each batch, and return the mean of every loss.

    `after_step` is called with the number of steps and the mean of `loss` so far.
    """
    sums: dict[str, float] = {}
    steps = 0
    for steps, batch in enumerate(losses, start=1):
        optimizer.zero_grad()
        batch["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        for name, value in batch.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        after_step(steps, sums["loss"] / steps)
    return {name: value / steps for name, value in sums.items()}


def fit(
    net: Network, task: Task, optim: OptimConfig, *, seed: int, state: StateFolder, report: Report
) -> Fit:
    """Train `net` in place, and load the weights of the best epoch.

    The best epoch is the one with the lowest loss over the whole validation set, or the last one
    without such a set.
    """
    plan = Plan.of(optim, task.videos)
    average = copy.deepcopy(net) if optim.average else None
    validated = net if average is None else average  # also the network that is kept
    kind = torch.optim.AdamW if optim.method == "adamw" else torch.optim.Adam
    optimizer = kind(net.parameters(), optim.rate, weight_decay=optim.weight_decay)
    parts: dict[str, Any] = {"net": net, "optimizer": optimizer}
    if average is not None:
        parts["average"] = average
    title = task.name.upper() + (f" {state.member + 1}" if state.member else "")
    best: dict[str, Any] = {}
    done = 0
    if (saved := state.load(task.name, parts)) is not None:
        done, best = saved["done"], saved["best"]
        report.say(f"continuing: {title}: {done} of {plan.epochs} epochs were already done")
    with closing(state.open_logs(task.name, done)) as logs:
        for epoch in range(done, plan.epochs):
            note = f"epoch {epoch + 1}/{plan.epochs}, loss {{:.4f}}{_best_note(best)}"

            def after_step(step: int, loss: float, epoch: int = epoch, note: str = note) -> None:
                step += epoch * plan.epoch_steps
                _update_average(average, net, optim, step)
                report.progress(f"training {title}", step, plan.steps, note.format(loss))

            with torch.random.fork_rng(devices=[]):
                losses = _losses(net, task, optim, plan, seed, epoch, optimizer)
                net.train()
                means = descend(optimizer, losses, after_step)
            validated.eval()
            with torch.no_grad():
                validation = task.validate(validated)
            if validation is None or not best or validation < best["validation"]:
                weights = {k: v.clone() for k, v in validated.state_dict().items()}
                best = {"epoch": epoch + 1, "training": means["loss"], "validation": validation}
                best["weights"] = weights
            _log(logs, epoch + 1, means, validation, optimizer.param_groups[0]["lr"])
            state.save(task.name, parts, done=epoch + 1, best=best)
    net.load_state_dict(best.pop("weights"))
    net.eval()
    return Fit(epochs=plan.epochs, steps=plan.steps, **best)


def _losses(
    net: Network,
    task: Task,
    optim: OptimConfig,
    plan: Plan,
    seed: int,
    epoch: int,
    optimizer: torch.optim.Optimizer,
) -> Iterator[dict[str, Tensor]]:
    """Yield the losses of the batches of an epoch; passes continue across epochs."""
    torch.manual_seed(_mix(seed, task.name, 1, epoch))
    draw = torch.Generator().manual_seed(_mix(seed, task.name, 2, epoch))
    order, current = np.empty(0, dtype=np.int64), -1
    for step in range(epoch * plan.epoch_steps, (epoch + 1) * plan.epoch_steps):
        turn, batch = divmod(step, plan.batches)
        if turn != current:
            rng = np.random.default_rng(_mix(seed, task.name, 0, turn))
            order, current = rng.permutation(task.videos), turn
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(optim, plan, step)
        yield task.losses(net, order[batch * optim.batch : (batch + 1) * optim.batch], draw)


@torch.no_grad()
def _update_average(average: Network | None, net: Network, optim: OptimConfig, step: int) -> None:
    """Update the running average of the weights after `step` steps."""
    if average is None:
        return
    decay = min(optim.average, step / (step + 9))  # a short memory at the start
    for mean, current in zip(average.parameters(), net.parameters(), strict=True):
        mean.lerp_(current, 1 - decay)


def _best_note(best: Mapping[str, Any]) -> str:
    if not best or best["validation"] is None:
        return ""
    return f", best validation {best['validation']:.4f} ({best['epoch']})"


def _log(
    logs: Any, epoch: int, losses: Mapping[str, float], validation: float | None, rate: float
) -> None:
    values = {f"training/{name}": value for name, value in losses.items()}
    if validation is not None:
        values["validation/loss"] = validation
    for name, value in (values | {"rate": rate}).items():
        logs.add_scalar(name, value, epoch)
    logs.flush()


def _mix(seed: int, name: str, use: int, index: int) -> int:
    """Derive a separate seed for every network, use and epoch."""
    entropy = [seed, *name.encode(), use, index]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
