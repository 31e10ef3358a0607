"""Settings of a training that takes seconds, and a report that tests can read."""

from __future__ import annotations

from actspan import PemConfig, PipelineConfig, TemConfig, TrainConfig
from actspan.config.training import OptimConfig, PemTrainConfig, TemTrainConfig

OPTIM = OptimConfig(
    method="adamw", schedule="one-cycle", rate=0.01, batch=2, epochs=3, passes=3, average=0.9
)
TINY = TrainConfig(
    mode="rescale",
    pipeline=PipelineConfig(tem=TemConfig(length=20, hidden=8), pem=PemConfig(hidden=8)),
    tem=TemTrainConfig(optim=OPTIM, standardize=True, dropout=0.2, hidden_dropout=0.2, crop=0.7),
    pem=PemTrainConfig(optim=OPTIM, loss="weighted", dropout=0.2),
)
NETS = ("tem", "pem")
JOINT = TrainConfig(  # the same with learnt curves, so that TEM and PEM are trained together
    mode="rescale",
    pipeline=PipelineConfig(
        tem=TemConfig(length=20, hidden=8, dilated=1, curves=4), pem=PemConfig(hidden=8, layers=2)
    ),
    tem=TINY.tem,
    pem=PemTrainConfig(dropout=0.2),
)


class Collected:
    """A report that keeps all messages, and can interrupt the training at a step."""

    def __init__(self, stop: tuple[str, int] | None = None) -> None:
        self.lines: list[str] = []
        self.notes: list[str] = []
        self.epochs: list[tuple[str, int, float, float | None]] = []
        self._stop = stop

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        self.notes.append(f"{what} {done}/{total} {note}")
        if (what, done) == self._stop:
            raise KeyboardInterrupt

    def say(self, message: str) -> None:
        self.lines.append(message)

    def losses(self, net: str, epoch: int, training: float, validation: float | None) -> None:
        self.epochs.append((net, epoch, training, validation))
