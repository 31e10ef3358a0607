"""ActivityNet's JSON; HACS Segments and THUMOS14 in that form are read by the same code.

{"version": ..., "taxonomy": [...],
 "database": {id: {"subset", "duration", "annotations": [{"segment": [s, e], "label"}], ...}}}

HACS quotes its durations and leaves `annotations` out of test videos; THUMOS14's JSON writes
subsets with capitals and marks doubtful stretches with the label `Ambiguous`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from actspan.data.annotations.base import (
    Annotations,
    Hints,
    Instance,
    Source,
    canonical_id,
    canonical_subset,
    make_video,
    number,
    repeated_id,
    written_id,
    written_instances,
)
from actspan.data.annotations.undecoded import NotPlainError, UndecodedObject
from actspan.data.annotations.writing import Style
from actspan.data.problems import Problem
from actspan.data.videos import Videos
from actspan.errors import AnnotationError
from actspan.types import Video

# keys of a video that are fields of Video; all others are kept as they are
_COUNTS = ("frames", "feature_frames")
_RATES = ("fps", "snippet_stride", "snippet_length")
_FIELDS = {"subset", "duration", "annotations", *_COUNTS, *_RATES}


def fits(source: Source) -> bool:
    """Whether it is a JSON object with a `database` of videos."""
    if not source.may_be_json:
        return False
    if source.undecoded is not None:
        return source.undecoded.holds_object("database")
    document = source.json.document
    return isinstance(document, dict) and isinstance(document.get("database"), dict)


def read(source: Source, hints: Hints) -> Annotations:
    """Read a JSON document with a `database`."""
    if not fits(source):
        raise AnnotationError(
            f"{source.path}: not ActivityNet's form: an object 'database' of videos is needed"
        )
    if source.undecoded is not None:
        with suppress(NotPlainError):
            return _read_in_parts(source.path, source.undecoded)
    document, repeated = source.json
    problems = [repeated_id(name, source.path) for name in repeated]
    videos = collect(document["database"].items(), _video, source.path, problems)
    rest = {key: value for key, value in document.items() if key != "database"}
    return Annotations(source.path, "activitynet", videos, tuple(problems), rest)


def _read_in_parts(path: Path, document: UndecodedObject) -> Annotations:
    """The same with little memory; raises NotPlainError where that cannot be done."""
    problems: list[Problem] = []
    videos = collect(document.entries("database"), _video, path, problems)
    rest = document.without("database")
    document.require_all_seen()
    return Annotations(path, "activitynet", videos, tuple(problems), rest)


def collect(
    entries: Iterable[tuple[str, Any]],
    parse: Callable[[str, dict[str, Any]], Video],
    path: Path,
    problems: list[Problem],
) -> Videos:
    """Make a video of every entry; those that cannot be read, or are there twice, are problems."""
    return Videos(_parsed(entries, parse, path, problems))


def _parsed(
    entries: Iterable[tuple[str, Any]],
    parse: Callable[[str, dict[str, Any]], Video],
    path: Path,
    problems: list[Problem],
) -> Iterator[Video]:
    seen: set[str] = set()
    for name, entry in entries:
        try:
            if not isinstance(entry, dict):
                raise TypeError(f"{entry!r} is not an object")
            video = parse(canonical_id(name), entry)
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            why = f"no {error}" if isinstance(error, KeyError) else str(error)
            remedy = "mend the entry, or remove it"
            problems.append(Problem(canonical_id(name), str(path), f"bad entry: {why}", remedy))
            continue
        if video.id in seen:
            problems.append(repeated_id(video.id, path))
            continue
        seen.add(video.id)
        yield video


def instances_of(entry: Mapping[str, Any]) -> Iterator[Instance]:
    """The annotations of a video; none where there is no such key.

    Raises
    ------
    KeyError, TypeError, ValueError
        One is not `{"segment": [start, end], "label": ...}`.
    """
    annotations = entry.get("annotations") or []
    if not isinstance(annotations, list):
        raise TypeError(f"'annotations' is {annotations!r}, not a list")
    for annotation in annotations:
        if not isinstance(annotation, dict):
            raise TypeError(f"annotation {annotation!r} is not an object")
        segment = annotation["segment"]
        if not isinstance(segment, list) or len(segment) != 2 or not all(map(_is_time, segment)):
            raise ValueError(f"segment {segment!r} is not [start, end] in seconds")
        label = annotation.get("label")
        yield float(segment[0]), float(segment[1]), "" if label is None else str(label)


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def optional(entry: Mapping[str, Any], key: str) -> float | None:
    """A positive number, or None where the key is missing or null."""
    return None if entry.get(key) is None else number(entry[key], key)


def _video(name: str, entry: dict[str, Any]) -> Video:
    duration = optional(entry, "duration")
    counts = {key: optional(entry, key) for key in _COUNTS}
    return make_video(
        name,
        instances_of(entry),
        duration=math.nan if duration is None else duration,
        subset=canonical_subset(str(entry.get("subset") or "")),
        **{key: None if count is None else int(count) for key, count in counts.items()},
        **{key: optional(entry, key) for key in _RATES},
        extra={key: value for key, value in entry.items() if key not in _FIELDS},
    )


def document_of(
    videos: Iterable[Video], *, document: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Videos in ActivityNet's form, with the extra keys they came with.

    Parameters
    ----------
    document : mapping, optional
        Keys that shall stand beside the videos: the version and taxonomy of the source.
    """
    head = {"version": "ActSpan 1", "taxonomy": [], **(document or {})}
    return {**head, "database": {written_id(v.id): _entry(v) for v in videos}}


def _entry(video: Video) -> dict[str, Any]:
    known = {
        "subset": video.subset,
        "duration": None if math.isnan(video.duration) else video.duration,
        **{key: getattr(video, key) for key in (*_COUNTS, *_RATES)},
    }
    instances = [{"segment": [s, e], "label": label} for s, e, label in written_instances(video)]
    kept = {key: value for key, value in known.items() if value is not None}
    return {**kept, **video.extra, "annotations": instances}


def encode(videos: Sequence[Video], style: Style) -> Iterator[tuple[str, bytes]]:
    """Name and content of a JSON document of all videos."""
    try:
        text = json.dumps(
            document_of(videos, document=style.document), indent=1, ensure_ascii=False
        )
    except RecursionError as error:
        raise AnnotationError(
            "what a video has beside its segments is nested too deeply to be written; remove it"
        ) from error
    # half a surrogate pair cannot be UTF-8; the escape this makes of it is JSON's own
    yield "annotations.json", (text + "\n").encode("utf-8", "backslashreplace")
