"""Inputs of an evaluation: ground truth and proposals, from files or from memory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from actspan.config.base import NOT_JSON, OnError
from actspan.core.errors import AnnotationError, DataError, DatasetError, ResultError
from actspan.core.files import read_text
from actspan.core.limits import DOCUMENT
from actspan.core.problems import Problem, Skipped
from actspan.core.segments import Proposals, require_unit
from actspan.core.types import Float64, Video
from actspan.core.wording import counted, it_or_them, listed, suggestion
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.formats import read_annotations
from actspan.data.detections import Detections
from actspan.data.instances import videos_of, without_extent, without_impossible
from actspan.data.result_files import ResultTable, read_result_table
from actspan.data.videos import Bools, Videos, canonical_id, canonical_subset, good_segments
from actspan.evaluation.input_checks import check_times

T = TypeVar("T", Proposals, Detections)

_USUAL = "validation"  # the subset that is evaluated by default


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EvaluatedData:
    """Report on the data of an evaluation, the base of results.

    Attributes
    ----------
    videos : int
        Number of evaluated videos.
    missing : tuple of str
        Evaluated videos with instances but without results; their instances count as missed.
    extra : tuple of str
        Videos with results that were not evaluated: in another subset, or not annotated.
    problems : tuple of Problem
        Entries of the ground truth that were skipped (`on_error="skip"`).
    notes : tuple of str
        Counts of other unused data, for people to read.
    """

    videos: int
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    def report(self) -> dict[str, Any]:
        """Return the fields of this class, for another one that has them."""
        return {field.name: getattr(self, field.name) for field in fields(EvaluatedData)}


@dataclass(frozen=True, slots=True)
class EvaluatedVideos:
    """The videos of a subset, with or without instances."""

    videos: Videos  # in the source's order; at least one has instances
    segments: dict[str, Float64]  # (M, 2), seconds, of each video with instances
    source: Videos  # all videos, also of other subsets
    where: str  # `file: ` for messages, or nothing
    problems: tuple[Problem, ...] = ()  # entries and instances that were skipped
    notes: tuple[str, ...] = ()  # requests that have no effect, and what is not evaluated


def load_videos(
    source: Path | str | Iterable[Video],
    subset: str | None,
    blocked: frozenset[str],
    on_error: OnError,
) -> EvaluatedVideos:
    """Return the ground truth of the videos of a subset (all for None), without blocked ones.

    Raises
    ------
    AnnotationError
        No video of the subset has instances, or one occurs twice; or times are not in seconds.
    DatasetError
        Entries cannot be read and `on_error` is "fail".
    """
    if isinstance(source, (str, os.PathLike)):
        source = read_annotations(Path(source))
    if isinstance(source, Annotations):
        videos, problems, where = source.videos, source.problems, f"{source.path}: "
        place = source.path
    else:
        videos, problems, where, place = Videos.of(source), (), "", Path("ground truth")
    places, all_noted = _places(videos, subset)
    if blocked:
        ids = videos.ids
        places = [p for p in places if not blocked & {ids[p], canonical_id(ids[p])}]
    chosen = videos.select(places)
    problems = tuple(p for p in problems if p.is_error and not _is_of_others(p, videos, chosen))
    chosen, impossible = without_impossible(chosen, place)
    problems = (*problems, *impossible)
    if problems and on_error == "fail":
        it = it_or_them(len(problems))
        raise DatasetError(
            problems,
            f"Fix {it}: results without {it} are not comparable; or leave {it} out anyway: "
            "--on-error skip.",
        )
    if not len(chosen.segments):
        raise AnnotationError(f"{where}{_nothing_in(videos, subset)}")
    if len(chosen.indices) != len(chosen):
        raise AnnotationError(f"{where}a video occurs twice; keep one of the two")
    time_notes: tuple[str, ...] = ()
    if isinstance(source, Annotations):
        chosen, time_notes = check_times(chosen, source.path)
    empty = without_extent(chosen)
    if isinstance(source, Annotations) and 2 * empty.sum() > len(empty):
        what = _named(chosen, empty, "without length or outside the video")
        raise AnnotationError(f"{where}{what} of {len(empty):,}: check the order of times")
    notes = (*all_noted, *time_notes, *_unknown_blocked(videos.ids, blocked))
    notes = (*notes, *_doubtful_instances(chosen, empty))
    return EvaluatedVideos(chosen, chosen.segments_by_id(), videos, where, problems, notes)


def _doubtful_instances(videos: Videos, empty: Bools) -> Iterator[str]:
    """Yield notes about instances that no proposal in the video can match, or not fully."""
    if empty.any():
        yield f"{_named(videos, empty, 'without length or outside the video')}; counted as missed"
    beyond = ~good_segments(videos) & ~empty
    if beyond.any():
        yield f"{_named(videos, beyond, 'partly outside the video')}; compared as annotated"


def _named(videos: Videos, chosen: Bools, what: str) -> str:
    return f"{counted(int(chosen.sum()), 'instance')} {what} ({listed(videos_of(videos, chosen))})"


def _places(videos: Videos, subset: str | None) -> tuple[Sequence[int], tuple[str, ...]]:
    """Return places of the videos to evaluate, with a note if all are used as none has a subset."""
    everything = range(len(videos))
    if subset is None:
        return everything, ()
    if any(videos.subsets) or canonical_subset(subset) != _USUAL:
        return videos.indices_in(subset), ()
    what = f"no video has a subset: all {len(videos):,} are evaluated"
    return everything, (f"{what}, those too from which a model may have learned",)


def _nothing_in(videos: Videos, subset: str | None) -> str:
    """Return a message that a subset has no instances, with the subsets that have some."""
    subsets = {s for s, count in zip(videos.subsets, videos.counts.tolist(), strict=True) if count}
    known = subsets if any(videos.subsets) else {_USUAL}
    what = f"no video with instances in subset {subset!r}{suggestion(subset or '', known)}; "
    if subsets == {""}:
        return f"{what}videos have no subset: leave out --subset to evaluate all"
    listed_subsets = ", ".join(sorted(map(repr, subsets))) or "none"
    return f"{what}subsets with instances: {listed_subsets}"


def _is_of_others(problem: Problem, videos: Videos, chosen: Videos) -> bool:
    """Return whether a problem concerns an instance of a video that is not evaluated."""
    name = problem.video
    return (
        problem.skipped is Skipped.SEGMENT and name in videos.indices and name not in chosen.indices
    )


def _unknown_blocked(videos: Iterable[str], blocked: frozenset[str]) -> Iterator[str]:
    if not blocked:
        return
    unknown = blocked.difference(videos).difference(map(canonical_id, videos))
    if unknown:
        count = f"{len(unknown)} of {counted(len(blocked), 'blocked video')}"
        yield f"{count} not in the ground truth: {listed(sorted(unknown))}"


def known_id(name: str, known: Container[str]) -> str:
    """Return the known id of a result's id, with or without `v_`; if none is known, without."""
    if name in known:
        return name
    bare, prefixed = canonical_id(name), f"v_{name}"
    return prefixed if bare not in known and prefixed in known else bare


def known_ids(names: Iterable[str], known: Container[str]) -> list[str]:
    """Return `known_id` of each name; two that refer to one video are a `ResultError`."""
    names = list(names)
    ids = [known_id(name, known) for name in names]
    if len(set(ids)) != len(ids):
        twice = sorted(name for name, count in Counter(ids).items() if count > 1)
        raise ResultError(f"results with and without 'v_' for {listed(twice)}: keep one of the two")
    return ids


def by_known_id(results_by_id: Mapping[str, T], known: Container[str], things: str) -> dict[str, T]:
    """Return proposals or detections of videos by `known_id`; a NaN score is a `ResultError`."""
    results = dict(zip(known_ids(results_by_id, known), results_by_id.values(), strict=True))
    for video, values in results.items():
        segments = values if isinstance(values, Proposals) else values.segments
        require_unit(segments, "seconds", "the evaluation")
        if np.isnan(segments.score).any():
            raise ResultError(f"video {video!r}: a score is NaN, so its {things} have no order")
    return results


def load_proposals(
    source: Path | str | Mapping[str, Proposals], known: Container[str]
) -> ResultTable:
    """Return the proposals of all videos in seconds, under the known ids of the ground truth.

    A literal `v_` makes no difference on either side. A NaN score is a `ResultError`.
    """
    if isinstance(source, (str, os.PathLike)):
        table = read_result_table(Path(source))
        return replace(table, ids=tuple(known_ids(table.ids, known)))
    return ResultTable.of(by_known_id(source, known, "proposals"))


def load_blocked(source: Path | str | Iterable[str] | None) -> frozenset[str]:
    """Return ids of videos to leave out, as given or from a file (JSON list, or an id per line)."""
    if source is None:
        return frozenset()
    if not isinstance(source, (str, os.PathLike)):
        return frozenset(map(canonical_id, source))
    try:
        text = read_text(Path(source), DOCUMENT)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source}: the list of blocked videos cannot be read: {error}") from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if text.lstrip().startswith(("[", "{")):
        try:
            names = msgspec.json.decode(text, type=list[str])
        except NOT_JSON as error:
            what = "a JSON list of video ids, or one id per line, is needed"
            raise DataError(f"{source}: {what}") from error
    return frozenset(map(canonical_id, names))
