"""What an evaluation works on: ground truth and proposals, from files or from memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from actspan.data.annotations import canonical_id, read_annotations
from actspan.data.problems import Problem
from actspan.data.results import read_result
from actspan.errors import AnnotationError, DataError, DatasetError, ResultError
from actspan.types import Float64, Proposals, Video

OnError = Literal["fail", "skip"]


@dataclass(frozen=True, slots=True)
class Truth:
    """The videos to evaluate: those of a subset with instances.

    Attributes
    ----------
    segments : dict of video id to (M, 2) float64
        Seconds, M >= 1, in the source's order.
    problems : tuple of Problem
        Entries of the source that were left out, because they could not be read.
    """

    segments: dict[str, Float64]
    problems: tuple[Problem, ...] = ()


def load_truth(
    source: Path | str | Iterable[Video],
    subset: str | None,
    blocked: frozenset[str],
    on_error: OnError,
) -> Truth:
    """Ground truth of the videos of a subset (all for None) that have instances.

    Raises
    ------
    AnnotationError
        No video of the subset has instances, or a video is there twice.
    DatasetError
        Entries cannot be read and `on_error` is "fail".
    """
    if isinstance(source, (str, os.PathLike)):
        found = read_annotations(Path(source))
        videos, problems, where = found.videos, found.problems, f"{found.path}: "
    else:
        videos, problems, where = tuple(source), (), ""
    problems = tuple(problem for problem in problems if problem.is_error)
    if problems and on_error == "fail":
        raise DatasetError(
            problems,
            "Mend them: recall without them is not comparable; or go on all the same: "
            "--on-error skip.",
        )
    chosen = [v for v in videos if subset is None or v.subset == subset]
    segments = {v.id: v.segments for v in chosen if len(v.segments) and v.id not in blocked}
    if not segments:
        there = ", ".join(sorted({repr(v.subset) for v in videos if len(v.segments)})) or "none"
        raise AnnotationError(
            f"{where}no video with instances in subset {subset!r}; subsets with instances: {there}"
        )
    if len(segments) != sum(len(v.segments) > 0 and v.id not in blocked for v in chosen):
        raise AnnotationError(f"{where}a video is there twice; keep one of the two")
    return Truth(segments, problems)


def load_proposals(source: Path | str | Mapping[str, Proposals]) -> dict[str, Proposals]:
    """Proposals a video in seconds, ids without `v_`.

    Raises
    ------
    ResultError
        They cannot be read, or a score is NaN.
    """
    if isinstance(source, (str, os.PathLike)):
        return read_result(Path(source))
    found = {canonical_id(video): proposals for video, proposals in source.items()}
    if len(found) != len(source):
        raise ResultError("a video's proposals are given with and without 'v_': keep one")
    for video, proposals in found.items():
        if np.isnan(proposals.score).any():
            raise ResultError(f"video {video!r}: a score is NaN, so its proposals have no order")
    return found


def load_blocked(source: Path | str | Iterable[str] | None) -> frozenset[str]:
    """Ids of videos to leave out: from a file (a JSON list, or one id a line), or as given.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    if source is None:
        return frozenset()
    if not isinstance(source, (str, os.PathLike)):
        return frozenset(map(canonical_id, source))
    try:
        text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source}: the list of blocked videos cannot be read: {error}") from error
    names = _parse_names(text)
    if names is None:
        raise DataError(f"{source}: a JSON list of video ids, or one id a line, is needed")
    return frozenset(map(canonical_id, names))


def _parse_names(text: str) -> list[str] | None:
    if not text.lstrip().startswith(("[", "{")):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        names = json.loads(text)
    except json.JSONDecodeError:
        return None
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_list else None
