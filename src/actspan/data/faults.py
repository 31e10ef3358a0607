"""Faults of annotations: findings where instances are used, mere notes where they are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from actspan.data.annotations import AUTHORS_TABLE, find_annotations
from actspan.data.dataset import Dataset
from actspan.data.instances import faulty_segments
from actspan.data.problems import Loss, Problem
from actspan.data.times import wrong_unit
from actspan.errors import alike
from actspan.wording import counted

_UNUSED = "annotations are not used here"


def annotation_faults(dataset: Dataset, *, learns: bool) -> list[Problem]:
    """Return what was found when the dataset was loaded, and its bad segments.

    Parameters
    ----------
    learns : bool
        Whether instances are used; if not, each kind of fault is one note. An entry that cannot be
        read stays a problem where features of its video lie there, because it would be missed.
    """
    if learns:
        return [*dataset.problems, *faulty_segments(dataset.videos, dataset.path)]
    harmless = [problem for problem in dataset.problems if _is_harmless(dataset, problem)]
    stopping = [problem for problem in dataset.problems if problem not in harmless]
    unit = wrong_unit(dataset.videos, dataset.videos.durations)
    if unit is not None:
        remedy = f"{_UNUSED}; train and evaluate refuse them"
        note = Problem("", str(dataset.path), unit.what, remedy, Loss.NOTHING)
        return [*stopping, *_notes(harmless), note]
    return [*stopping, *_notes([*harmless, *faulty_segments(dataset.videos, dataset.path)])]


def _is_harmless(dataset: Dataset, problem: Problem) -> bool:
    """Whether a fault of annotations takes nothing from work that does not use them."""
    annotations = find_annotations(dataset.path)
    if annotations is None:
        return False
    file, table = str(annotations), str(annotations.with_name(AUTHORS_TABLE))
    if problem.file not in (file, table) and not problem.file.startswith(f"{file}:"):
        return False
    is_known = problem.video in dataset.known.places or problem.video not in dataset.entries
    return dataset.packing is not None or problem.loss is not Loss.VIDEO or is_known


def _notes(faults: Sequence[Problem]) -> Iterator[Problem]:
    """One note per kind of fault."""
    for kind in alike(faults):
        first = kind[0]
        what = f"{counted(len(kind), 'annotation fault')}: video {first.video}: {first.problem}"
        yield Problem("", first.file, what, _UNUSED, Loss.NOTHING)
