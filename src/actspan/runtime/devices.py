"""Names of devices for `--device`, and the backend of ONNX Runtime for each."""

from __future__ import annotations

import re
from typing import NamedTuple

from actspan.core.errors import ConfigError
from actspan.runtime.backends import ORT


class Device(NamedTuple):
    """A requested device; `number` is the position of a GPU, None for any."""

    kind: str  # "auto", "cpu" or "cuda"
    number: int | None = None

    @classmethod
    def parse(cls, name: str) -> Device:
        """Read `auto`, `cpu`, `cuda` or `cuda:1`; raise ConfigError for another name."""
        match = re.fullmatch(r"(auto|cpu|cuda)|cuda:(\d+)", name)
        if match is None:
            raise ConfigError(
                f"--device {name}: give auto, cpu, cuda, or the number of a GPU, as in cuda:1"
            )
        return cls(match[1]) if match[1] else cls("cuda", int(match[2]))


def backend_on(name: str) -> str:
    """Return the backend that runs ONNX files on a device: ONNX Runtime with its provider.

    Raises ConfigError as `Device.parse`.
    """
    kind, number = Device.parse(name)
    if kind == "auto":
        return "auto"
    if kind == "cpu":
        return ORT
    return f"{ORT}:cuda" if number is None else f"{ORT}:cuda:{number}"
