"""The BSN authors' two files: a JSON of all videos, and a table of their subsets."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from actspan.core.errors import AnnotationError
from actspan.core.files import read_text
from actspan.core.limits import DOCUMENT
from actspan.core.problems import Problem
from actspan.core.wording import counted, listed
from actspan.data.annotations.base import Annotations, Hints, canonical_id
from actspan.data.annotations.column_names import KNOWN, plain
from actspan.data.annotations.entries import EntryReader
from actspan.data.annotations.repeated import repeated_keys
from actspan.data.annotations.source import Source

AUTHORS_JSON = "anet_anno_action.json"
AUTHORS_TABLE = "video_info_new.csv"
_KEYS = frozenset({"duration_second", "duration_frame", "feature_frame"})


def fits(source: Source) -> bool:
    """Return whether the source is a JSON object of videos with `duration_second`."""
    if not source.may_be_json or not isinstance(source.json.document, dict):
        return False
    entries = source.json.document.values()
    return any(isinstance(entry, dict) and "duration_second" in entry for entry in entries)


def read(source: Source, hints: Hints) -> Annotations:
    """Read the JSON, and the subsets from `video_info_new.csv` beside it."""
    if not fits(source):
        raise AnnotationError(
            f"{source.path}: not the BSN authors' format: videos with 'duration_second' are needed"
        )
    document, holders = source.json
    reader = EntryReader(source.path, _KEYS)
    reader.problems += repeated_keys(source.path, holders, document, document)
    table = source.path.parent / AUTHORS_TABLE
    subsets = _read_subsets(table, reader.problems)
    reader.problems += _give_subsets(document, subsets, table)
    videos = reader.videos(document.items())
    others = [name for name in subsets if name not in videos.places]
    notes = reader.notes()
    if others:
        rows = counted(len(others), "row")
        notes += (f"{table}: ignored {rows} of videos that are not in the JSON: {listed(others)}",)
    return Annotations(
        source.path,
        "authors",
        videos,
        tuple(reader.problems),
        notes=notes,
        clocks=frozenset(reader.clocks),
    )


def _give_subsets(
    document: dict[str, Any], subsets: Mapping[str, str], table: Path
) -> Iterator[Problem]:
    """Add the subsets of the table to the entries; yield a problem per video without a row."""
    for name, entry in document.items():
        video = canonical_id(name)
        if isinstance(entry, dict) and video in subsets:
            entry["subset"] = subsets[video]
        elif isinstance(entry, dict) and subsets:
            remedy = "add its row, or remove the video"
            yield Problem(video, str(table), "no row for it", remedy)


def _read_subsets(table: Path, problems: list[Problem]) -> dict[str, str]:
    """Return the subset per video; rows that contradict an earlier one are added to `problems`."""
    if not table.is_file():
        return {}
    try:
        rows = [row for row in csv.reader(StringIO(read_text(table, DOCUMENT), newline="")) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"{table}: cannot be read: {error}; save it as CSV UTF-8") from error
    video, subset = _columns(table, rows[0] if rows else [])
    subsets: dict[str, str] = {}
    for row in rows[1:]:
        cells = [*row, *[""] * len(rows[0])]
        name, found = canonical_id(cells[video].strip()), cells[subset].strip()
        if subsets.setdefault(name, found) != found:
            what = f"subset {found!r}, but {subsets[name]!r} in an earlier row"
            problems.append(Problem(name, str(table), what, "keep one row per video"))
    return subsets


def _columns(table: Path, head: list[str]) -> tuple[int, int]:
    """Return the indices of the id and subset columns, found by their names."""
    names = [plain(name) for name in head]
    places = [
        next((names.index(name) for name in KNOWN[role] if name in names), None)
        for role in ("video", "subset")
    ]
    video, subset = places
    if video is None or subset is None:
        raise AnnotationError(
            f"{table}: columns 'video' and 'subset' are needed; there are: "
            f"{listed(map(repr, head), 12) or 'none'}"
        )
    return video, subset
