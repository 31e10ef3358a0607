"""Subsets as lists of ids beside the videos: {"database": {...}, "training": ["a", "b"]}."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from actspan.core.problems import Problem
from actspan.core.wording import counted, listed
from actspan.data.annotations.base import canonical_id
from actspan.data.names import Ignored
from actspan.data.videos import Videos, canonical_subset

_NAMES = frozenset({"training", "validation", "testing"})
_USUAL = frozenset({"taxonomy", "version"})


def with_listed_subsets(
    videos: Videos, beside: Mapping[str, Any], path: Path, problems: list[Problem]
) -> tuple[Videos, dict[str, Any], tuple[str, ...]]:
    """Return videos with the subsets that lists beside them give; contradictions become problems.

    Returns
    -------
    Videos
    dict
        Content beside the videos, without those lists: the videos contain their subsets.
    tuple of str
        Notes about lists that were read, ids that are no videos, and unknown keys.
    """
    lists = {key: value for key, value in beside.items() if _is_list(key, value)}
    rest = {key: value for key, value in beside.items() if key not in lists}
    kept = Ignored("{} not understood, which JSON keeps")
    for key, value in rest.items():
        if key not in _USUAL and isinstance(value, (list, dict)) and value:
            kept.add("keys beside the videos", key)
    notes = kept.notes(path)
    if not lists:
        return videos, rest, notes
    said: dict[str, str] = {}
    for key, names in lists.items():
        for name in map(canonical_id, names):
            subset = canonical_subset(key)
            if said.setdefault(name, subset) != subset:
                problems.append(_contradiction(name, path, said[name], subset, "another list"))
    for name, subset in zip(videos.ids, videos.subsets, strict=True):
        if subset and said.get(name, subset) != subset:
            problems.append(_contradiction(name, path, subset, said[name], "a list"))
    made = Videos(replace(v, subset=v.subset or said.get(v.id, "")) for v in videos)
    notes = (f"{path}: subsets taken from the lists {listed(map(repr, lists))}", *notes)
    others = [name for name in said if name not in videos.places]
    if others:
        ids = counted(len(others), "id")
        notes += (
            f"{path}: ignored {ids} in lists of subsets that are no videos: {listed(others)}",
        )
    return made, rest, notes


def _is_list(key: str, value: Any) -> bool:
    is_ids = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return is_ids and bool(value) and canonical_subset(key) in _NAMES


def _contradiction(name: str, path: Path, one: str, other: str, where: str) -> Problem:
    what = f"subset {one!r}, but {other!r} in {where}"
    return Problem(name, str(path), what, "keep one of them")
