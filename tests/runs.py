"""Content of runs, to compare two of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from actspan import Proposals
from actspan.config.base import read_toml
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest, Summary
from actspan.jobs.sinks import SegmentList


def contents(run: Path, *without: str) -> dict[str, bytes]:
    """Return every file of a run; `run.toml` without its date and timing.

    Without `run.toml`, `inputs.json`, which names the same inputs, is also left out.
    """
    found = {file.name: file.read_bytes() for file in run.iterdir()}
    info = read_toml(run / "run.toml")
    del info["created"], info["timing"]
    found["run.toml"] = tomli_w.dumps(info).encode()
    without = (*without, "inputs.json") if "run.toml" in without else without
    return {name: data for name, data in found.items() if name not in without}


def found_in(request: ProposeRequest, **options: Any) -> tuple[Summary, dict[str, Proposals]]:
    """Return the summary of a job that writes nothing, and its proposals."""
    segments = SegmentList()
    summary = propose(request, sinks=[segments], **options)
    return summary, segments.proposals
