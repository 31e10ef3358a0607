"""Why no result is for an evaluated video: another subset, or ids that are written otherwise."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import takewhile
from pathlib import Path

from actspan.data.annotations import Annotations, read_annotations
from actspan.data.videos import Videos
from actspan.errors import ResultError
from actspan.types import Video
from actspan.wording import counted, named


def unmatched(
    what: str,
    ground_truth: Path | str | Iterable[Video],
    subset: str | None,
    evaluated: Collection[str],
    found: Collection[str],
) -> ResultError:
    """Return the error of results that are for none of the evaluated videos.

    Parameters
    ----------
    what : str
        "proposals" or "detections".
    ground_truth, subset
        As they were given to the evaluation.
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
    remedy = f": pass --subset {there}" if there else ", which have none"
    return ResultError(
        f"{head} of subset {subset!r}; they are for {counted(count, 'video')} of subset "
        f"{there!r}{remedy}"
    )


def _subsets(ground_truth: Path | str | Iterable[Video]) -> dict[str, str]:
    if isinstance(ground_truth, (str, os.PathLike)):
        ground_truth = read_annotations(Path(ground_truth))
    if isinstance(ground_truth, Annotations):
        ground_truth = ground_truth.videos
    videos = Videos.of(ground_truth)
    return dict(zip(videos.ids, videos.subsets, strict=True))


def _differences(found: list[str], known: list[str]) -> str:
    """Name ids of results and of the ground truth, and how they start or end differently."""
    if not found:
        return "the results have no videos"
    differences = [
        *_difference("start", _prefix(found), _prefix(known)),
        *_difference("end", _suffix(found), _suffix(known)),
    ]
    ids = f"ids of the results are {named(found)}; of the ground truth {named(known)}"
    remedy = ["rename them in one of the two"] if differences else []
    return "; ".join([ids, *differences, *remedy])


def _difference(verb: str, ours: str, theirs: str) -> Iterator[str]:
    if ours == theirs:
        return
    if ours and theirs:
        yield f"the former {verb} with {ours!r}, the latter with {theirs!r}"
    elif ours:
        yield f"only the former {verb} with {ours!r}"
    else:
        yield f"only the latter {verb} with {theirs!r}"


def _prefix(ids: list[str]) -> str:
    """Return what all ids start with, up to a separator."""
    first, last = min(ids), max(ids)
    same = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    )
    found = re.match(r".*[\W_]", first[:same])
    return found[0] if found else ""


def _suffix(ids: list[str]) -> str:
    """Return the suffix of file names that all ids have."""
    suffixes = {Path(name).suffix for name in ids}
    return suffixes.pop() if len(suffixes) == 1 else ""
