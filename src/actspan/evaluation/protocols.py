"""Thresholds and budgets of benchmarks, and ground truth as a benchmark counts it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.types import Float64
from actspan.core.wording import counted, listed
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.instances import split_patterns
from actspan.data.videos import canonical_subset
from actspan.jobs.run import RUN_FILE, Run

_SAME = 1e-3  # seconds

Task = Literal["proposal", "detection"]
ProtocolName = Literal["activitynet", "thumos14"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """Thresholds and budgets of a benchmark."""

    proposal_tiou: str  # as `parse_thresholds` reads it
    detection_tiou: str
    max_proposals: int  # largest average number per video
    drops_duplicates: bool = False  # instances that are annotated twice count once

    def tiou(self, task: Task) -> str:
        """Return the thresholds of a task."""
        return self.proposal_tiou if task == "proposal" else self.detection_tiou


PROTOCOLS = MappingProxyType(
    {
        "activitynet": Protocol("0.5:0.05:0.95", "0.5:0.05:0.95", 100),
        "thumos14": Protocol("0.5:0.05:0.95", "0.3:0.1:0.7", 1000, drops_duplicates=True),
    }
)


def drop_duplicates(annotations: Annotations, subset: str | None) -> tuple[Annotations, str]:
    """Return annotations without duplicates: equal labels, and ends within a millisecond.

    The first of each group is kept, as in the evaluators of ActionFormer and OpenTAD. THUMOS14 has
    a few duplicates. With the annotations comes a line that counts those dropped in the subset (in
    all videos for None), empty without any.
    """
    videos = annotations.videos
    kept = np.ones(len(videos.segments), dtype=bool)
    label = np.unique(videos.labels, return_inverse=True)[1]
    wanted = None if subset is None else canonical_subset(subset)
    dropped, where = 0, 0
    for (first, last), part in zip(pairwise(videos.offsets.tolist()), videos.subsets, strict=True):
        for row in range(first + 1, last):
            apart = np.abs(videos.segments[first:row] - videos.segments[row]).max(axis=1)
            again = kept[first:row] & (label[first:row] == label[row]) & (apart <= _SAME)
            kept[row] = not again.any()
        repeats = last - first - int(kept[first:last].sum())
        if repeats and wanted in (None, part):
            dropped, where = dropped + repeats, where + 1
    if kept.all():
        return annotations, ""
    what = f"{counted(dropped, 'duplicate instance')} left out, in {counted(where, 'video')}"
    without = replace(annotations, videos=videos.with_instances(kept))
    return without, what if dropped else ""


def parse_thresholds(text: str) -> Float64:
    """Return tIoU thresholds from `0.5:0.05:0.95` (first:step:last) or `0.5,0.75`.

    Examples
    --------
    >>> parse_thresholds("0.3:0.1:0.7")
    array([0.3, 0.4, 0.5, 0.6, 0.7])
    """
    try:
        if ":" not in text:
            return check_thresholds([float(part) for part in text.split(",")])
        first, step, last = map(float, text.split(":"))
        steps = round((last - first) / step)
        if steps < 0 or abs(first + steps * step - last) > 1e-9:
            raise ValueError
        return check_thresholds(np.linspace(first, last, steps + 1))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ConfigError(
            f"tiou {text!r}: write first:step:last, as in 0.5:0.05:0.95, or numbers with commas "
            "between them"
        ) from error


def check_thresholds(tiou: ArrayLike | None) -> Float64:
    """Return thresholds as (K,) float64, ascending in (0, 1]; 0.5, 0.55, ... 0.95 for None."""
    values = np.linspace(0.5, 0.95, 10) if tiou is None else np.array(tiou, np.float64, ndmin=1)
    fits = values.ndim == 1 and len(values) > 0 and (values > 0).all() and (values <= 1).all()
    if not (fits and (np.diff(values) > 0).all()):
        raise ConfigError(f"tiou is {tiou!r}; thresholds in (0, 1], ascending, are needed")
    return values


def benchmark_truth(
    annotations: Annotations, labels: tuple[str, ...], protocol: Protocol, subset: str
) -> Annotations:
    """Return annotations as a benchmark counts them, with notes about what was left out."""
    if labels:
        patterns = split_patterns(labels)
        kept = annotations.with_labels(patterns)
        indices = list(annotations.videos.indices_in(canonical_subset(subset)))
        if annotations.videos.counts[indices].any() and not kept.videos.counts[indices].any():
            known = {label for index in indices for label in annotations.videos[index].labels}
            raise AnnotationError(
                f"{annotations.path}: no instance in subset {subset!r} has a label that --labels "
                f"{','.join(patterns)} takes; labels there: {listed(sorted(known), 10)}"
            )
        annotations = kept
    if protocol.drops_duplicates:
        annotations, dropped = drop_duplicates(annotations, subset)
        annotations = (
            replace(annotations, notes=(*annotations.notes, dropped)) if dropped else annotations
        )
    return annotations


def with_set_apart(truth: Annotations, result: Path | str, subset: str) -> Annotations:
    """Return the ground truth with the validation videos that training held out, per the run."""
    wanted = canonical_subset(subset)
    if wanted != "validation" or truth.videos.indices_in(wanted):
        return truth
    if not (isinstance(result, Path) and (result / RUN_FILE).is_file()):
        if not any(truth.videos.subsets):
            return truth
        subsets = ", ".join(sorted(map(repr, set(truth.videos.subsets)))) or "none"
        raise AnnotationError(
            f"{truth.path}: no video with instances in subset {subset!r}; subsets: {subsets}. "
            "Choose one with --subset; or, if training held out videos, evaluate the run folder, "
            f"which has their ids, not {result}"
        )
    videos = truth.videos.with_set_apart(Run.load(result).set_apart, wanted)
    if videos is truth.videos:
        return truth
    count = counted(videos.subsets.count(wanted), "video")
    note = f"{wanted}: the {count} that training held out"
    return replace(truth, videos=videos, notes=(*truth.notes, note))
