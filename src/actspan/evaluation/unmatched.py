"""Reasons why no result is for an evaluated video: another subset, or different ids."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from itertools import takewhile
from pathlib import Path

from actspan.core.errors import ResultError
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.base import Annotations
from actspan.data.annotations.formats import read_annotations
from actspan.data.videos import Videos

_LOOKED_AT = 200  # ids that are compared to find out how they differ


def unmatched(
    what: str,
    ground_truth: Path | str | Iterable[Video],
    subset: str | None,
    evaluated: Collection[str],
    found: Collection[str],
) -> ResultError:
    """Return the error about results that are for none of the evaluated videos.

    Parameters
    ----------
    what : str
        "proposals" or "detections".
    ground_truth, subset
        Arguments of the evaluation.
    evaluated, found : collection of str
        Ids of the evaluated videos, and of the videos that have results.
    """
    head = f"no {what} for any of the {counted(len(evaluated), 'evaluated video')}"
    subsets = _subsets(ground_truth)
    known = Counter(subsets[video] for video in found if video in subsets)
    if not known:
        return ResultError(f"{head}: {_differences(sorted(found), sorted(evaluated))}")
    there, count = known.most_common(1)[0]
    if subset is None or there == subset:
        return ResultError(f"{head}: they are for {counted(count, 'video')} without instances")
    return ResultError(
        f"{head} of subset {subset!r}; they are for {counted(count, 'video')} of subset "
        f"{there!r}: pass --subset {there or repr(there)}"
    )


def _subsets(ground_truth: Path | str | Iterable[Video]) -> dict[str, str]:
    if isinstance(ground_truth, (str, os.PathLike)):
        ground_truth = read_annotations(Path(ground_truth))
    if isinstance(ground_truth, Annotations):
        ground_truth = ground_truth.videos
    videos = Videos.of(ground_truth)
    return dict(zip(videos.ids, videos.subsets, strict=True))


def _differences(found: list[str], known: list[str]) -> str:
    """Return ids of results and of the ground truth, and the way in which they differ."""
    if not found:
        return "the results have no videos"
    difference = _ends(found, known) or _capitals(found, known) or _starts(found, known)
    if difference:
        return f"{difference}; rename them in one of the two"
    return f"ids of the results are {listed(found)}; of the ground truth {listed(known)}"


def _ends(found: list[str], known: list[str]) -> str:
    """Return a text about the prefix or suffix that only one side's ids have, or ""."""
    sides = (
        ("results have", found, "ground truth", known),
        ("ground truth has", known, "results", found),
    )
    for owner, whole, other, bare in sides:
        whole = whole[:_LOOKED_AT]
        count, (before, after), (name, core) = _common_ends(whole, set(bare))
        if 2 * count > min(len(whole), len(bare)):
            places = {"in front": before, "at the end": after}
            ends = " and ".join(f"{end!r} {place}" for place, end in places.items() if end)
            return f"the {owner} {ends} of ids: {name}, and the {other} {core}"
    return ""


def _common_ends(whole: list[str], bare: set[str]) -> tuple[int, tuple[str, str], tuple[str, str]]:
    """Return the most common ends around a bare id: their count, the ends, and an example."""
    lengths = {len(name) for name in bare}
    examples: dict[tuple[str, str], tuple[str, str]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for name in whole:
        for first in range(len(name)):
            for last in (first + length for length in lengths if first + length <= len(name)):
                if (core := name[first:last]) in bare:
                    ends = name[:first], name[last:]
                    counts[ends] += 1
                    examples.setdefault(ends, (name, core))
    if not counts:
        return 0, ("", ""), ("", "")
    ends, count = counts.most_common(1)[0]
    return count, ends, examples[ends]


def _capitals(found: list[str], known: list[str]) -> str:
    small = {name.lower(): name for name in known}
    pairs = [(name, small[name.lower()]) for name in found if name.lower() in small]
    if 2 * len(pairs) <= min(len(found), len(known)):
        return ""
    return f"only capitals differ: {pairs[0][0]} in the results, {pairs[0][1]} in the ground truth"


def _starts(found: list[str], known: list[str]) -> str:
    """Return a text about different prefixes, if names are equal without them, or ""."""
    ours, theirs = _prefix(found), _prefix(known)
    cores = {name.removeprefix(theirs) for name in known}
    fitting = sum(name.removeprefix(ours) in cores for name in found)
    if not (ours and theirs) or 2 * fitting <= min(len(found), len(known)):
        return ""
    return f"ids start with {ours!r} in the results, with {theirs!r} in the ground truth"


def _prefix(ids: list[str]) -> str:
    """Return the common prefix of all ids, up to a separator."""
    first, last = min(ids), max(ids)
    same = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    )
    found = re.match(r".*[\W_]", first[:same])
    return found[0] if found else ""
