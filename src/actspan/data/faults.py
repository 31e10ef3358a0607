"""Faults of annotations: problems if instances are used, otherwise notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from actspan.core.errors import by_kind
from actspan.core.problems import Problem, Skipped
from actspan.core.types import Float64
from actspan.core.wording import counted
from actspan.data.annotations.authors import AUTHORS_TABLE
from actspan.data.annotations.formats import find_annotations
from actspan.data.dataset import Dataset
from actspan.data.instances import faulty_segments, lengths_of
from actspan.data.times import wrong_unit
from actspan.data.witnesses import Verdict

_UNUSED = "annotations are not used here"


def annotation_faults(
    dataset: Dataset,
    spans: Float64 | None = None,
    *,
    learns: bool,
    verdict: Verdict | None = None,
) -> list[Problem]:
    """Return the problems found when the dataset was loaded, and its bad segments.

    Parameters
    ----------
    spans : (V,) float64, optional
        Seconds that features cover: the end of videos of unknown duration.
    learns : bool
        Whether instances are used; if not, each kind of fault is one note. An entry that cannot be
        read stays a problem if its video has features, because the video would be missing.
    verdict : Verdict, optional
        Verdict on the times of the dataset: one cause, which is not repeated per instance.
    """
    if learns:
        found = map(partial(_unless_packed_without, dataset), dataset.problems)
        return [*found, *faulty_segments(dataset.videos, dataset.path, spans)]
    harmless, stopping = _harmless_and_stopping(dataset)
    if verdict is not None and verdict.witness:
        return [*stopping, *_notes(harmless)]
    unit = wrong_unit(dataset.videos, lengths_of(dataset.videos, spans))
    if unit is not None:
        remedy = f"{_UNUSED}; train and evaluate refuse them"
        note = Problem("", str(dataset.path), unit.what, remedy, Skipped.NOTHING)
        return [*stopping, *_notes(harmless), note]
    bad = faulty_segments(dataset.videos, dataset.path, spans)
    return [*stopping, *_notes([*harmless, *bad])]


def _unless_packed_without(dataset: Dataset, problem: Problem) -> Problem:
    """Return a finding, as a note where the store was packed without its video."""
    left_out = {} if dataset.packing is None else dataset.packing.left_out
    if problem.skipped is not Skipped.VIDEO or problem.video not in left_out:
        return problem
    what = f"left out when the dataset was packed: {left_out[problem.video]}"
    remedy = "pack it again without the fault"
    return Problem(problem.video, problem.file, what, remedy, Skipped.NOTHING)


def _harmless_and_stopping(dataset: Dataset) -> tuple[list[Problem], list[Problem]]:
    """Return the faults that do not matter if annotations are unused, and the other faults."""
    harmless: list[Problem] = []
    stopping: list[Problem] = []
    annotations = find_annotations(dataset.path)
    for problem in dataset.problems:
        is_harmless = (
            annotations is not None
            and _is_about(problem, annotations)
            and not _loses_a_video(problem, dataset)
        )
        (harmless if is_harmless else stopping).append(problem)
    return harmless, stopping


def _is_about(problem: Problem, annotations: Path) -> bool:
    file, table = str(annotations), str(annotations.with_name(AUTHORS_TABLE))
    return problem.file in (file, table) or problem.file.startswith(f"{file}:")


def _loses_a_video(problem: Problem, dataset: Dataset) -> bool:
    """Return whether a video with features is skipped; for a store, packing reported it."""
    if dataset.packing is not None or problem.skipped is not Skipped.VIDEO:
        return False
    return problem.video in dataset.entries and problem.video not in dataset.known.places


def _notes(faults: Sequence[Problem]) -> Iterator[Problem]:
    """Yield one note per kind of fault."""
    for kind in by_kind(faults):
        first = kind[0]
        what = f"{counted(len(kind), 'annotation fault')}: video {first.video}: {first.problem}"
        yield Problem("", first.file, what, _UNUSED, Skipped.NOTHING)
