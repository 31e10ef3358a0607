"""Saved state of a training, its logs, and the reports of its progress."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import torch

from actspan.core.errors import ActSpanError, ConfigError, require
from actspan.core.files import atomic_file

SETTINGS, LOGS = "settings.json", "logs"


class Report(Protocol):
    """Receiver of progress and messages; commands print them, tests collect them."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """Report `done` of `total` steps of `what`; `note` gives the losses."""

    def say(self, message: str) -> None:
        """Report a message of one line."""


class NoReport:
    """A report that discards everything."""

    def progress(self, what: str, done: int, total: int, note: str = "") -> None:
        """Discard the progress."""

    def say(self, message: str) -> None:
        """Discard the message."""


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The folder `OUT.training` beside the bundle, with the states of one ensemble member."""

    path: Path
    member: int = 0

    @classmethod
    def open(cls, out: Path, settings: Mapping[str, Any], *, restart: bool) -> Self:
        """Create the folder beside the bundle `out`, or open the existing one to resume.

        `settings` are all that affect the result, for JSON; only a state with equal ones is
        resumed. `restart` discards an existing state.

        Raises
        ------
        ConfigError
            An unfinished training with other settings or data exists; names the differences.
        """
        path = out.resolve()
        path = path.with_name(f"{path.name}.training")
        if restart:
            shutil.rmtree(path, ignore_errors=True)
        plain = json.loads(json.dumps(settings))
        found = _read_settings(path)
        if found is not None and found != plain:
            names = ", ".join(_differences(found, plain))
            raise ConfigError(
                f"{path}: holds an unfinished training with other settings ({names}); repeat those "
                "to continue it, or start again: --restart"
            )
        if found is None:
            path.mkdir(parents=True, exist_ok=True)
            with atomic_file(path / SETTINGS) as stream:
                stream.write(json.dumps(plain, indent=1).encode())
        return cls(path)

    def of(self, member: int) -> Self:
        """Return the same folder for another member."""
        return replace(self, member=member)

    def _stem(self, net: str) -> str:
        """Return the name of a network's files: `tem`, or `tem-1` for the second member."""
        return f"{net}-{self.member}" if self.member else net

    def load(self, net: str, parts: Mapping[str, Any]) -> dict[str, Any] | None:
        """Load the parts of one network's training, and return all saved values; None if new."""
        file = self.path / f"{self._stem(net)}.pt"
        if not file.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(file, weights_only=True)
        except Exception as error:  # The unpickler can raise any exception.
            raise ActSpanError(f"{file}: damaged: {error}; start again: --restart") from error
        for name, part in parts.items():
            part.load_state_dict(state[name])
        return state

    def save(self, net: str, parts: Mapping[str, Any], **values: Any) -> None:
        """Save the parts (network, optimizer, ...) and values of one network's training."""
        states = {name: part.state_dict() for name, part in parts.items()}
        with atomic_file(self.path / f"{self._stem(net)}.pt") as stream:
            torch.save(states | values, stream)

    def open_logs(self, net: str, done: int) -> Any:
        """Open the TensorBoard logs of a network, to be closed by the caller.

        Entries after the `done` epochs that an interrupted run finished are discarded.
        """
        tensorboard = require(
            "torch.utils.tensorboard", extra="train", purpose="Logging the losses of training"
        )
        folder = self.path / LOGS / self._stem(net)
        return tensorboard.SummaryWriter(str(folder), purge_step=done or None)

    def finish(self, bundle: Path) -> None:
        """Move the logs into the bundle and remove the rest."""
        if (self.path / LOGS).is_dir():
            shutil.move(self.path / LOGS, bundle / LOGS)
        shutil.rmtree(self.path)


def _read_settings(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((path / SETTINGS).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ActSpanError(
            f"{path / SETTINGS}: damaged: {error}; start again: --restart"
        ) from error
    return found


def _differences(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str = "") -> list[str]:
    names = []
    for key in sorted(a.keys() | b.keys()):
        left, right = a.get(key), b.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            names += _differences(left, right, f"{prefix}{key}.")
        elif left != right:
            names.append(f"{prefix}{key}")
    return names
