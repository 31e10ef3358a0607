"""The BSN authors' pair of files: a JSON of all videos, and a table that gives their subsets."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from actspan.data.annotations.base import Annotations, Hints, canonical_id, repeated_id
from actspan.data.annotations.entries import EntryReader
from actspan.data.annotations.source import Source
from actspan.data.problems import Problem
from actspan.errors import AnnotationError
from actspan.files import read_text
from actspan.limits import DOCUMENT
from actspan.wording import counted, named

AUTHORS_JSON = "anet_anno_action.json"
AUTHORS_TABLE = "video_info_new.csv"
_KEYS = frozenset({"duration_second", "duration_frame", "feature_frame"})


def fits(source: Source) -> bool:
    """Return whether it is a JSON object of videos with `duration_second`."""
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
    reader = EntryReader(source.path, _KEYS)
    reader.problems += (repeated_id(name, source.path) for name in repeated)
    table = source.path.parent / AUTHORS_TABLE
    subsets = _read_subsets(table)
    reader.problems += _give_subsets(document, subsets, table)
    videos = reader.videos(document.items())
    others = [name for name in subsets if name not in videos.places]
    notes = reader.notes()
    if others:
        rows = counted(len(others), "row")
        notes += (f"{table}: ignored {rows} of videos that are not in the JSON: {named(others)}",)
    return Annotations(source.path, "authors", videos, tuple(reader.problems), assumptions=notes)


def _give_subsets(
    document: dict[str, Any], subsets: Mapping[str, str], table: Path
) -> Iterator[Problem]:
    """Write the subsets of the table into the entries; videos that have no row are problems."""
    for name, entry in document.items():
        video = canonical_id(name)
        if isinstance(entry, dict) and video in subsets:
            entry["subset"] = subsets[video]
        elif isinstance(entry, dict) and subsets:
            remedy = "add its row, or remove the video"
            yield Problem(video, str(table), "no row for it", remedy)


def _read_subsets(table: Path) -> dict[str, str]:
    if not table.is_file():
        return {}
    try:
        rows = csv.DictReader(StringIO(read_text(table, DOCUMENT), newline=""))
        return {canonical_id(row["video"]): row["subset"] or "" for row in rows}
    except (OSError, KeyError, TypeError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(
            f"{table}: columns 'video' and 'subset' are needed: {error}"
        ) from error
