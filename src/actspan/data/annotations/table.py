"""Annotations as a table: a segment a row, columns found by their names.

`video,start,end,label` and, where there are any, `subset,duration,fps,frames` (of the video, not
of the segment); what was scored is written with a column `score`. A row without start and end
mentions a video that has no instances, or only says its duration. Separated by commas, semicolons
(then with decimal commas too) or tabs.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

from actspan.data.annotations.base import (
    Annotations,
    Facts,
    Hints,
    Instance,
    Rows,
    Source,
    canonical_subset,
    number,
    seconds,
)
from actspan.data.annotations.writing import Style, scored_instances, written_facts
from actspan.errors import AnnotationError
from actspan.files import read_text
from actspan.limits import DOCUMENT
from actspan.types import Video

# names of columns in small letters without signs between words; the first that is there counts
_COLUMNS = {
    "video": (
        "video", "videoid", "videoname", "vid", "youtubeid", "recording", "media", "file",
        "filename", "name", "id",
    ),
    "start": (
        "start", "tstart", "starttime", "startsec", "startseconds", "starts", "begin",
        "begintime", "tbegin", "onset", "xmin",
    ),
    "end": (
        "end", "tend", "endtime", "endsec", "endseconds", "ends", "stop", "stoptime", "offset",
        "xmax",
    ),
    "label": (
        "label", "labelname", "class", "classname", "category", "action", "activity", "event",
        "annotation",
    ),
    "subset": ("subset", "split", "set", "partition"),
    "duration": ("duration", "videoduration", "durationsecond", "durationseconds", "seconds"),
    "fps": ("fps", "framerate"),
    "frames": ("frames", "numframes", "numframe", "framecount", "durationframe"),
}  # fmt: skip
_POSITIONS = ("video", "start", "end", "label", "subset", "duration", "fps")
_WRITTEN = ("video", "start", "end", "label", "subset", "duration", "fps", "frames", "score")
_IF_KNOWN = {"fps", "frames", "score"}


def fits(source: Source) -> bool:
    """Whether its name says that it is a table."""
    return source.path.suffix.lower() in (".csv", ".tsv")


def read(source: Source, hints: Hints) -> Annotations:
    """Read a table; rows that cannot be used are problems with their line numbers."""
    lines = _lines(source.path)
    try:
        first = next(lines)
    except StopIteration:
        raise AnnotationError(f"{source.path}: empty; a row a segment is needed") from None
    columns, assumptions = _find_columns(source.path, first[1])
    rows = Rows()
    if assumptions:
        _read_row(rows, columns, *first)
    for place, cells in lines:
        _read_row(rows, columns, place, cells)
    return Annotations(
        source.path, "csv", rows.videos(), tuple(rows.problems), assumptions=assumptions
    )


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(place, cells) of every line that is not blank; decimal commas are made points."""
    try:
        text = read_text(path, DOCUMENT, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    head = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=head.count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield f"{path}:{reader.line_num}", [cell.strip() for cell in cells]
    except csv.Error as error:
        raise AnnotationError(f"{path}:{reader.line_num}: not a table: {error}") from error


def _find_columns(path: Path, head: Sequence[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """The column of each role; by position, and an assumption, where there is no header."""
    names = ["".join(filter(str.isalnum, cell.lower())) for cell in head]
    columns = {}
    for role, known in _COLUMNS.items():
        there = [names.index(name) for name in known if name in names]
        if there:
            columns[role] = there[0]
    if "video" in columns and ({"start", "end"} <= columns.keys() or "duration" in columns):
        return columns, ()
    if len(head) >= 3 and _is_time(head[1]) and _is_time(head[2]):
        columns = {role: i for i, role in enumerate(_POSITIONS[: len(head)])}
        return columns, (f"{path}: no header; columns taken as {','.join(columns)}",)
    raise AnnotationError(
        f"{path}: columns 'video', 'start', 'end' and 'label' are needed; there are: "
        f"{', '.join(map(repr, head[:12]))}"
    )


def _is_time(text: str) -> bool:
    try:
        return seconds(_point(text)) >= 0
    except ValueError:
        return False


def _point(text: str) -> str:
    """A decimal comma as a point."""
    return text.replace(",", ".") if text.count(",") == 1 and "." not in text else text


def _read_row(rows: Rows, columns: Mapping[str, int], place: str, cells: Sequence[str]) -> None:
    row = {role: cells[i] for role, i in columns.items() if i < len(cells)}
    video = row.get("video", "")
    try:
        rows.add(video, _instance_of(row), _facts_of(row))
    except (TypeError, ValueError) as error:
        rows.refuse(video, place, error)


def _instance_of(row: Mapping[str, str]) -> Instance | None:
    start, end = row.get("start", ""), row.get("end", "")
    if not start and not end:
        if row.get("label"):
            raise ValueError(f"label {row['label']!r} without start and end")
        return None
    if not (start and end):
        raise ValueError("start without end" if start else "end without start")
    return seconds(_point(start)), seconds(_point(end)), row.get("label", "")


def _facts_of(row: Mapping[str, str]) -> Facts:
    def positive(role: str) -> float | None:
        return number(_point(row[role]), role) if row.get(role) else None

    duration, frames = row.get("duration"), positive("frames")
    return Facts(
        duration=number(seconds(_point(duration)), "duration") if duration else None,
        subset=canonical_subset(row["subset"]) if row.get("subset") else None,
        fps=positive("fps"),
        frames=None if frames is None else int(frames),
    )


def encode(videos: Sequence[Video], style: Style) -> Iterator[tuple[str, bytes]]:
    """Name and content of a table: a row a segment, and one row for a video without any.

    Raises
    ------
    AnnotationError
        Some text cannot be UTF-8.
    """
    rows = [row for video in videos for row in _rows(video)]
    used = [c for c in _WRITTEN if c not in _IF_KNOWN or any(c in row for row in rows)]
    lines: list[str] = []
    # csv quotes the signs of its own end of line, and a carriage return has to be
    writer = csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n")
    writer.writerow(used)
    writer.writerows([row.get(column, "") for column in used] for row in rows)
    text = "".join(line.removesuffix("\r\n") + "\n" for line in lines)
    try:
        yield "annotations.csv", text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise AnnotationError(f"a table cannot be written as UTF-8: {error}") from error


def _rows(video: Video) -> Iterator[dict[str, str]]:
    facts = {key: str(value) for key, value in written_facts(video).items()}
    empty = True
    for start, end, label, score in scored_instances(video):
        row = {**facts, "start": repr(start), "end": repr(end), "label": label}
        yield row if score is None else {**row, "score": repr(score)}
        empty = False
    if empty:
        yield facts
