"""Conversion between formats of annotations, with all problems reported together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.problems import Problem, Skipped, raise_errors, raise_nothing_left
from actspan.core.types import Video
from actspan.core.wording import counted, listed, quoted
from actspan.data.annotations.annotation_set import Annotations, Unit
from actspan.data.annotations.formats import DATASET_JSON, read_annotations
from actspan.data.annotations.saving import format_to_write, write_annotations
from actspan.data.instances import clipped, faulty_segments, good_segments, late_ends
from actspan.data.times import in_seconds, wrong_unit
from actspan.data.videos import Videos, canonical_subset

_SHORTEST, _SHORTEST_VIDEO = 0.05, 1.0  # seconds; if most are shorter, the unit must be another
# Formats whose unit of times is fixed.
_TIMED = ("boris", "elan", "labelstudio", "srt", "textgrid", "via", "vtt")


@dataclass(frozen=True, slots=True)
class Conversion:
    """Request to convert annotations.

    Attributes
    ----------
    source, target : Path
        `target` may be an existing folder: `annotations.json` is written into it.
    format, target_format : str, optional
        Format of the source, by default from its content; of the target, from its suffix.
    rename_subsets : mapping
        New names of subsets; "" names the videos that have none.
    subset : str, optional
        Keep only the videos of this subset (its new name).
    fps : float, optional
        Frames per second of videos that do not give their own.
    times : "seconds", "frames" or "milliseconds", optional
        Unit of the source's times; by default seconds; times that cannot be are refused.
    clip : bool
        Clip instances to their video.
    tiers : tuple of str
        ELAN's tiers to read, by pattern.
    columns : mapping
        Names of a table's columns by role ("video", "label", ...); found by name by default.
    durations : Path, optional
        Annotations or a table (video, duration) with facts that the source lacks: duration,
        subset, frame rate, number of frames.
    on_error : "fail" or "skip"
        Raise with all problems, or skip the bad data.
    overwrite : bool
        Replace a target that exists.
    """

    source: Path
    target: Path
    format: str | None = None
    target_format: str | None = None
    rename_subsets: Mapping[str, str] = field(default_factory=dict)
    subset: str | None = None
    fps: float | None = None
    times: Unit | None = None
    clip: bool = False
    tiers: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    durations: Path | None = None
    on_error: Literal["fail", "skip"] = "fail"
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Converted:
    """Result of `convert_annotations`.

    Attributes
    ----------
    format : str
        Format of the source.
    target : Path
        The file that was written.
    videos : Videos
        The written videos.
    problems : tuple of Problem
        Skipped data, and notes.
    notes : tuple of str
    """

    format: str
    target: Path
    videos: Videos
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Return counts: videos, instances with and without label, ignored segments, ..."""
        labels = Counter(label for v in self.videos for label in v.labels)
        return {
            "videos": len(self.videos),
            "instances": sum(len(v.segments) for v in self.videos),
            "unlabelled": labels.pop("", 0),
            "ignored": sum(len(v.ignored) for v in self.videos),
            "subsets": dict(Counter(v.subset for v in self.videos)),
            "labels": dict(labels),
        }


def convert_annotations(request: Conversion) -> Converted:
    """Read annotations in one format and write them in another.

    Raises
    ------
    DatasetError
        There are problems and `on_error` is "fail"; nothing is written.
    AnnotationError
        The source cannot be read, nothing is left of it, or the target already exists.
    ConfigError
        A format is unknown, or cannot be written.
    """
    columns, of_durations = _shared_columns(request)
    found = read_annotations(
        request.source,
        format=request.format,
        fps=request.fps,
        tiers=request.tiers,
        columns=columns,
        will_clip=request.clip,
    )
    target = request.target / DATASET_JSON if request.target.is_dir() else request.target
    format = format_to_write(target, request.target_format).name
    if target.exists() and not request.overwrite:
        raise AnnotationError(f"{target}: already exists; --force replaces it{_keeping(request)}")
    videos, problems, notes = found.videos, list(found.problems), found.notes
    if request.durations is not None:
        known = read_annotations(request.durations, columns=of_durations, only_facts=True)
        require_common_ids(found, known)
        notes += tuple(_disagreeing(found, known))
        videos = with_facts(videos, known.videos)
        problems += known.problems
        notes += known.notes
    if request.fps is not None:
        if request.times != "frames" and found.unit != "frames":
            notes += (_unused_rate(videos, request.fps, found.path),)
        videos = Videos(replace(v, fps=v.fps or request.fps) for v in videos)
    videos = _renamed(videos, request.rename_subsets, found.path)
    videos = of_subset(videos, request.subset, found.path)
    if videos and not any(len(video.segments) + len(video.ignored) for video in videos):
        where = "" if request.subset is None else f" in subset {request.subset!r}"
        notes += (f"{found.path}: holds no instances{where}",)
    videos, timing = _timed(videos, request, found)
    problems += faulty_segments(videos, found.path)
    if not videos and not problems:
        raise AnnotationError(f"{found.path}: holds no videos")
    if not videos:
        raise_nothing_left(problems, 0)
    good = good_segments(videos)
    if request.on_error == "fail":
        raise_errors(problems, leaves_something=bool(good.any()))
    problems += _durations_missing(videos, found.path)
    videos = videos.with_instances(good)
    write_annotations(target, videos, format=format, document=found.document)
    notes = (*notes, *(f"{found.path}: {note}" for note in timing))
    return Converted(found.format, target, videos, tuple(problems), notes)


def _shared_columns(request: Conversion) -> tuple[dict[str, str], dict[str, str]]:
    """Return the columns of the source, and those of the table of durations if there is one."""
    columns, of_durations = dict(request.columns), {}
    durations = request.durations
    if durations is not None and durations.suffix.lower() in (".csv", ".tsv"):
        of_durations = {role: columns.pop(role) for role in ("duration",) if role in columns}
    return columns, of_durations


def _keeping(request: Conversion) -> str:
    """Return how to keep the facts in an existing target; "" if durations are given."""
    if request.durations is not None:
        return ""
    return f"; to keep its durations and frame rates: --durations {quoted(request.target)} --force"


def _unused_rate(videos: Videos, fps: float, path: Path) -> str:
    """Return the note that --fps is not needed, because times are not frame numbers."""
    count = sum(video.fps is None for video in videos)
    use = f"only written as the frame rate of {counted(count, 'video')}" if count else "not used"
    return f"{path}: times are not frame numbers, so --fps {fps:g} is {use}"


def _timed(
    videos: Videos, request: Conversion, found: Annotations
) -> tuple[Videos, tuple[str, ...]]:
    """Convert times to seconds and clip them, as requested; return the videos and notes."""
    notes: tuple[str, ...] = ()
    if request.times is not None:
        if found.format in _TIMED:
            raise ConfigError(f"{found.path}: {found.format} says itself what its times are")
        if found.unit == "seconds":
            _refuse_clocks(request.times, found)
            scaled, notes = in_seconds(
                videos,
                request.times,
                request.fps,
                found.path,
                with_durations="durations" not in found.clocks,
            )
            _require_lengths(videos, scaled, request.times, found.path)
            videos = scaled
        elif found.unit != request.times:
            raise ConfigError(
                f"{found.path}: times are {found.unit} by the names of their columns; rename them, "
                f"or leave out --times {request.times}"
            )
    elif unit := wrong_unit(videos, videos.durations):
        raise AnnotationError(
            f"{found.path}: {unit.what}: pass {unit.options}; or correct the durations, if times "
            "are seconds"
        )
    if request.clip:
        videos, cut = clipped(videos)
        notes = (*notes, *cut)
    elif late := late_ends(videos):
        notes = (*notes, f"{late}: kept as annotated; --clip cuts them off")
    return videos, notes


def _refuse_clocks(times: Unit, found: Annotations) -> None:
    """Raise ConfigError if a unit is given for clock times, which are in seconds."""
    if times != "seconds" and "times" in found.clocks:
        raise ConfigError(
            f"{found.path}: times are clocks, as 0:01, so they are seconds: leave out --times "
            f"{times}, or write all of them as {times}"
        )


def _require_lengths(before: Videos, after: Videos, times: Unit, path: Path) -> None:
    """Raise AnnotationError if the conversion makes most instances or videos implausibly short."""
    if times == "seconds":
        return
    lengths = np.diff(after.segments)[:, 0]
    scaled = after.durations[after.durations != before.durations]  # NaN never counts as short
    for what, found, shortest in (
        ("instances", lengths[lengths > 0], _SHORTEST),
        ("videos", scaled, _SHORTEST_VIDEO),
    ):
        if 2 * int((found < shortest).sum()) > len(found):
            low, high = 1000 * found.min(), 1000 * found.max()
            raise AnnotationError(
                f"{path}: {what} would be {low:.3g} to {high:.3g} ms long: are the times seconds "
                f"already? leave out --times {times}"
            )


def with_facts(videos: Iterable[Video], known: Iterable[Video]) -> Videos:
    """Return the videos with missing durations, subsets, rates and frames taken from `known`."""
    by_id = {video.id: video for video in known}
    return Videos(_filled(v, by_id[v.id]) if v.id in by_id else v for v in videos)


def require_common_ids(annotations: Annotations, known: Annotations) -> None:
    """Raise AnnotationError, with ids of both sources, if they have no video in common."""
    ours, theirs = annotations.videos.ids, known.videos.ids
    if ours and not set(ours).intersection(theirs):
        raise AnnotationError(
            f"{known.path}: has none of the {counted(len(ours), 'video')} of {annotations.path}; "
            f"ids there: {listed(map(repr, theirs)) or 'none'}; here: {listed(map(repr, ours))}"
        )


def _disagreeing(annotations: Annotations, known: Annotations) -> Iterator[str]:
    """Yield a line per fact that two sources say of the same videos, and not alike."""
    by_id = {video.id: video for video in known.videos}
    pairs = [(video, by_id[video.id]) for video in annotations.videos if video.id in by_id]
    lengths = [a.id for a, b in pairs if abs(a.duration - b.duration) > max(1, 0.01 * a.duration)]
    subsets = [a.id for a, b in pairs if a.subset and b.subset and a.subset != b.subset]
    for what, ids in (("duration", lengths), ("subset", subsets)):
        if ids:
            yield (
                f"{known.path}: another {what} for {counted(len(ids), 'video')} ({listed(ids)}); "
                f"that of {annotations.path} is kept"
            )


def _filled(video: Video, other: Video) -> Video:
    return replace(
        video,
        subset=video.subset or other.subset,
        duration=other.duration if math.isnan(video.duration) else video.duration,
        fps=video.fps or other.fps,
        frames=video.frames or other.frames,
    )


def _renamed(videos: Videos, names: Mapping[str, str], path: Path) -> Videos:
    pairs = {(canonical_subset(old), canonical_subset(new)) for old, new in names.items()}
    names = dict(pairs)
    if len(names) < len(pairs):
        twice = next(old for old, count in Counter(old for old, _ in pairs).items() if count > 1)
        raise ConfigError(f"--rename-subset gives {twice!r} two names; give one")
    for old in names:
        if old:  # raises if no video has it; "" may match none
            videos.subset(old, path)
    return Videos(replace(v, subset=names.get(v.subset, v.subset)) for v in videos)


def of_subset(videos: Videos, subset: str | None, path: Path) -> Videos:
    """Return the videos of a subset, or all for None; raise as `Videos.subset` does."""
    return videos if subset is None else videos.subset(subset, path)


def _durations_missing(videos: Sequence[Video], path: Path) -> Iterator[Problem]:
    without = [v.id for v in videos if math.isnan(v.duration)]
    if without:
        names = ", ".join(without[:3]) + (", ..." if len(without) > 3 else "")
        remedy = "pass --durations, unless features give the length of the videos"
        what = f"{counted(len(without), 'video')} without duration ({names})"
        yield Problem("", str(path), what, remedy, Skipped.NOTHING)
