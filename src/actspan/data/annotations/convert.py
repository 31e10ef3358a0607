"""Conversion between formats of annotations, with all problems reported together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from actspan.config.stages import Unit
from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.problems import Problem, Skipped, raise_errors, raise_nothing_left
from actspan.core.types import Float64, Video
from actspan.core.wording import counted, listed, quoted
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.format_table import DATASET_JSON, FORMATS
from actspan.data.annotations.formats import format_to_write, read_annotations, write_annotations
from actspan.data.data_requests import ConvertRequest
from actspan.data.instances import clipped, late_ends, segment_problems
from actspan.data.times import conversion, in_seconds, wrong_unit
from actspan.data.videos import Videos, canonical_subset, good_segments

_SHORTEST, _SHORTEST_VIDEO = 0.05, 1.0  # seconds; if most are shorter, the unit must be another


@dataclass(frozen=True, slots=True)
class Conversion:
    """Result of `convert_annotations`."""

    format: str  # of the source
    target: Path
    videos: Videos
    problems: tuple[Problem, ...]  # what was skipped, and notes
    notes: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Return counts: videos, instances with and without label, ignored segments, ..."""
        labels = Counter(self.videos.labels)
        return {
            "videos": len(self.videos),
            "instances": len(self.videos.labels),
            "unlabelled": labels.pop("", 0),
            "ignored": sum(len(v.ignored) for v in self.videos),
            "subsets": dict(Counter(self.videos.subsets)),
            "labels": dict(labels),
        }


@dataclass(frozen=True, slots=True)
class Prepared:
    """A conversion that only has to be written."""

    conversion: Conversion
    format: str  # to write
    document: Mapping[str, Any]  # content of a JSON document beside its videos


def convert_annotations(request: ConvertRequest) -> Conversion:
    """Read annotations in one format and write them in another.

    Raises DatasetError if there are problems and `on_error` is "fail"; AnnotationError if the
    source cannot be read, nothing is left of it, or the target already exists; ConfigError if a
    format is unknown, or cannot be written. Then nothing is written.
    """
    ready = prepare_conversion(request)
    done = ready.conversion
    write_annotations(done.target, done.videos, format=ready.format, document=ready.document)
    return done


def prepare_conversion(request: ConvertRequest, *, of_convert: bool = True) -> Prepared:
    """Read and check annotations as `convert_annotations` does, but write nothing.

    `of_convert` is false for a command without the options of `annotate convert`.
    """
    columns, of_durations = dict(request.columns), {}
    durations = request.durations
    is_table = durations is not None and durations.suffix.lower() in (".csv", ".tsv")
    if is_table and "duration" in columns:
        of_durations["duration"] = columns.pop("duration")
    annotations = read_annotations(
        request.source,
        format=request.format,
        fps=request.fps,
        tiers=request.tiers,
        columns=columns,
        will_clip=request.clip,
    )
    path, videos, problems = annotations.path, annotations.videos, list(annotations.problems)
    notes = list(annotations.notes)
    target, format = _target_of(request, path, of_convert=of_convert)
    if durations is not None:
        known = read_annotations(durations, columns=of_durations, only_facts=True)
        notes += [*_disagreements(annotations, known), *known.notes]
        videos = with_facts(videos, known.videos)
        problems += known.problems
    if request.fps is not None:
        unknown = sum(video.fps is None for video in videos)
        use = f"only written as the frame rate of {counted(unknown, 'video')}"
        if "frames" not in (request.times, annotations.unit):
            what = f"--fps {request.fps:g} is {use if unknown else 'not used'}"
            notes.append(f"{path}: times are not frame numbers, so {what}")
        videos = Videos(replace(v, fps=v.fps or request.fps) for v in videos)
    videos = _rename_subsets(videos, request.rename_subsets, path).subset(request.subset, path)
    if videos and not any(len(video.segments) + len(video.ignored) for video in videos):
        where = "" if request.subset is None else f" in subset {request.subset!r}"
        notes.append(f"{path}: contains no instances{where}")
    videos, timing = _in_seconds(videos, request, annotations, of_convert=of_convert)
    problems += segment_problems(videos, path)
    if not videos and not problems:
        raise AnnotationError(f"{path}: contains no videos")
    if not videos:
        raise_nothing_left(problems, 0)
    good = good_segments(videos)
    if request.on_error == "fail":
        raise_errors(problems, leaves_something=bool(good.any()))
    if without := [v.id for v in videos if math.isnan(v.duration)]:
        names = ", ".join(without[:3]) + (", ..." if len(without) > 3 else "")
        give = "pass" if of_convert else "add them by actspan annotate convert"
        remedy = f"{give} --durations, unless features give the length of the videos"
        what = f"{counted(len(without), 'video')} without duration ({names})"
        problems.append(Problem("", str(path), what, remedy, Skipped.NOTHING))
    videos = videos.with_instances(good)
    notes += [f"{path}: {note}" for note in timing]
    conversion = Conversion(annotations.format, target, videos, tuple(problems), tuple(notes))
    return Prepared(conversion, format, annotations.document)


def _target_of(request: ConvertRequest, source: Path, *, of_convert: bool) -> tuple[Path, str]:
    """Return the file to write and its format; raise AnnotationError if the file exists."""
    target = request.target / DATASET_JSON if request.target.is_dir() else request.target
    format = format_to_write(target, request.target_format).name
    if target.exists() and not request.overwrite:
        what = f"{target}: already exists; --force replaces it"
        if target.resolve() == source.resolve():
            what += ", and keeps its durations and frame rates"
        elif request.durations is None and of_convert:
            keep = f"--durations {quoted(request.target)} --force"
            what = f"{what}; to keep its durations and frame rates: {keep}"
        raise AnnotationError(what)
    return target, format


def _in_seconds(
    videos: Videos, request: ConvertRequest, annotations: Annotations, *, of_convert: bool
) -> tuple[Videos, tuple[str, ...]]:
    """Convert times to seconds and clip them, as requested; return the videos and notes."""
    notes: tuple[str, ...] = ()
    if request.times is not None:
        _require_unit(request.times, annotations)
        before = videos.durations
        if annotations.unit == "seconds":
            convert_durations = "durations" not in annotations.clocks
            videos, notes = in_seconds(
                videos,
                request.times,
                request.fps,
                annotations.path,
                with_durations=convert_durations,
            )
        if annotations.unit == "seconds" != request.times:
            _require_plausible(videos, before, request.times, annotations.path)
    elif unit := wrong_unit(videos, videos.durations):
        path, options = annotations.path, unit.options
        remedy = f"pass {options}" if of_convert else conversion(path, options)
        raise AnnotationError(
            f"{path}: {unit.what}: {remedy}; or correct the durations, if times are seconds"
        )
    if request.clip:
        videos, cut = clipped(videos)
        notes = (*notes, *cut)
    elif late := late_ends(videos):
        notes = (*notes, f"{late}: kept as annotated; --clip cuts them off")
    return videos, notes


def _require_unit(times: Unit, annotations: Annotations) -> None:
    """Raise ConfigError if the source gives another unit of its times."""
    path, problem = annotations.path, ""
    if FORMATS[annotations.format].has_own_unit:
        problem = f"{annotations.format} gives the unit of its times itself: leave out --times"
    elif annotations.unit not in ("seconds", times):
        problem = (
            f"times are {annotations.unit} by the names of their columns; rename them, or leave "
            f"out --times {times}"
        )
    elif annotations.unit == "seconds" != times and "times" in annotations.clocks:
        problem = (
            f"times are clocks, as 0:01, so they are seconds: leave out --times {times}, or write "
            f"all of them as {times}"
        )
    if problem:
        raise ConfigError(f"{path}: {problem}")


def _require_plausible(videos: Videos, before: Float64, times: Unit, path: Path) -> None:
    """Raise AnnotationError if most converted instances or durations are implausibly short."""
    lengths = np.diff(videos.segments)[:, 0]
    scaled = videos.durations[videos.durations != before]  # NaN never counts as short
    for what, values, shortest in (
        ("instances", lengths[lengths > 0], _SHORTEST),
        ("videos", scaled, _SHORTEST_VIDEO),
    ):
        if 2 * int((values < shortest).sum()) > len(values):
            low, high = 1000 * values.min(), 1000 * values.max()
            raise AnnotationError(
                f"{path}: {what} would be {low:.3g} to {high:.3g} ms long: are the times seconds "
                f"already? leave out --times {times}"
            )


def with_facts(videos: Iterable[Video], known: Iterable[Video]) -> Videos:
    """Return the videos with missing durations, subsets, rates and frames taken from `known`."""
    by_id = {video.id: video for video in known}
    pairs = ((video, by_id.get(video.id, video)) for video in videos)
    return Videos(
        replace(
            video,
            subset=video.subset or other.subset,
            duration=other.duration if math.isnan(video.duration) else video.duration,
            fps=video.fps or other.fps,
            frames=video.frames or other.frames,
        )
        for video, other in pairs
    )


def _disagreements(annotations: Annotations, known: Annotations) -> Iterator[str]:
    """Yield a note per fact that two sources state differently.

    Raises AnnotationError, with ids of both sources, if they have no video in common.
    """
    ids_, known_ids = annotations.videos.ids, known.videos.ids
    by_id = {video.id: video for video in known.videos}
    pairs = [(video, by_id[video.id]) for video in annotations.videos if video.id in by_id]
    if ids_ and not pairs:
        raise AnnotationError(
            f"{known.path}: has none of the {counted(len(ids_), 'video')} of {annotations.path}; "
            f"ids there: {listed(map(repr, known_ids)) or 'none'}; here: {listed(map(repr, ids_))}"
        )
    lengths = [a.id for a, b in pairs if abs(a.duration - b.duration) > max(1, 0.01 * a.duration)]
    subsets = [a.id for a, b in pairs if a.subset and b.subset and a.subset != b.subset]
    for what, ids in (("duration", lengths), ("subset", subsets)):
        if ids:
            yield (
                f"{known.path}: another {what} for {counted(len(ids), 'video')} ({listed(ids)}); "
                f"that of {annotations.path} is kept"
            )


def _rename_subsets(videos: Videos, names: Mapping[str, str], path: Path) -> Videos:
    renamed: dict[str, str] = {}
    for old, new in ((canonical_subset(o), canonical_subset(n)) for o, n in names.items()):
        if renamed.setdefault(old, new) != new:
            raise ConfigError(f"--rename-subset gives {old!r} two names; give one")
    for old in filter(None, renamed):  # "" may match none
        videos.subset(old, path)  # raises if no video has it
    return Videos(replace(v, subset=renamed.get(v.subset, v.subset)) for v in videos)
