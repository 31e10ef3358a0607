"""Training and validation parts of annotations, by group: person, day, camera."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actspan.core.errors import AnnotationError
from actspan.core.wording import counted, listed
from actspan.data.annotations.convert import Conversion, prepare_conversion
from actspan.data.annotations.formats import read_annotations, write_annotations
from actspan.data.data_requests import ConvertRequest, SplitRequest
from actspan.data.splits import groups_by_pattern, groups_by_value, held_out, is_pattern
from actspan.data.videos import Videos

TRAINING, VALIDATION = "training", "validation"
_DIVIDED = ("", TRAINING, VALIDATION)  # other subsets, such as testing, are kept


@dataclass(frozen=True, slots=True)
class Part:
    """Size of one part."""

    subset: str
    groups: int
    videos: int
    instances: int
    labels: dict[str, int]  # instances by label


@dataclass(frozen=True, slots=True)
class Split:
    """Result of `split_annotations`."""

    conversion: Conversion  # what was written
    parts: tuple[Part, ...]  # training and validation, then subsets that were kept
    notes: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Return the counts of each part."""
        fields = ("groups", "videos", "instances", "labels")
        return {part.subset: {name: getattr(part, name) for name in fields} for part in self.parts}


def split_annotations(request: SplitRequest) -> Split:
    """Divide videos into training and validation, and write the annotations with these subsets.

    Videos of other subsets, such as testing, keep theirs. Raises as `convert_annotations` and
    `held_out` do, and AnnotationError if videos have no group; then nothing is written.
    """
    prepared = prepare_conversion(
        ConvertRequest(
            request.source,
            request.out,
            on_error=request.on_error,
            overwrite=request.overwrite,
        ),
        of_convert=False,
    )
    videos = prepared.conversion.videos
    groups = groups_of(videos, request.by, request.source)
    indices = [index for index, subset in enumerate(videos.subsets) if subset in _DIVIDED]
    if not indices:
        kept = listed(map(repr, dict.fromkeys(videos.subsets)))
        raise AnnotationError(f"{request.source}: all videos are in {kept}, which is not divided")
    chosen = held_out(
        videos.select(indices), [groups[p] for p in indices], request.validation, request.seed
    )
    subsets = list(videos.subsets)
    for index, is_held_out in zip(indices, chosen.tolist(), strict=True):
        subsets[index] = VALIDATION if is_held_out else TRAINING
    divided = Videos(replace(v, subset=s) for v, s in zip(videos, subsets, strict=True))
    conversion = replace(prepared.conversion, videos=divided)
    write_annotations(
        conversion.target, divided, format=prepared.format, document=prepared.document
    )
    notes = (*conversion.notes, *_notes(request, videos, divided, groups))
    return Split(replace(conversion, notes=notes), tuple(_parts(divided, groups)), notes)


def groups_of(videos: Videos, by: str | None, source: Path) -> Sequence[str]:
    """Return the group of each video.

    Parameters
    ----------
    by : str, optional
        A regular expression over the id with one group, or the name of a column (of a table) or
        key (of ActivityNet's JSON) in `source`, the annotations. By default every video is a group.

    Raises
    ------
    ConfigError, AnnotationError
        The expression is invalid, or videos have no group, or two.
    """
    where = str(source)
    if by is None:
        return videos.ids
    if is_pattern(by):
        return groups_by_pattern(videos.ids, by, where)
    found = read_annotations(source)
    if found.format == "csv":  # another column of the table, as it is written there
        values = read_annotations(source, columns={"subset": by}, only_facts=True)
        for problem in values.problems:
            if problem not in found.problems:  # it is about this column
                what = problem.problem.replace("subset", repr(by), 1)
                raise AnnotationError(f"{problem.file}: {what}; a video has one group: fix the row")
        return groups_by_value({v.id: v.subset for v in values}, videos.ids, by, where)
    extra = {video.id: str(video.extra.get(by, "")) for video in found}
    return groups_by_value(extra, videos.ids, by, where)


def _parts(videos: Videos, groups: Sequence[str]) -> Iterator[Part]:
    others = sorted(set(videos.subsets) - {TRAINING, VALIDATION})
    for subset in (TRAINING, VALIDATION, *others):
        indices = [index for index, name in enumerate(videos.subsets) if name == subset]
        part = videos.select(indices)
        count = len({groups[index] for index in indices})
        labels = dict(sorted(Counter(part.labels).items()))
        yield Part(subset, count, len(part), len(part.labels), labels)


def _notes(
    request: SplitRequest, before: Videos, after: Videos, groups: Sequence[str]
) -> Iterator[str]:
    """Yield notes about subsets that changed, shared groups and labels that a part lacks."""
    pairs = list(zip(before.subsets, after.subsets, strict=True))
    if changed := sum(bool(old) and old != new for old, new in pairs):
        yield f"{request.source}: another subset than before for {counted(changed, 'video')}"
    kept = {g for g, (old, new) in zip(groups, pairs, strict=True) if old not in _DIVIDED}
    divided = {g for g, (old, new) in zip(groups, pairs, strict=True) if old in _DIVIDED}
    if shared := sorted(kept & divided):
        yield (
            f"{request.source}: {counted(len(shared), 'group')} ({listed(shared)}) in a subset "
            "that is kept, and in training or validation as well"
        )
    labels = {part.subset: part.labels for part in _parts(after, groups)}
    for subset, other in ((TRAINING, VALIDATION), (VALIDATION, TRAINING)):
        if lacking := sorted(labels[other].keys() - labels[subset].keys()):
            yield f"{counted(len(lacking), 'label')} not in {subset}: {listed(lacking)}"
