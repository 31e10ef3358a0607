"""The BSN authors' pair of files: a JSON of all videos, and a table that gives their subsets."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import Any

from actspan.data.annotations.activitynet import collect, instances_of
from actspan.data.annotations.base import (
    Annotations,
    Hints,
    Source,
    canonical_id,
    canonical_subset,
    make_video,
    number,
    repeated_id,
)
from actspan.data.problems import Problem
from actspan.errors import AnnotationError
from actspan.files import read_text
from actspan.limits import DOCUMENT
from actspan.types import Video

AUTHORS_JSON = "anet_anno_action.json"
AUTHORS_TABLE = "video_info_new.csv"


def fits(source: Source) -> bool:
    """Whether it is a JSON object of videos with `duration_second`."""
    if not source.may_be_json or not isinstance(source.json.document, dict):
        return False
    entries = source.json.document.values()
    return any(isinstance(entry, dict) and "duration_second" in entry for entry in entries)


def read(source: Source, hints: Hints) -> Annotations:
    """Read the JSON, and the subsets from `video_info_new.csv` beside it."""
    if not fits(source):
        raise AnnotationError(
            f"{source.path}: not the BSN authors' form: videos with 'duration_second' are needed"
        )
    document, repeated = source.json
    problems = [repeated_id(name, source.path) for name in repeated]
    entries = _with_subsets(document, source.path.parent / AUTHORS_TABLE, problems)
    videos = collect(entries.items(), _video, source.path, problems)
    return Annotations(source.path, "authors", videos, tuple(problems))


def _video(name: str, entry: dict[str, Any]) -> Video:
    return make_video(
        name,
        instances_of(entry),
        duration=number(entry["duration_second"], "duration_second"),
        subset=canonical_subset(str(entry.get("subset") or "")),
        frames=int(number(entry["duration_frame"], "duration_frame")),
        feature_frames=int(number(entry["feature_frame"], "feature_frame")),
    )


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
        rows = csv.DictReader(StringIO(read_text(table, DOCUMENT), newline=""))
        return {canonical_id(row["video"]): row["subset"] for row in rows}
    except (OSError, KeyError, TypeError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(
            f"{table}: columns 'video' and 'subset' are needed: {error}"
        ) from error
