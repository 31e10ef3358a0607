"""Collection of what readers find: videos from rows, problems, and notes on ignored parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from actspan.config.stages import Unit
from actspan.core.errors import AnnotationError
from actspan.core.problems import Problem, Skipped
from actspan.core.wording import listed, suggestion
from actspan.data.annotations.annotation_set import (
    NO_LABEL,
    Annotations,
    Instance,
    ReadOptions,
    Source,
    make_video,
)
from actspan.data.annotations.fields import Facts
from actspan.data.names import FileNames, Ignored
from actspan.data.videos import Videos, canonical_id

_CLIP = "cut it off with actspan annotate convert --clip, or fix the row"
# What reading a damaged entry of a document raises.
UNUSABLE = (AttributeError, KeyError, TypeError, ValueError, OverflowError)
# Suffixes of formats with one file per video.
_ONE_PER_VIDEO = (".eaf", ".vtt", ".srt", ".textgrid", ".edl", ".otio", ".llc")


class RejectedError(ValueError):
    """A row cannot be used, for a reason with its own remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


class Collector:
    """Problems of a source, and the names in it that were changed or ignored."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.ignored, self.files = Ignored(), FileNames()
        self.clocks: set[str] = set()  # which of "times" and "durations" are clocks

    def add_problem(
        self,
        video: str,
        place: object,
        what: object,
        remedy: str,
        skipped: Skipped = Skipped.SEGMENT,
    ) -> None:
        """Add a problem of a video, given by its id; `what` is a text or an exception."""
        text = f"no {what}" if isinstance(what, KeyError) else str(what)
        self.problems.append(Problem(video, str(place), text, remedy, skipped))

    def collected(
        self,
        format: str,
        videos: Videos,
        notes: Iterable[str],
        document: Mapping[str, Any] | None = None,
        unit: Unit = "seconds",
    ) -> Annotations:
        """Return the annotations; `notes` follow those about file names."""
        notes = (*self.files.notes(self.path), *notes)
        problems, clocks = tuple(self.problems), frozenset(self.clocks)
        return Annotations(self.path, format, videos, problems, document or {}, notes, unit, clocks)


class VideoBuilder(Collector):
    """Videos assembled from rows, in order of first mention.

    A row is used as a whole or not at all: every fault is a problem with its place. `repeated` are
    keys that are repeated in the JSON of the source.
    """

    def __init__(self, path: Path, options: ReadOptions, repeated: Iterable[str] = ()) -> None:
        super().__init__(path)
        self._will_clip, self._patterns = options.will_clip, options.tiers
        self.tiers: dict[str, None] = {}  # names of all tiers
        self.ignored.update(("keys that occur twice", key) for key in repeated)
        self._videos: dict[str, tuple[dict[str, Any], list[Instance]]] = {}  # facts, instances
        self._ids: dict[str, str] = {}  # by the names in rows

    def __contains__(self, name: str) -> bool:
        return canonical_id(name.strip()) in self._videos

    def add(self, name: str, instance: Instance | None = None, facts: Facts | None = None) -> None:
        """Add a segment of a video, or a mention of the video alone.

        Raises ValueError if it has no id or no length, or a fact contradicts an earlier row.
        """
        video = self._ids.get(name) or canonical_id(self.files.stem(name.strip()))
        self._ids[name] = video
        if not video:
            raise RejectedError("no video id", "repeat the id in each row")
        if instance is not None:
            self._check(*instance[:2])
        known, instances = self._videos.get(video, ({}, []))
        values = {} if facts is None else facts._asdict()
        values = {key: value for key, value in values.items() if value is not None}
        for key, value in values.items():
            if known.get(key, value) != value:
                raise ValueError(f"{key} {value!r}, but {known[key]!r} in an earlier row")
        known.update(values)
        if instance is not None:
            start, end, label = instance
            instances.append((start, end, "" if label == NO_LABEL else label))
        self._videos[video] = known, instances

    def _check(self, start: float, end: float) -> None:
        if 0 <= start < end < math.inf:
            return
        segment = f"segment [{start:g}, {end:g}]"
        if not (math.isfinite(start) and math.isfinite(end)):
            raise ValueError(f"{segment}: not finite")
        if start < 0 and not self._will_clip:
            what = f"{segment}: starts before the video"
            raise RejectedError(what, _CLIP) if end > 0 else ValueError(what)
        if end <= start:
            what = "zero length" if end == start else "ends before it starts"
            raise ValueError(f"{segment}: {what}")

    def add_or_reject(self, name: str, instance: Instance, place: str) -> bool:
        """Add a segment, or the problem that it cannot be used; return whether it was added."""
        try:
            self.add(name, instance)
        except ValueError as error:
            self.reject(name, place, error)
            return False
        return True

    def reject(
        self,
        video: str,
        place: str,
        what: object,
        skipped: Skipped = Skipped.SEGMENT,
        remedy: str = "",
    ) -> None:
        """Add the problem that a row, or a whole file, cannot be used."""
        thing = "the row" if skipped is Skipped.SEGMENT else "it"
        remedy = getattr(what, "remedy", remedy) or f"fix or remove {thing}"
        self.add_problem(canonical_id(video.strip()), place, what, remedy, skipped)

    def selects_tier(self, name: str) -> bool:
        """Record the name of a tier; return whether it matches one of the patterns, if any."""
        self.tiers[name] = None
        return not self._patterns or any(fnmatchcase(name, x) for x in self._patterns)

    def add_file(self, video: str, file: Path, facts: Facts | None = None) -> None:
        """Add the video of a file; raise AnnotationError if it has no name or two files."""
        if video in self:
            raise AnnotationError(
                f"{file}: video {video!r} is in another {file.suffix} file too; keep one"
            )
        try:
            self.add(video, facts=facts)
        except ValueError as error:
            raise AnnotationError(f"{file}: {error}") from error

    def built(
        self, format: str, notes: Iterable[str] = (), *, unit: Unit = "seconds"
    ) -> Annotations:
        """Return the annotations; `notes` follow those about what was ignored."""
        unknown = {"duration": math.nan, "subset": ""}
        videos = Videos(
            make_video(name, instances, **unknown | facts)
            for name, (facts, instances) in self._videos.items()
        )
        return self.collected(format, videos, (*self.ignored.notes(self.path), *notes), unit=unit)


def has_files(suffix: str, source: Source) -> bool:
    """Return whether the source is a file with the suffix, or a folder that contains any."""
    return bool(_files_of(source.path, suffix))


def _files_of(path: Path, *suffixes: str) -> list[Path]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [f for f in files if f.suffix.lower() in suffixes and not f.name.startswith(".")]


def read_files(
    format: str,
    suffix: str,
    read_file: Callable[[Path, VideoBuilder], None],
    source: Source,
    options: ReadOptions,
) -> Annotations:
    """Read one file, or all files with a suffix in a folder; count other annotations as ignored.

    Raises AnnotationError if no such file, the only one is damaged, or one of the given
    patterns matches no tier. In a folder, a damaged one is a problem.
    """
    path, builder = source.path, VideoBuilder(source.path, options)
    if not path.is_dir():
        read_file(path, builder)
    elif not has_files(suffix, source):
        raise AnnotationError(f"{path}: contains no {suffix} files")
    else:
        for file in _files_of(path, suffix, *_ONE_PER_VIDEO):
            if file.suffix.lower() != suffix:
                builder.ignored["files of other formats, which --from selects", file.suffix] += 1
                continue
            try:
                read_file(file, builder)
            except AnnotationError as error:
                what = str(error).removeprefix(f"{file}: ")
                builder.reject(file.stem, str(file), what, Skipped.VIDEO)
    for pattern in options.tiers:
        if not any(fnmatchcase(name, pattern) for name in builder.tiers):
            raise AnnotationError(
                f"{path}: no tier matches {pattern!r}{suggestion(pattern, builder.tiers)}; "
                f"available: {listed(map(repr, builder.tiers), most=12) or 'none'}"
            )
    return builder.built(format)
