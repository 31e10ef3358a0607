"""ActivityNet's JSON, which HACS Segments and THUMOS14 also use.

{"version": ..., "taxonomy": [...],
 "database": {id: {"subset", "duration", "annotations": [{"segment": [s, e], "label"}], ...}}}

HACS quotes its durations and leaves `annotations` out of test videos. THUMOS14's JSON capitalizes
subsets and marks ambiguous segments with the label `Ambiguous`. The videos may be at the top level,
without `database` (Ego4D's JSON), and their annotations may be "actions" of [class, start, end]
(Charades, MultiTHUMOS). `entries` defines the keys.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.data.annotations.base import (
    Annotations,
    Hints,
    written_id,
    written_instances,
)
from actspan.data.annotations.entries import COUNTS, RATES, EntryReader
from actspan.data.annotations.repeated import repeated_keys
from actspan.data.annotations.source import Source
from actspan.data.annotations.subset_lists import with_listed_subsets
from actspan.data.annotations.undecoded import NotPlainError, UndecodedObject
from actspan.data.annotations.writing import Style

_HEAD = ("version", "taxonomy")  # keys that may be beside videos at the top level


def fits(source: Source) -> bool:
    """Return whether the source is a JSON object of videos, or has one under `database`."""
    if not source.may_be_json:
        return False
    if source.undecoded is not None:
        with suppress(NotPlainError):
            return source.undecoded.holds_object("database") or _are_videos(
                source.undecoded.objects()
            )
    document = source.json.document
    if not isinstance(document, dict):
        return False
    return isinstance(document.get("database"), dict) or _are_videos(document.values())


def _are_videos(values: Iterable[Any]) -> bool:
    """Return whether the first annotated object is not in the BSN authors' format."""
    objects = (value for value in values if isinstance(value, dict))
    annotated = (o for o in objects if isinstance(o.get("annotations", o.get("actions")), list))
    first = next(annotated, {"duration_second": None})
    return "duration_second" not in first


def read(source: Source, hints: Hints) -> Annotations:
    """Read a JSON document of videos."""
    if not fits(source):
        raise AnnotationError(
            f"{source.path}: not ActivityNet's format: an object 'database' of videos is needed"
        )
    if source.undecoded is not None:
        with suppress(NotPlainError):
            return _read_in_parts(source.path, source.undecoded)
    document, holders = source.json
    key = "database" if isinstance(document.get("database"), dict) else None
    rest = {k: v for k, v in document.items() if k != key and (key or k in _HEAD)}
    entries = document[key] if key else {k: v for k, v in document.items() if k not in _HEAD}
    found = _read_entries(source.path, entries.items(), rest)
    top = document[key] if key else document
    repeated = repeated_keys(source.path, holders, top, entries)
    return replace(found, problems=(*repeated, *found.problems))


def _read_in_parts(path: Path, document: UndecodedObject) -> Annotations:
    """Read with little memory; raise NotPlainError if the whole document has to be parsed."""
    if document.holds_object("database"):
        entries, rest = document.entries("database"), document.without("database")
    else:
        entries, rest = document.entries(besides=_HEAD), document.only(_HEAD)
    found = _read_entries(path, entries, rest)
    document.require_all_seen()
    return found


def _read_entries(
    path: Path, entries: Iterable[tuple[str, Any]], rest: dict[str, Any]
) -> Annotations:
    reader = EntryReader(path)
    videos, rest, notes = with_listed_subsets(reader.videos(entries), rest, path, reader.problems)
    return Annotations(
        path,
        "activitynet",
        videos,
        tuple(reader.problems),
        rest,
        notes=(*reader.notes(), *notes),
        clocks=frozenset(reader.clocks),
    )


def document_of(
    videos: Iterable[Video], *, document: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return videos in ActivityNet's format, with the extra keys that they were read with.

    Parameters
    ----------
    document : mapping, optional
        Keys to write beside the videos: the version and taxonomy of the source.
    """
    head = {"version": "ActSpan 1", "taxonomy": [], **(document or {})}
    return {**head, "database": {written_id(v.id): _entry(v) for v in videos}}


def _entry(video: Video) -> dict[str, Any]:
    known = {
        "subset": video.subset,
        "duration": None if math.isnan(video.duration) else video.duration,
        **{key: getattr(video, key) for key in (*COUNTS, *RATES)},
    }
    instances = [{"segment": [s, e], "label": label} for s, e, label in written_instances(video)]
    kept = {key: value for key, value in known.items() if value is not None}
    return {**kept, **video.extra, "annotations": instances}


def encode(videos: Sequence[Video], style: Style) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a JSON document of all videos."""
    try:
        text = json.dumps(
            document_of(videos, document=style.document), indent=1, ensure_ascii=False
        )
    except RecursionError as error:
        raise AnnotationError(
            "what a video has beside its segments is nested too deeply to be written; remove it"
        ) from error
    # UTF-8 cannot encode half a surrogate pair. The escape that replaces it here is valid JSON.
    yield "annotations.json", (text + "\n").encode("utf-8", "backslashreplace")
