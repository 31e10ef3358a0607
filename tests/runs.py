"""What two runs are compared by."""

from __future__ import annotations

from pathlib import Path

import tomli_w

from actspan.config.base import read_toml


def contents(run: Path, *without: str) -> dict[str, bytes]:
    """Every file of a run; of `run.toml` all but when it was made and how long that took."""
    found = {file.name: file.read_bytes() for file in run.iterdir()}
    info = read_toml(run / "run.toml")
    del info["created"], info["timing"]
    found["run.toml"] = tomli_w.dumps(info).encode()
    return {name: data for name, data in found.items() if name not in without}
