"""Recorded outputs of the published codes of BMN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from actspan.core.types import Float32, Video
from actspan.data.timebase import SpanRule, annotated_seconds

# Preset, the code in whose axes its outputs are recorded, and its result file
CODES = {
    "jjboy2020": ("jjboy", "result_proposal.json"),
    "mmaction2": ("mmaction2", "result_proposal_mmaction2.json"),
    "paddle": ("mmaction2", "result_proposal_paddle.json"),
}


def published_outputs(folder: Path, video: str, code: str) -> tuple[Float32, Float32, Float32]:
    """Return map, start and end of a video; the two made-up ones are the same for each code."""
    with np.load(folder / "stages.npz") as stages:
        prefix = f"{video}/{code}" if f"{video}/{code}/map" in stages else video
        return stages[f"{prefix}/map"], stages[f"{prefix}/start"], stages[f"{prefix}/end"]


def result_seconds(name: str, info: dict[str, Any], preset: str) -> float:
    """Return the seconds at position 1.0 with the annotations of the published code.

    PaddleVideo's do not count frames, so it is the duration there.
    """
    seconds = info["duration_second"]
    if preset == "paddle":
        return annotated_seconds(Video(name, seconds), SpanRule.COVERED)
    frames, covered = info["duration_frame"], info["feature_frame"]
    video = Video(name, seconds, frames=frames, feature_frames=covered)
    return annotated_seconds(video, SpanRule.FLOOR)
