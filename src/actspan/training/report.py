"""What training tells while it works: to people through a callback, to TensorBoard on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from actspan.errors import require


class Report(Protocol):
    """Told how far the work is; a command draws it, tests collect it."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps of `what`; `note` gives the losses."""

    def say(self, message: str) -> None:
        """One line that people should read."""


class Silent:
    """A report that nobody hears."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """Ignore."""

    def say(self, message: str) -> None:
        """Ignore."""


class Logs:
    """TensorBoard logs of one network: a scalar a name and epoch.

    Parameters
    ----------
    folder : Path
        Made when the first epoch ends.
    done : int
        Epochs that an earlier attempt finished; whatever it wrote later is void.
    """

    def __init__(self, folder: Path, done: int) -> None:
        tensorboard = require(
            "torch.utils.tensorboard", extra="train", purpose="Logging the losses of training"
        )
        self._writer = tensorboard.SummaryWriter(str(folder), purge_step=done or None)

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add the figures of an epoch."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
