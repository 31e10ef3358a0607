"""ActivityNet's JSON, which HACS Segments and THUMOS14 also use, and the BSN authors' two files.

{"version": ..., "taxonomy": [...],
 "database": {id: {"subset", "duration", "annotations": [{"segment": [s, e], "label"}], ...}}}

HACS quotes its durations and leaves `annotations` out of test videos. THUMOS14's JSON capitalizes
subsets and marks ambiguous segments with the label `Ambiguous`. The videos may be at the top level,
without `database` (Ego4D's JSON), and their annotations may be "actions" of [class, start, end]
(Charades, MultiTHUMOS). Lists of ids next to `database` may give the subsets. `json_entries`
defines the keys of a video. The authors' files are a JSON of all videos and a table of subsets.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from itertools import takewhile
from pathlib import Path
from sys import intern
from typing import Annotated, Any

import msgspec
import numpy as np

from actspan.config.base import NOT_JSON
from actspan.core.errors import AnnotationError
from actspan.core.limits import NUMBER
from actspan.core.problems import Problem
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.annotation_set import (
    AMBIGUOUS,
    Annotations,
    ReadOptions,
    Source,
    decode,
    decode_object,
    is_object,
    split,
    text_of,
)
from actspan.data.annotations.fields import NAMES, normalized, place_of, written_id
from actspan.data.annotations.json_entries import COUNTS, FIELDS, RATES, EntryReader
from actspan.data.annotations.writing import WriteOptions
from actspan.data.videos import SUBSETS, Videos, canonical_id, canonical_subset

_HEAD = ("version", "taxonomy")  # keys that may be next to videos at the top level
_HARMLESS = {"resolution", "url"}  # other keys of videos in ActivityNet's files
_PLAIN_LABEL = rf"\A(?!({AMBIGUOUS}|\d+)\Z)\S(.*\S)?\Z"
_QUOTED = r"\A[0-9]{1,9}(\.[0-9]{1,9})?\Z"  # HACS quotes durations

AUTHORS_JSON = "anet_anno_action.json"
AUTHORS_TABLE = "video_info_new.csv"
_AUTHORS_KEYS = frozenset({"duration_second", "duration_frame", "feature_frame"})


_Positive = Annotated[float, msgspec.Meta(gt=0, le=NUMBER)] | None
_Count = Annotated[int, msgspec.Meta(gt=0, le=int(NUMBER))] | None


class _PlainInstance(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    segment: tuple[float, float]
    label: Annotated[str, msgspec.Meta(pattern=_PLAIN_LABEL)]


class _PlainEntry(msgspec.Struct, gc=False):
    subset: str = ""
    duration: _Positive | Annotated[str, msgspec.Meta(pattern=_QUOTED)] = None
    frames: _Count = None
    feature_frames: _Count = None
    fps: _Positive = None
    snippet_stride: _Positive = None
    snippet_length: _Positive = None
    annotations: list[_PlainInstance] = []


_decode_plain = msgspec.json.Decoder(_PlainEntry).decode


def read_plain(source: Source) -> Annotations | None:
    """Return the annotations of a document in which all keys are known and all values are plain.

    Return None if something is to be converted or reported, which is left to `read`; for plain
    documents, both return the same. Raises as `Source.json`.
    """
    if source.json is None:
        return None
    document: dict[str, Any] = {}
    try:
        parts = decode_object(source.json)
        entries = decode_object(parts["database"])
        for part, values in ((source.json, parts), (parts["database"], entries)):
            if msgspec.json.encode(values) != memoryview(part):  # a key is repeated
                return None
        for key, part in parts.items():
            if key == "database":
                continue
            document[key] = msgspec.json.decode(part)
            if key not in _HEAD or msgspec.json.encode(document[key]) != memoryview(part):
                return None
        decoded: Iterator[Any] = map(_plain_video, entries, entries.values())
        videos = Videos(takewhile(bool, decoded))
    except (KeyError, *NOT_JSON):
        return None
    if len(videos.indices) < len(entries):
        return None
    return Annotations(source.path, "activitynet", videos, document=document)


def _plain_video(name: str, part: msgspec.Raw) -> Video | None:
    """Return the video of an entry, or None if it is not plain; may raise msgspec's errors."""
    facts, entry = _decode_plain(part), msgspec.json.decode(part)
    extra = {key: value for key, value in entry.items() if key in _HARMLESS}
    duration = math.nan if facts.duration is None else float(facts.duration)
    subset = SUBSETS.get(facts.subset.lower())
    if (
        not entry.keys() <= extra.keys() | FIELDS
        or not all(isinstance(value, str) for value in extra.values())
        or (facts.duration is None and facts.frames and facts.fps)  # which give the duration
        or duration == 0.0
        or (facts.subset and subset is None)
        or not name.isascii()
        or "." in name  # a file name
        or msgspec.json.encode(entry) != memoryview(part)
    ):
        return None
    return Video(
        id=canonical_id(name),
        duration=duration,
        subset=subset or "",
        segments=np.array([x.segment for x in facts.annotations], dtype=np.float64),
        labels=tuple(intern(x.label) for x in facts.annotations),
        **{key: getattr(facts, key) for key in (*COUNTS, *RATES)},
        extra=extra,
    )


def fits(source: Source) -> bool:
    """Return whether the source is a JSON object of videos, or has one under `database`.

    Videos of the BSN authors' format do not count.
    """
    if source.object is not None and is_object(source.object[0].get("database")):
        return True
    lists = (
        e for e in _objects(source) if isinstance(e.get("annotations", e.get("actions")), list)
    )
    return "duration_second" not in next(lists, {"duration_second": None})


def _objects(source: Source) -> Iterator[dict[str, Any]]:
    """Yield the objects that a JSON object has as values."""
    parts = {} if source.object is None else source.object[0]
    return (decode(part)[0] for part in parts.values() if is_object(part))


def read(source: Source, options: ReadOptions) -> Annotations:
    """Read a JSON document of videos, which are decoded one at a time to save memory."""
    assert source.object is not None
    entries, repeated = source.object
    reader, of_document = EntryReader(source.path), list[str]()  # repeated keys next to the videos
    if is_object(entries.get("database")):
        beside, of_document = {k: v for k, v in entries.items() if k != "database"}, repeated
        entries, repeated = split(entries["database"]) or ({}, [])
    else:
        beside = {key: part for key, part in entries.items() if key in _HEAD}
        entries = {key: part for key, part in entries.items() if key not in _HEAD}
    videos = Videos(reader.videos(entries, repeated))
    document, lists = dict[str, Any](), dict[str, list[str]]()
    for key, part in beside.items():
        value, inner = decode(part)
        of_document = [*of_document, *inner]
        is_ids = isinstance(value, list) and all(isinstance(name, str) for name in value)
        is_subset = key not in _HEAD and is_ids and key.lower() in SUBSETS
        (lists if is_subset and value else document)[key] = value
        if key in document and key not in _HEAD and isinstance(value, (list, dict)) and value:
            reader.kept["keys next to the videos", key] += 1
    reader.reject_repeated(of_document)
    videos, notes = _with_subsets(source.path, videos, lists, reader.problems)
    return reader.built("activitynet", videos, document, notes)


def _with_subsets(
    path: Path, videos: Videos, lists: Mapping[str, list[str]], problems: list[Problem]
) -> tuple[Videos, list[str]]:
    """Return the videos with the subsets of lists of ids, and notes; add contradictions."""
    if not lists:
        return videos, []
    subsets: dict[str, str] = {}
    found = [
        (canonical_id(name), canonical_subset(key)) for key, ids in lists.items() for name in ids
    ]
    pairs = [(name, subsets.setdefault(name, new), new, "another list") for name, new in found]
    for name, subset in zip(videos.ids, videos.subsets, strict=True):
        pairs.append((name, subset, subsets.get(name, subset), "a list"))
    for name, one, other, where in pairs:
        if one and one != other:
            what = f"subset {one!r}, but {other!r} in {where}"
            problems.append(Problem(name, str(path), what, "keep one of them"))
    notes = [f"{path}: subsets taken from the lists {listed(map(repr, lists))}"]
    if others := [name for name in subsets if name not in videos.indices]:
        ids = f"{counted(len(others), 'id')} in lists of subsets that are no videos"
        notes.append(f"{path}: ignored {ids}: {listed(others)}")
    return Videos(replace(v, subset=v.subset or subsets.get(v.id, "")) for v in videos), notes


def fits_authors(source: Source) -> bool:
    """Return whether the source is a JSON object of videos with `duration_second`."""
    return any("duration_second" in entry for entry in _objects(source))


def read_authors(source: Source, options: ReadOptions) -> Annotations:
    """Read the JSON, and the subsets from `video_info_new.csv` next to it."""
    assert source.object is not None
    entries, repeated = source.object
    reader = EntryReader(source.path, _AUTHORS_KEYS)
    table = source.path.parent / AUTHORS_TABLE
    subsets = _read_subsets(table, reader.problems)
    for name in (canonical_id(key) for key, part in entries.items() if is_object(part)):
        if subsets and name not in subsets:
            remedy = "add its row, or remove the video"
            reader.problems.append(Problem(name, str(table), "no row for it", remedy))
    videos = Videos(reader.videos(entries, repeated, subsets))
    notes = []
    if others := [name for name in subsets if name not in videos.indices]:
        rows = f"{counted(len(others), 'row')} of videos that are not in the JSON"
        notes.append(f"{table}: ignored {rows}: {listed(others)}")
    return reader.built("authors", videos, notes=notes)


def _read_subsets(table: Path, problems: list[Problem]) -> dict[str, str]:
    """Return the subset per video; rows that contradict an earlier one are added to `problems`."""
    if not table.is_file():
        return {}
    try:
        text = text_of(table, "CSV UTF-8")
        rows = [row for row in csv.reader(StringIO(text, newline="")) if row]
    except csv.Error as error:
        raise AnnotationError(f"{table}: cannot be read: {error}; save it as CSV UTF-8") from error
    head = rows[0] if rows else []
    names = [normalized(name) for name in head]
    columns = [place_of(names, NAMES[role]) for role in ("video", "subset")]
    if None in columns:
        raise AnnotationError(
            f"{table}: columns 'video' and 'subset' are needed; available: "
            f"{listed(map(repr, head), 12) or 'none'}"
        )
    subsets: dict[str, str] = {}
    for row in rows[1:]:
        video, subset = (row[i].strip() if i is not None and i < len(row) else "" for i in columns)
        name = canonical_id(video)
        if subsets.setdefault(name, subset) != subset:
            what = f"subset {subset!r}, but {subsets[name]!r} in an earlier row"
            problems.append(Problem(name, str(table), what, "keep one row per video"))
    return subsets


def encode(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a JSON document of all videos."""
    database = {written_id(video.id): _entry(video) for video in videos}
    document = {"version": "ActSpan 1", "taxonomy": [], **options.document, "database": database}
    try:
        text = json.dumps(document, indent=1, ensure_ascii=False)
    except RecursionError as error:
        raise AnnotationError(
            "other keys of a video are nested too deeply to be written; remove them"
        ) from error
    # UTF-8 cannot encode half a surrogate pair. The escape that replaces it here is valid JSON.
    yield "annotations.json", (text + "\n").encode("utf-8", "backslashreplace")


def _entry(video: Video) -> dict[str, Any]:
    known = {
        "subset": video.subset,
        "duration": None if math.isnan(video.duration) else video.duration,
        **{key: getattr(video, key) for key in (*COUNTS, *RATES)},
    }
    instances = [*video.instances(), *((*pair, AMBIGUOUS) for pair in video.ignored.tolist())]
    kept = {key: value for key, value in known.items() if value is not None}
    annotations = [{"segment": [s, e], "label": label} for s, e, label in instances]
    return {**kept, **video.extra, "annotations": annotations}
