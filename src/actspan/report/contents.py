"""What a report says: each run's figures, and what could not be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actspan.data.detections import Detections
from actspan.data.problems import Problem, left_out
from actspan.data.videos import Videos
from actspan.evaluation.calibration import Calibration
from actspan.evaluation.detection import DetectionResult
from actspan.evaluation.diagnosis import Diagnosis
from actspan.evaluation.inputs import OnError
from actspan.evaluation.mistakes import Mistakes
from actspan.evaluation.recall import RecallResult
from actspan.run import Run
from actspan.types import Proposals


@dataclass(frozen=True, slots=True)
class Truth:
    """Where ground truth is, and which of it counts; the meanings are those of `evaluate_recall`.

    Attributes
    ----------
    path : Path, optional
        Annotations or a dataset folder; what the runs were made from unless given.
    subset : str
    protocol : str
        A key of `PROTOCOLS`: thresholds and budget.
    on_error : "fail" or "skip"
    """

    path: Path | None = None
    subset: str = "validation"
    protocol: str = "activitynet"
    on_error: OnError = "fail"


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One run of a report.

    Attributes
    ----------
    name : str
        What tells it from the others.
    run : Run, optional
        None for a result file alone.
    proposals, detections : dict of video id
        Seconds; no detections where it holds none.
    spans : dict of video id to float
        Seconds that the cells of its boundary scores cover; empty where it lacks those, or the
        candidates.
    recall, calibration : optional
        None without ground truth.
    diagnosis : Diagnosis, optional
        None without ground truth, boundary scores or candidates.
    detection, mistakes : optional
        None without ground truth or detections.
    """

    name: str
    run: Run | None
    proposals: dict[str, Proposals]
    detections: dict[str, Detections]
    spans: dict[str, float] = field(default_factory=dict)
    recall: RecallResult | None = None
    calibration: Calibration | None = None
    diagnosis: Diagnosis | None = None
    detection: DetectionResult | None = None
    mistakes: Mistakes | None = None

    @property
    def info(self) -> Mapping[str, Any]:
        """What `run.toml` says; nothing for a result file alone."""
        return {} if self.run is None else self.run.info


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """Runs side by side, on the same videos.

    Attributes
    ----------
    sides : tuple of Side
    videos : Videos
        Those of the subset, or every video of a result where there is no ground truth; then their
        duration is NaN.
    source : str
        The ground truth, or nothing.
    subset : str
    notes : tuple of str
        What is missing, and what is not evaluated.
    problems : tuple of Problem
        Annotations that were left out, and why.
    """

    sides: tuple[Side, ...]
    videos: Videos
    source: str
    subset: str
    notes: tuple[str, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def left_out(self) -> str:
        """What was left out, counted and named; "" where nothing was."""
        return left_out(self.problems)

    @property
    def has_truth(self) -> bool:
        """Whether there is anything to judge the runs by."""
        return bool(self.source)
