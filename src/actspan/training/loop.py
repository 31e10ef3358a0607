"""Training of one network: steps, epochs, the best epoch, and resuming after an interruption.

All random choices depend only on the seed and the epoch, and the learning rate on the step, so
an interrupted training ends with the same weights as an uninterrupted one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actspan.config.training import OptimConfig
from actspan.model.bsn.networks import Network
from actspan.model.weights import Net
from actspan.training.report import Logs, Report
from actspan.training.state import StateFolder

_WARMUP_FROM = 0.04  # "one-cycle" starts at this share of the peak rate


class Task(Protocol):
    """A network's training data and loss."""

    name: Net
    videos: int  # number of videos to draw batches from

    def losses(
        self, net: Network, videos: NDArray[np.int64], draw: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch, scalars; `loss` is minimised."""

    def validate(self, net: Network) -> float | None:
        """Compute the loss over the whole validation set; None if there is no such set."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Result of a training.

    Attributes
    ----------
    epoch : int
        The chosen epoch, from 1.
    epochs, steps : int
        Total numbers.
    training, validation : float
        Losses of the chosen epoch; None without a validation set.
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


def fit(
    net: Network, task: Task, optim: OptimConfig, *, seed: int, state: StateFolder, report: Report
) -> Fit:
    """Train `net` in place, and load the weights of the best epoch.

    The best epoch is the one with the lowest loss over the whole validation set, or the last one
    without such a set.
    """
    return _Fitting(net, task, optim, seed, state, report).run()


class _Fitting:
    """State of one `fit`."""

    def __init__(
        self,
        net: Network,
        task: Task,
        optim: OptimConfig,
        seed: int,
        state: StateFolder,
        report: Report,
    ) -> None:
        self.net, self.task, self.optim, self.seed = net, task, optim, seed
        self.state, self.report = state, report
        self.plan = Plan.of(optim, task.videos)
        self.average = copy.deepcopy(net) if optim.average else None
        kind = torch.optim.AdamW if optim.method == "adamw" else torch.optim.Adam
        self.optimizer = kind(net.parameters(), optim.rate, weight_decay=optim.weight_decay)
        self.done = 0  # number of finished epochs
        self.best: dict[str, Any] | None = None

    @property
    def judged(self) -> Network:
        """Network that is validated and kept: the running average if there is one."""
        return self.net if self.average is None else self.average

    def run(self) -> Fit:
        self._restore()
        logs = Logs(self.state.logs / self.state.part(self.task.name), self.done)
        try:
            while self.done < self.plan.epochs:
                with torch.random.fork_rng(devices=[]):
                    losses = self._epoch()
                self._judge(losses, logs)
                self.state.save(self.task.name, self._snapshot())
        finally:
            logs.close()
        assert self.best is not None  # There is at least one epoch.
        self.net.load_state_dict(self.best["weights"])
        self.net.eval()
        return Fit(
            epoch=self.best["epoch"],
            epochs=self.plan.epochs,
            steps=self.plan.steps,
            training=self.best["training"],
            validation=self.best["validation"],
        )

    def _epoch(self) -> dict[str, float]:
        """Train one epoch; return the mean of every loss."""
        torch.manual_seed(_mix(self.seed, self.task.name, 1, self.done))
        draw = torch.Generator().manual_seed(_mix(self.seed, self.task.name, 2, self.done))
        first = self.done * self.plan.epoch_steps
        sums: dict[str, float] = {}
        self.net.train()
        for step, videos in enumerate(self._batches(first), start=first):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.optim, self.plan, step)
            losses = self.task.losses(self.net, videos, draw)
            self.optimizer.zero_grad()
            losses["loss"].backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self._update_average(step)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.item()
            self._tell(step + 1, sums["loss"] / (step + 1 - first))
        return {name: value / self.plan.epoch_steps for name, value in sums.items()}

    def _batches(self, first: int) -> Iterator[NDArray[np.int64]]:
        """Yield the batches of an epoch from step `first` on; passes continue across epochs."""
        order, current = np.empty(0, dtype=np.int64), -1
        for step in range(first, first + self.plan.epoch_steps):
            turn, batch = divmod(step, self.plan.batches)
            if turn != current:
                mixed = np.random.default_rng(_mix(self.seed, self.task.name, 0, turn))
                order, current = mixed.permutation(self.task.videos), turn
            yield order[batch * self.optim.batch : (batch + 1) * self.optim.batch]

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        if self.average is None:
            return
        decay = min(self.optim.average, (step + 1) / (step + 10))  # a short memory at the start
        pairs = zip(self.average.parameters(), self.net.parameters(), strict=True)
        for mean, current in pairs:
            mean.lerp_(current, 1 - decay)

    def _judge(self, losses: Mapping[str, float], logs: Logs) -> None:
        self.judged.eval()
        with torch.no_grad():
            validation = self.task.validate(self.judged)
        self.done += 1
        if validation is None or self.best is None or validation < self.best["validation"]:
            weights = {k: v.clone() for k, v in self.judged.state_dict().items()}
            self.best = {
                "epoch": self.done,
                "training": losses["loss"],
                "validation": validation,
                "weights": weights,
            }
        figures = {f"training/{name}": value for name, value in losses.items()}
        if validation is not None:
            figures["validation/loss"] = validation
        figures["rate"] = self.optimizer.param_groups[0]["lr"]
        logs.write(self.done, figures)

    def _tell(self, step: int, loss: float) -> None:
        note = f"epoch {self.done + 1}/{self.plan.epochs}, loss {loss:.4f}"
        if self.best is not None and self.best["validation"] is not None:
            note += f", best validation {self.best['validation']:.4f} ({self.best['epoch']})"
        self.report.progress(f"training {self._title}", step, self.plan.steps, note)

    @property
    def _title(self) -> str:
        member = f" {self.state.member + 1}" if self.state.member else ""
        return self.task.name.upper() + member

    def _snapshot(self) -> dict[str, Any]:
        return {
            "done": self.done,
            "net": self.net.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }

    def _restore(self) -> None:
        found = self.state.load(self.task.name)
        if found is None:
            return
        self.done, self.best = found["done"], found["best"]
        self.net.load_state_dict(found["net"])
        self.optimizer.load_state_dict(found["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(found["average"])
        what = f"{self._title}: {self.done} of {self.plan.epochs} epochs"
        self.report.say(f"continuing: {what} were done before")


def _mix(seed: int, name: str, use: int, index: int) -> int:
    """Derive a separate seed for every network, use and epoch."""
    entropy = [seed, *name.encode(), use, index]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
