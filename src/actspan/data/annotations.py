"""Annotations as people have them: ActivityNet JSON and the BSN authors' pair of files."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from actspan.data.problems import Loss, Problem
from actspan.errors import AnnotationError
from actspan.types import Float64, Video

AUTHORS_JSON = "anet_anno_action.json"
AUTHORS_TABLE = "video_info_new.csv"
DATASET_JSON = "annotations.json"
# where the authors' repository keeps its annotations, seen from its root or its data folder
_AUTHORS_PLACES = (".", "activitynet_annotations", "data/activitynet_annotations")

_FIELDS = {"subset", "duration", "annotations", "frames", "fps", "snippet_stride", "snippet_length"}


@dataclass(frozen=True, slots=True)
class Annotations:
    """Videos of one source, and what was wrong with it.

    Attributes
    ----------
    path : Path
        The file they were read from.
    form : "activitynet" or "authors"
    videos : tuple of Video
        In the file's order; segments as annotated.
    problems : tuple of Problem
        Entries that could not be read, repeated ids.
    """

    path: Path
    form: Literal["activitynet", "authors"]
    videos: tuple[Video, ...]
    problems: tuple[Problem, ...]


def canonical_id(name: str) -> str:
    """Strip a literal `v_`, which some layouts put before every id (bsn.md section 1)."""
    return name.removeprefix("v_")


def find_annotations(folder: Path) -> Path | None:
    """Locate the annotations of a dataset folder, ActivityNet's form or the authors'."""
    if (folder / DATASET_JSON).is_file():
        return folder / DATASET_JSON
    candidates = (folder / place / AUTHORS_JSON for place in _AUTHORS_PLACES)
    return next((path for path in candidates if path.is_file()), None)


def read_annotations(path: Path | str) -> Annotations:
    """Read an ActivityNet-form JSON, the authors' JSON, or a folder that holds either.

    The authors' JSON names no subsets: they come from `video_info_new.csv` beside it.

    Raises
    ------
    AnnotationError
        Missing, not JSON, or neither form; says which file and where.
    """
    path = Path(path)
    if path.is_dir():
        found = find_annotations(path)
        if found is None:
            raise AnnotationError(f"{path}: holds neither {DATASET_JSON} nor {AUTHORS_JSON}")
        path = found
    document, repeated = _load_json(path)
    problems = [_repeated(name, path) for name in repeated]
    if isinstance(document.get("database"), dict):
        return _collect(path, "activitynet", document["database"], problems)
    if any(isinstance(v, dict) and "duration_second" in v for v in document.values()):
        entries = _with_subsets(document, path.parent / AUTHORS_TABLE, problems)
        return _collect(path, "authors", entries, problems)
    raise AnnotationError(
        f"{path}: neither ActivityNet's form (an object 'database' of videos) nor the BSN authors' "
        "(videos with 'duration_second')"
    )


def _load_json(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Parse a JSON object; also returns keys that stand twice (the first is kept)."""
    repeated: list[str] = []

    def keep_first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        made = {}
        for key, value in pairs:
            if key in made:
                repeated.append(key)
            made.setdefault(key, value)
        return made

    try:
        document = json.loads(path.read_bytes(), object_pairs_hook=keep_first)
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: not valid JSON: {error}") from error
    except RecursionError as error:
        raise AnnotationError(f"{path}: JSON nested too deeply to be annotations") from error
    if not isinstance(document, dict):
        raise AnnotationError(f"{path}: a JSON object is needed, not {type(document).__name__}")
    return document, repeated


def _repeated(name: str, path: Path) -> Problem:
    return Problem(
        canonical_id(name), str(path), "id listed twice", "keep one of the two entries", Loss.FILE
    )


def _collect(
    path: Path,
    form: Literal["activitynet", "authors"],
    entries: Mapping[str, Any],
    problems: list[Problem],
) -> Annotations:
    parse = _activitynet_video if form == "activitynet" else _authors_video
    videos: dict[str, Video] = {}
    for name, entry in entries.items():
        try:
            if not isinstance(entry, dict):
                raise TypeError(f"{entry!r} is not an object")
            video = parse(canonical_id(name), entry)
        except (KeyError, TypeError, ValueError) as error:
            why = f"no {error}" if isinstance(error, KeyError) else str(error)
            remedy = "mend the entry, or remove it"
            problems.append(Problem(canonical_id(name), str(path), f"bad entry: {why}", remedy))
            continue
        if video.id in videos:
            problems.append(_repeated(video.id, path))
        videos.setdefault(video.id, video)
    return Annotations(path, form, tuple(videos.values()), tuple(problems))


def _activitynet_video(name: str, entry: dict[str, Any]) -> Video:
    segments, labels = _instances(entry.get("annotations", []))
    return Video(
        id=name,
        duration=_number(entry, "duration") if "duration" in entry else math.nan,
        subset=str(entry.get("subset", "")),
        segments=segments,
        labels=labels,
        frames=int(_number(entry, "frames")) if "frames" in entry else None,
        fps=_optional(entry, "fps"),
        snippet_stride=_optional(entry, "snippet_stride"),
        snippet_length=_optional(entry, "snippet_length"),
        extra={key: value for key, value in entry.items() if key not in _FIELDS},
    )


def _authors_video(name: str, entry: dict[str, Any]) -> Video:
    segments, labels = _instances(entry.get("annotations", []))
    return Video(
        id=name,
        duration=_number(entry, "duration_second"),
        subset=str(entry.get("subset", "")),
        segments=segments,
        labels=labels,
        frames=int(_number(entry, "duration_frame")),
        feature_frames=int(_number(entry, "feature_frame")),
    )


def _number(entry: Mapping[str, Any], key: str) -> float:
    value = entry[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{key!r} is {value!r}, not a number")
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{key!r} is {value}, not a positive number")
    return float(value)


def _optional(entry: Mapping[str, Any], key: str) -> float | None:
    return None if entry.get(key) is None else _number(entry, key)


def _instances(annotations: Iterable[dict[str, Any]]) -> tuple[Float64, tuple[str, ...]]:
    segments, labels = [], []
    for annotation in annotations:
        segment = annotation["segment"]
        if len(segment) != 2 or not all(isinstance(x, (int, float)) for x in segment):
            raise ValueError(f"segment {segment!r} is not [start, end] in seconds")
        segments.append(segment)
        labels.append(str(annotation.get("label", "")))
    return np.array(segments, dtype=np.float64).reshape(-1, 2), tuple(labels)


def _with_subsets(
    document: dict[str, Any], table: Path, problems: list[Problem]
) -> dict[str, dict[str, Any]]:
    """Entries of the authors' JSON with the subset that their table gives them."""
    subsets = _read_subsets(table)
    entries = {}
    for name, entry in document.items():
        if not isinstance(entry, dict):
            entries[name] = entry
            continue
        subset = subsets.get(canonical_id(name), entry.get("subset", ""))
        entries[name] = {**entry, "subset": subset}
        if subsets and canonical_id(name) not in subsets:
            remedy = "add its row, or remove the video"
            problems.append(Problem(canonical_id(name), str(table), "no row for it", remedy))
    return entries


def _read_subsets(table: Path) -> dict[str, str]:
    if not table.is_file():
        return {}
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            return {canonical_id(row["video"]): row["subset"] for row in csv.DictReader(stream)}
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(
            f"{table}: columns 'video' and 'subset' are needed: {error}"
        ) from error


def activitynet_document(videos: Iterable[Video], *, version: str = "ActSpan 1") -> dict[str, Any]:
    """Videos in ActivityNet's form, with the extra keys they came with."""
    return {"version": version, "taxonomy": [], "database": {v.id: _entry(v) for v in videos}}


def _entry(video: Video) -> dict[str, Any]:
    known = {
        "subset": video.subset,
        "duration": None if math.isnan(video.duration) else video.duration,
        "frames": video.frames,
        "fps": video.fps,
        "snippet_stride": video.snippet_stride,
        "snippet_length": video.snippet_length,
    }
    instances = [{"segment": [s, e], "label": label} for s, e, label in video.instances()]
    kept = {key: value for key, value in known.items() if value is not None}
    return {**kept, **video.extra, "annotations": instances}


def write_annotations(path: Path, videos: Iterable[Video]) -> None:
    """Write ActivityNet's form."""
    text = json.dumps(activitynet_document(videos), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
