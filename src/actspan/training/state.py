"""Saved state of an unfinished training, and its logs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from actspan.core.errors import ActSpanError, ChangedTrainingError, require
from actspan.core.files import atomic_file
from actspan.core.folders import work_folder

SETTINGS, LOGS = "settings.json", "logs"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The folder `OUT.training` with the state of an unfinished training; see `work_folder`.

    `writes` is False in the processes that only read it, as another one writes it.
    """

    path: Path
    writes: bool = True

    @classmethod
    def open(
        cls, out: Path, settings: Mapping[str, Any], *, restart: bool, writes: bool = True
    ) -> Self:
        """Create the folder of a bundle `out`, or open the existing one to resume.

        `settings` are all that affect the result, for JSON; only a state with equal ones is
        resumed. `restart` discards an existing state.

        Raises
        ------
        ChangedTrainingError
            An unfinished training with other settings or data exists; names the differences.
        """
        path = work_folder(out, "training")
        if restart and writes:
            shutil.rmtree(path, ignore_errors=True)
        plain = json.loads(json.dumps(settings))
        try:
            stored = json.loads((path / SETTINGS).read_bytes())
        except FileNotFoundError:
            path.mkdir(parents=True, exist_ok=True)
            with atomic_file(path / SETTINGS) as stream:
                stream.write(json.dumps(plain, indent=1).encode())
            return cls(path, writes)
        except (OSError, ValueError, RecursionError) as error:
            what = f"{path / SETTINGS}: damaged: {error}; start again: --restart"
            raise ActSpanError(what) from error
        if stored != plain:
            names = ", ".join(_differences(stored, plain))
            raise ChangedTrainingError(
                f"{path}: contains an unfinished training with other settings ({names}); use those "
                "to resume it, or discard it: --restart"
            )
        return cls(path, writes)

    def load(self, name: str, parts: Mapping[str, Any]) -> dict[str, Any] | None:
        """Restore a network's training and random numbers; return all values, None if new."""
        file = self.path / f"{name}.pt"
        if not file.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            for key, part in parts.items():
                part.load_state_dict(state[key])
            torch.set_rng_state(state["random"])
        except Exception as error:  # The unpickler and the parts can raise any exception.
            what = f"damaged, or of another version: {error}"
            raise ActSpanError(f"{file}: {what}; start again: --restart") from error
        return state

    def save(self, name: str, parts: Mapping[str, Any], **values: Any) -> None:
        """Save the parts (network, optimizer, ...) and values of one network's training."""
        if not self.writes:
            return
        states = {key: part.state_dict() for key, part in parts.items()}
        with atomic_file(self.path / f"{name}.pt") as stream:
            torch.save(states | values, stream)

    @contextmanager
    def logs(self, name: str, done: int) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
        """Open the TensorBoard logs of a network; yield a function that adds values of an epoch.

        Entries after the `done` epochs that an interrupted run finished are discarded.
        """
        if not self.writes:
            yield lambda epoch, values: None
            return
        tensorboard = require(
            "torch.utils.tensorboard", extra="train", purpose="Logging the losses of training"
        )
        folder = self.path / LOGS / name
        with closing(tensorboard.SummaryWriter(str(folder), purge_step=done or None)) as writer:

            def add(epoch: int, values: Mapping[str, float]) -> None:
                for label, value in values.items():
                    writer.add_scalar(label, value, epoch)
                writer.flush()

            yield add

    def copy_logs(self, bundle: Path) -> None:
        """Copy the logs into a bundle that is not yet in its place."""
        if (self.path / LOGS).is_dir():
            shutil.copytree(self.path / LOGS, bundle / LOGS)

    def remove(self) -> None:
        """Remove the state of a training that is finished."""
        shutil.rmtree(self.path)


def _differences(a: Any, b: Any, name: str = "") -> list[str]:
    """Return the dotted names of the settings that differ."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return [] if a == b else [name]
    names = sorted(a.keys() | b.keys())
    prefix = f"{name}." if name else ""
    return [d for key in names for d in _differences(a.get(key), b.get(key), prefix + key)]
