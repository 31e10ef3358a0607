"""Reports of training: a callback for progress, and TensorBoard logs on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from actspan.core.errors import require


class Report(Protocol):
    """Receiver of progress and messages; commands print them, tests collect them."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """Report `done` of `total` steps of `what`; `note` gives the losses."""

    def say(self, message: str) -> None:
        """Report a message of one line."""


class Silent:
    """A report that discards everything."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """Discard the progress."""

    def say(self, message: str) -> None:
        """Discard the message."""


class Logs:
    """TensorBoard logs of one network: one scalar per name and epoch.

    Parameters
    ----------
    folder : Path
        Folder of the logs, created when the first epoch ends.
    done : int
        Number of epochs that an interrupted run finished; its later entries are discarded.
    """

    def __init__(self, folder: Path, done: int) -> None:
        tensorboard = require(
            "torch.utils.tensorboard", extra="train", purpose="Logging the losses of training"
        )
        self._writer = tensorboard.SummaryWriter(str(folder), purge_step=done or None)

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Write the figures of an epoch."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the log file."""
        self._writer.close()
