"""The BSN authors' two files: a JSON of all videos, and a table of their subsets."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

from actspan.core.errors import AnnotationError
from actspan.core.files import read_text
from actspan.core.limits import DOCUMENT
from actspan.core.problems import Problem
from actspan.core.wording import counted, listed
from actspan.data.annotations.annotation_set import (
    Annotations,
    ReadOptions,
    Source,
    canonical_id,
)
from actspan.data.annotations.json_entries import EntryReader
from actspan.data.annotations.role_names import NAMES, normalized, place_of
from actspan.data.json_objects import decode, is_object
from actspan.data.videos import Videos

AUTHORS_JSON = "anet_anno_action.json"
AUTHORS_TABLE = "video_info_new.csv"
_KEYS = frozenset({"duration_second", "duration_frame", "feature_frame"})


def fits(source: Source) -> bool:
    """Return whether the source is a JSON object of videos with `duration_second`."""
    if source.object is None:
        return False
    parts = source.object[0].values()
    return any(
        is_object(part) and "duration_second" in source.parsed(decode, part)[0] for part in parts
    )


def read(source: Source, options: ReadOptions) -> Annotations:
    """Read the JSON, and the subsets from `video_info_new.csv` beside it."""
    assert source.object is not None
    entries, repeated = source.object
    reader = EntryReader(source, _KEYS)
    table = source.path.parent / AUTHORS_TABLE
    subsets = _read_subsets(table, reader.problems)
    for name, part in entries.items() if subsets else ():
        if canonical_id(name) not in subsets and is_object(part):
            remedy = "add its row, or remove the video"
            reader.problems.append(Problem(canonical_id(name), str(table), "no row for it", remedy))
    videos = Videos(reader.videos(entries, repeated, subsets))
    notes = []
    if others := [name for name in subsets if name not in videos.places]:
        rows = counted(len(others), "row")
        ids = listed(others)
        notes.append(f"{table}: ignored {rows} of videos that are not in the JSON: {ids}")
    return reader.built("authors", videos, notes=notes)


def _read_subsets(table: Path, problems: list[Problem]) -> dict[str, str]:
    """Return the subset per video; rows that contradict an earlier one are added to `problems`."""
    if not table.is_file():
        return {}
    try:
        rows = [row for row in csv.reader(StringIO(read_text(table, DOCUMENT), newline="")) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"{table}: cannot be read: {error}; save it as CSV UTF-8") from error
    head = rows[0] if rows else []
    names = [normalized(name) for name in head]
    columns = [place_of(names, NAMES[role]) for role in ("video", "subset")]
    if None in columns:
        raise AnnotationError(
            f"{table}: columns 'video' and 'subset' are needed; there are: "
            f"{listed(map(repr, head), 12) or 'none'}"
        )
    subsets: dict[str, str] = {}
    for row in rows[1:]:
        video, found = (row[i].strip() if i is not None and i < len(row) else "" for i in columns)
        name = canonical_id(video)
        if subsets.setdefault(name, found) != found:
            what = f"subset {found!r}, but {subsets[name]!r} in an earlier row"
            problems.append(Problem(name, str(table), what, "keep one row per video"))
    return subsets
