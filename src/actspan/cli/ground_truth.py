"""Ground truth of `actspan evaluate`: annotations, and the videos that training set apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from actspan.core.wording import counted, listed

if TYPE_CHECKING:
    from actspan.data.annotations.annotation_set import Annotations
    from actspan.evaluation.protocols import Protocol


def with_set_apart(truth: Annotations, result: Path, subset: str) -> tuple[Annotations, list[str]]:
    """Return the ground truth with the validation videos that training set apart, per the run."""
    from actspan.core.errors import AnnotationError
    from actspan.data.videos import canonical_subset
    from actspan.jobs.run import RUN_FILE, Run

    wanted = canonical_subset(subset)
    if wanted != "validation" or truth.videos.places_in(wanted):
        return truth, []
    is_run = isinstance(result, Path) and (result / RUN_FILE).is_file()
    if not is_run and not any(truth.videos.subsets):
        return truth, []
    if not is_run:
        there = ", ".join(sorted(map(repr, set(truth.videos.subsets)))) or "none"
        raise AnnotationError(
            f"{truth.path}: no video with instances in subset {subset!r}; subsets: {there}. Choose "
            "one with --subset; or, if training set videos apart, evaluate the run folder, which "
            f"has their ids, not {result}"
        )
    videos = truth.videos.with_set_apart(Run.load(result).set_apart, wanted)
    if videos is truth.videos:
        return truth, []
    count = videos.subsets.count(wanted)
    note = f"{wanted}: the {counted(count, 'video')} that training set apart"
    return replace(truth, videos=videos), [note]


def read_truth(
    path: Path, labels: tuple[str, ...], protocol: Protocol, subset: str
) -> tuple[Annotations, list[str]]:
    """Return the ground truth, and what was assumed or skipped while reading it."""
    from actspan.data.annotations.formats import read_annotations
    from actspan.data.videos import split_patterns
    from actspan.evaluation.protocols import drop_duplicates

    found = read_annotations(path)
    notes = [*found.notes]
    if labels:
        found = _with_labels(found, split_patterns(labels), subset)
    if protocol.drops_duplicates:
        found, dropped = drop_duplicates(found, subset)
        notes += [dropped] if dropped else []
    return found, notes


def _with_labels(found: Annotations, patterns: tuple[str, ...], subset: str) -> Annotations:
    """Keep instances by label; raise AnnotationError where that leaves a subset without any."""
    from actspan.core.errors import AnnotationError
    from actspan.data.videos import canonical_subset

    kept = found.with_labels(patterns)
    places = list(found.videos.places_in(canonical_subset(subset)))
    if not found.videos.counts[places].any() or kept.videos.counts[places].any():
        return kept
    there = {label for place in places for label in found.videos[place].labels}
    raise AnnotationError(
        f"{found.path}: no instance in subset {subset!r} has a label that --labels "
        f"{','.join(patterns)} takes; labels there: {listed(sorted(there), 10)}"
    )
