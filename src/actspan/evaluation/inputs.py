"""What an evaluation works on: ground truth and proposals, from files or from memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from actspan.data.annotations import (
    Annotations,
    canonical_id,
    canonical_subset,
    read_annotations,
)
from actspan.data.problems import Problem
from actspan.data.result_table import ResultTable
from actspan.data.results import read_result_table
from actspan.data.videos import Videos
from actspan.errors import AnnotationError, DataError, DatasetError, ResultError
from actspan.files import read_text
from actspan.limits import DOCUMENT
from actspan.types import Float64, Proposals, Video
from actspan.wording import suggestion

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


@dataclass(frozen=True, slots=True)
class Chosen:
    """The videos of a subset, with or without instances.

    Attributes
    ----------
    videos : Videos
        In the source's order; at least one has instances.
    where : str
        `file: ` for messages, or nothing.
    problems : tuple of Problem
        Entries of the source that were left out, because they could not be read.
    """

    videos: Videos
    where: str
    problems: tuple[Problem, ...] = ()


def load_videos(
    source: Path | str | Iterable[Video],
    subset: str | None,
    blocked: frozenset[str],
    on_error: OnError,
) -> Chosen:
    """Ground truth of the videos of a subset (all for None), without blocked ones.

    Raises
    ------
    AnnotationError
        No video of the subset has instances, or one is there twice.
    DatasetError
        Entries cannot be read and `on_error` is "fail".
    """
    if isinstance(source, (str, os.PathLike)):
        source = read_annotations(Path(source))
    if isinstance(source, Annotations):
        videos, problems, where = source.videos, source.problems, f"{source.path}: "
    else:
        videos, problems, where = Videos.of(source), (), ""
    problems = tuple(problem for problem in problems if problem.is_error)
    if problems and on_error == "fail":
        raise DatasetError(
            problems,
            "Mend them: recall without them is not comparable; or go on all the same: "
            "--on-error skip.",
        )
    wanted = None if subset is None else canonical_subset(subset)
    named = enumerate(zip(videos.ids, videos.subsets, strict=True))
    chosen = videos.select(i for i, (v, s) in named if wanted in (None, s) and v not in blocked)
    if not len(chosen.segments):
        held = {s for s, count in zip(videos.subsets, videos.counts.tolist(), strict=True) if count}
        there = ", ".join(sorted(map(repr, held))) or "none"
        raise AnnotationError(
            f"{where}no video with instances in subset {subset!r}; subsets with instances: {there}"
            f"{suggestion(str(subset), held)}"
        )
    if len(chosen.places) != len(chosen):
        raise AnnotationError(f"{where}a video is there twice; keep one of the two")
    return Chosen(chosen, where, problems)


def load_truth(
    source: Path | str | Iterable[Video],
    subset: str | None,
    blocked: frozenset[str],
    on_error: OnError,
) -> Truth:
    """Instances of the videos of a subset that have any; raises as `load_videos`."""
    chosen = load_videos(source, subset, blocked, on_error)
    return Truth(chosen.videos.segments_by_id(), chosen.problems)


def load_proposals(source: Path | str | Mapping[str, Proposals]) -> ResultTable:
    """Proposals of all videos in seconds, ids without `v_`.

    Raises
    ------
    ResultError
        They cannot be read, or a score is NaN.
    """
    if isinstance(source, (str, os.PathLike)):
        return read_result_table(Path(source))
    found = {canonical_id(video): proposals for video, proposals in source.items()}
    if len(found) != len(source):
        raise ResultError("a video's proposals are given with and without 'v_': keep one")
    for video, proposals in found.items():
        if np.isnan(proposals.score).any():
            raise ResultError(f"video {video!r}: a score is NaN, so its proposals have no order")
    return ResultTable.of(found)


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
        text = read_text(Path(source), DOCUMENT)
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
    except (ValueError, RecursionError):
        return None
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_list else None
