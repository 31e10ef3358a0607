"""Training of networks: steps, epochs, the best epoch, and ensembles.

All random choices depend only on the seed and the epoch, and the learning rate on the step, so
an interrupted training ends with the same weights as an uninterrupted one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from actspan.config.training import OptimConfig
from actspan.core.progress import Report
from actspan.training.hardware import Hardware, Replica
from actspan.training.state import StateFolder
from actspan.training.tasks import Task

_WARMUP_FROM = 0.04  # "one-cycle" starts at this share of the peak rate

N = TypeVar("N", bound=nn.Module)
Losses = Iterator[Mapping[str, Tensor]]  # per step; `loss` is minimised


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps of a training, in epochs of equal length; the last one may be shorter."""

    steps: int
    epoch_steps: int

    @classmethod
    def of(cls, optim: OptimConfig, videos: int) -> Self:
        """Plan the requested passes, or more of them to reach `optim.steps`, in equal epochs."""
        batches, steps = _batches(optim, videos), optim.steps
        if optim.most_passes:
            steps = min(steps, math.ceil(optim.most_passes * videos / optim.batch))
        total = max(optim.passes * batches, steps, optim.least_steps)
        epoch_steps = math.ceil(total / optim.epochs)
        return cls(optim.epochs * epoch_steps, epoch_steps)

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return math.ceil(self.steps / self.epoch_steps)

    def steps_of(self, epoch: int) -> range:
        """Return the steps of one epoch; both are counted from 0."""
        first = epoch * self.epoch_steps
        return range(first, min(first + self.epoch_steps, self.steps))


def _batches(optim: OptimConfig, videos: int) -> int:
    """Return the number of batches of a pass over the videos."""
    if optim.whole_batches:
        return max(videos // optim.batch, 1)
    return math.ceil(videos / optim.batch)


class Training:
    """Training of a network by steps of an optimiser, resumed where it was interrupted.

    `title` names it in messages, `name` in the state folder; `parts` are objects with a
    `state_dict` that are saved with the network and its optimiser. Gradients are scaled to the norm
    `longest_gradient` at most, if it is not 0. `done` is the number of finished epochs.
    """

    def __init__(
        self,
        title: str,
        net: nn.Module,
        optimizer: torch.optim.Optimizer,
        plan: Plan,
        report: Report,
        state: StateFolder | None,
        name: str,
        *,
        longest_gradient: float = 0.0,
        **parts: Any,
    ) -> None:
        self._title, self._net, self._optimizer, self._plan = title, net, optimizer, plan
        self._report, self._state, self._name = report, state, name
        self._longest_gradient = longest_gradient
        self._parts = {"net": net, "optimizer": optimizer, **parts}
        self.done = 0
        if state is not None and (saved := state.load(name, self._parts)) is not None:
            self.done = saved["done"]
            report.say(f"resuming {title}: {self.done} of {plan.epochs} epochs are done")

    def epochs(
        self, losses: Callable[[range], Losses], note: Callable[[], str] = str
    ) -> Iterator[tuple[int, dict[str, float]]]:
        """Train epoch by epoch; yield the number of each and its mean losses, then save the state.

        `losses` computes the losses of some steps, `note` ends the line of progress.
        """
        plan = self._plan
        for epoch in range(self.done, plan.epochs):
            sums: dict[str, float] = {}
            self._net.train()
            for count, batch in enumerate(losses(plan.steps_of(epoch)), start=1):
                self._optimizer.zero_grad()
                batch["loss"].backward()  # type: ignore[no-untyped-call]
                if self._longest_gradient:
                    clip_grad_norm_(self._net.parameters(), self._longest_gradient)
                self._optimizer.step()
                for name, value in batch.items():
                    sums[name] = sums.get(name, 0.0) + value.item()
                line = f"epoch {epoch + 1}/{plan.epochs}, loss {sums['loss'] / count:.4f}{note()}"
                step = epoch * plan.epoch_steps + count
                self._report.progress(f"training {self._title}", step, plan.steps, line)
            self._net.eval()
            yield epoch, {name: value / count for name, value in sums.items()}
            if self._state is not None:
                values = {"done": epoch + 1, "random": torch.get_rng_state()}
                self._state.save(self._name, self._parts, **values)


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


class _Best:
    """The epoch to keep so far: its number from 1, its losses, and its weights."""

    def __init__(self, select: Literal["best", "last"]) -> None:
        self.values: dict[str, Any] = {}
        self._select = select

    def state_dict(self) -> dict[str, Any]:
        return self.values

    def load_state_dict(self, values: dict[str, Any]) -> None:
        self.values = values

    def add(self, epoch: int, training: float, validation: float | None, net: nn.Module) -> None:
        """Keep this epoch if it is chosen as the last one, or has the lowest validation loss."""
        last = validation is None or self._select == "last"
        if last or not self.values or validation < self.values["validation"]:
            state = net.state_dict().items()
            weights = {name: value.to("cpu", copy=True) for name, value in state}
            self.values = {"epoch": epoch, "training": training, "validation": validation}
            self.values["weights"] = weights

    def note(self) -> str:
        """Return the end of a line of progress."""
        if self.values.get("validation") is None:
            return ""
        loss = f"validation {self.values['validation']:.4f} ({self.values['epoch']})"
        return f", best {loss}" if self._select == "best" else f", {loss}"


def fit(
    net: nn.Module,
    task: Task,
    optim: OptimConfig,
    *,
    seed: int,
    state: StateFolder,
    report: Report,
    hardware: Hardware,
    member: int = 0,
) -> Fit:
    """Train `net`, a member of an ensemble, in place, and load the weights of the chosen epoch.

    It is on the CPU before and afterwards.

    It is the last one, or with `optim.select` "best" the one with the lowest loss over the whole
    validation set, if there is one.
    """
    plan, batches = Plan.of(optim, task.videos), _batches(optim, task.videos)
    net.to(hardware.device)
    kept = copy.deepcopy(net) if optim.average else net  # running average of the weights
    replica = task.replicate(net, partial(Replica, hardware=hardware, is_trained=True))
    kept_replica = task.replicate(kept, partial(Replica, hardware=hardware))
    kind = torch.optim.AdamW if optim.method == "adamw" else torch.optim.Adam
    optimizer = kind(_groups(net, optim, task.scale), optim.rate)
    best = _Best(optim.select)

    def losses(steps: range) -> Losses:
        epoch = steps.start // plan.epoch_steps
        torch.manual_seed(_mix(seed, task.name, 1, epoch) + hardware.rank)  # own rows, own dropout
        generator = torch.Generator().manual_seed(_mix(seed, task.name, 2, epoch))
        order, current = np.empty(0, dtype=np.int64), -1
        for step in steps:
            turn, batch = divmod(step, batches)  # passes over the videos continue across epochs
            if turn != current:
                rng = np.random.default_rng(_mix(seed, task.name, 0, turn))
                order, current = rng.permutation(task.videos), turn
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(optim, plan, step) / group["scale"]
            yield task.losses(
                replica, order[batch * optim.batch : (batch + 1) * optim.batch], generator
            )
            if kept is not net:
                _update_average(kept, net, min(optim.average, (step + 1) / (step + 10)))

    title, name = task.name.upper(), str(task.name)
    if member:
        title, name = f"{title} {member + 1}", f"{name}-{member}"
    with torch.random.fork_rng(devices=hardware.generators):
        options: Any = {"longest_gradient": optim.longest_gradient, "average": kept, "best": best}
        training = Training(title, net, optimizer, plan, report, state, name, **options)
        with state.logs(name, training.done) as add_logs:
            for epoch, means in training.epochs(losses, best.note):
                kept.eval()
                with torch.no_grad():
                    validation = task.validate(kept_replica)
                best.add(epoch + 1, means["loss"], validation, kept)
                report.losses(title, epoch + 1, means["loss"], validation)
                values = {f"training/{name}": value for name, value in means.items()}
                if validation is not None:
                    values["validation/loss"] = validation
                add_logs(epoch + 1, values | {"rate": optimizer.param_groups[0]["lr"]})
    net.cpu()
    net.load_state_dict(best.values.pop("weights"))
    net.eval()
    return Fit(epochs=plan.epochs, steps=plan.steps, **best.values)


def _groups(
    net: nn.Module, optim: OptimConfig, scale: Callable[[str], float]
) -> list[dict[str, Any]]:
    """Return the parameters of the network for the optimiser, those of equal scale together."""
    groups: dict[float, dict[str, Any]] = {}
    for name, parameter in net.named_parameters():
        factor = scale(name)
        decay = optim.weight_decay * factor  # AdamW multiplies it by the rate, which is divided
        empty = {"params": [], "scale": factor, "weight_decay": decay}
        groups.setdefault(factor, empty)["params"].append(parameter)
    return list(groups.values())


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


@torch.no_grad()
def _update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    for mean, current in zip(average.parameters(), net.parameters(), strict=True):
        mean.lerp_(current, 1 - decay)


def _mix(seed: int, name: str, use: int, index: int) -> int:
    """Derive a separate seed for every network, use and epoch."""
    entropy = [seed, *name.encode(), use, index]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


def train_members(
    build: Callable[[], N],
    task: Task,
    optim: OptimConfig,
    count: int,
    *,
    seed: int,
    state: StateFolder,
    report: Report,
    hardware: Hardware,
) -> tuple[list[N], list[Fit]]:
    """Train networks with consecutive seeds; return them, and each one's result."""
    nets, fits = [], []
    for member in range(count):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + member)
            nets.append(build())
        options: Any = {"seed": seed + member, "member": member, "hardware": hardware}
        fits.append(fit(nets[-1], task, optim, **options, state=state, report=report))
    return nets, fits
