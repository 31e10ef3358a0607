"""Contents of a report: the figures of each run, and what could not be computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actspan.core.problems import Problem, skipped_line
from actspan.core.types import Proposals
from actspan.data.detections import Detections
from actspan.data.videos import Videos
from actspan.evaluation.bins import Calibration
from actspan.evaluation.detection import DetectionResult
from actspan.evaluation.diagnosis import Diagnosis
from actspan.evaluation.inputs import OnError
from actspan.evaluation.mistakes import Mistakes
from actspan.evaluation.recall import RecallResult
from actspan.jobs.run import Run


@dataclass(frozen=True, slots=True)
class Truth:
    """Ground truth and the part of it that counts; fields as for `evaluate_recall`.

    Attributes
    ----------
    path : Path, optional
        Annotations or a dataset folder; those that the runs were made from unless given.
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
        Name that tells it from the other runs.
    run : Run, optional
        None for a result file alone.
    proposals, detections : dict of video id
        Seconds; no detections if the run has none.
    spans : dict of video id to float
        Seconds that the cells of its boundary scores cover; empty if the run lacks these or the
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
        """Content of `run.toml`; empty for a result file alone."""
        return {} if self.run is None else self.run.info


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """Runs to compare, on the same videos.

    Attributes
    ----------
    sides : tuple of Side
    videos : Videos
        Videos of the subset. Without ground truth, every video of a result, with NaN as duration.
    source : str
        The ground truth, or an empty string.
    subset : str
    notes : tuple of str
        What is missing, and what is not evaluated.
    problems : tuple of Problem
        Annotations that were left out, with reasons.
    """

    sides: tuple[Side, ...]
    videos: Videos
    source: str
    subset: str
    notes: tuple[str, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def left_out(self) -> str:
        """Number and names of what was left out; "" if nothing was."""
        return skipped_line(self.problems)

    @property
    def has_truth(self) -> bool:
        """Whether there is ground truth to evaluate the runs by."""
        return bool(self.source)
