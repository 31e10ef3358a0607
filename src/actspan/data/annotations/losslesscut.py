"""LosslessCut: its project files, which are JSON5, and its tables of segments.

{ version: 2, mediaFileName: 'clip.mp4',
  cutSegments: [ { start: 1.5, end: 4, name: 'jump', tags: { score: '0.9' } } ] }

LosslessCut opens `clip-proj.llc` together with the video `clip.mp4` of the same folder. A segment
is an instance, its name the label. Segments without an end (markers) have no length, and those that
are not selected are not exported by LosslessCut: both are counted and ignored.

A table has lines `start,end,name` in seconds or clock times, perhaps below `Start,End,Name`; the
file's name is the video's id.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.data.annotations.annotation_set import Annotations, ReadOptions, Source, text_of
from actspan.data.annotations.fields import read_facts, seconds, written_facts
from actspan.data.annotations.video_builder import (
    UNUSABLE,
    RejectedError,
    VideoBuilder,
    has_files,
    read_files,
)
from actspan.data.annotations.writing import (
    WriteOptions,
    labelled_instances,
    media_name,
    named_files,
)

PROJECT = ".llc"
_ENDING = "-proj"  # of the name of a project file, before its suffix
_HEADER = ["Start", "End", "Name"]
_OURS = "actspan"  # key of the facts about the video
_VERSION = 2  # the first whose segments without an end are markers
_STOP = "set its end in LosslessCut"

_TOKEN = re.compile(
    r"(?P<blank>(?:[\s\ufeff]+|//[^\n]*|/\*.*?\*/)+)"
    r"|(?P<text>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
    r"|(?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w$.]))"
    r"|(?P<key>[^\s\d\"'{}\[\]:,/.+-][^\s\"'{}\[\]:,/]*)(?=\s*:)"  # letters of any script
    r"|(?P<word>(?:true|false|null|[-+]?(?:NaN|Infinity))\b)"
    r"|(?P<mark>[{}\[\]:,])",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\r\n|.)", re.DOTALL)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_BREAKS = ("\n", "\r", "\r\n", "\u2028", "\u2029")  # which an escape removes


def fits(source: Source) -> bool:
    """Return whether there are project files, or the source is a table that cannot be another."""
    path = source.path
    if has_files(PROJECT, source):
        return True
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            line = stream.readline(4096).decode("utf-8-sig", "replace")
        cells = [cell.strip() for cell in next(csv.reader([line]), [])]
    except (OSError, csv.Error):
        return False
    return cells == _HEADER or (
        len(cells) == 3 and _is_time(cells[0]) and _is_time(cells[1]) and not _is_time(cells[2])
    )


def _is_time(text: str) -> bool:
    try:
        seconds(text)
    except ValueError:
        return False
    return True


def read(source: Source, options: ReadOptions) -> Annotations:
    """Read one file, or all project files of a folder; tables if it has no projects."""
    is_project = has_files(PROJECT, source)
    suffix, reader = (PROJECT, _read_project) if is_project else (".csv", _read_table)
    return read_files("losslesscut", suffix, reader, source, options)


def _read_project(file: Path, builder: VideoBuilder) -> None:
    try:
        project = decode_json5(text_of(file))
        segments = project["cutSegments"]
        if not isinstance(segments, list):
            raise TypeError("'cutSegments' is not a list")
        metadata = project.get(_OURS) or {}
        media = str(project.get("mediaFileName") or "").replace("\\", "/").rpartition("/")[2]
        video = str(metadata.get("video") or media or file.stem.removesuffix(_ENDING))
        facts = read_facts(metadata)
    except (*UNUSABLE, RecursionError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else error
        raise AnnotationError(f"{file}: not a project of LosslessCut: {what}") from error
    builder.add_file(video, file, facts)
    has_markers = project.get("version") != 1
    for number, segment in enumerate(segments, start=1):
        place = f"{file}: segment {number}"
        try:
            _add_segment(builder, video, segment, has_markers)
        except UNUSABLE as error:
            builder.reject(video, place, error)


def _add_segment(
    builder: VideoBuilder, video: str, segment: Mapping[str, Any], has_markers: bool
) -> None:
    start, end = segment.get("start") or 0, segment.get("end")
    label = str(segment.get("name") or "").strip()
    if segment.get("selected") is False:
        builder.ignored["segments that are not selected", label] += 1
    elif end is None and has_markers:
        builder.ignored["markers", label] += 1
    elif end is None:
        raise RejectedError(f"segment from {start!r} s without an end", _STOP)
    elif not all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (start, end)):
        raise TypeError(f"times {start!r} and {end!r} are not numbers")
    else:
        builder.add(video, (float(start), float(end), label))


def _read_table(file: Path, builder: VideoBuilder) -> None:
    rows = list(_rows(file))
    if rows and not any(len(cells) == 3 and all(map(_is_time, cells[:2])) for _, cells in rows):
        raise AnnotationError(f"{file}: not a table of LosslessCut: no row is start,end,name")
    builder.add_file(file.stem, file)
    for place, cells in rows:
        try:
            if len(cells) != 3:
                raise ValueError(f"{len(cells)} cells, and start, end, name are needed")
            start, end, label = cells
            if not end:
                raise RejectedError("a segment without an end", _STOP)
            builder.add(file.stem, (seconds(start or "0"), seconds(end), label))
        except ValueError as error:
            builder.reject(file.stem, place, error)


def _rows(file: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield place and cells of every row, except the header and blank ones."""
    rows = csv.reader(StringIO(text_of(file), newline=""))
    while True:
        place = f"{file}:{rows.line_num + 1}"
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise AnnotationError(f"{place}: not a table: {error}") from error
        if row is None:
            return
        cells = [cell.strip() for cell in row]
        if any(cells) and cells != _HEADER:
            yield place, cells


def decode_json5(text: str) -> Any:
    """Return the value of JSON5, which is JSON as people write it.

    Keys need no quotes, texts may have single ones, lists may end with a comma, and there are
    comments. Raises ValueError if the text is anything else, and RecursionError if it is nested too
    deeply.
    """
    parts: list[str] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            line = text.count("\n", 0, place) + 1
            raise ValueError(f"line {line}: {text[place : place + 20]!r} is not JSON5")
        place, kind, part = match.end(), match.lastgroup, match.group()
        if kind == "mark":
            if part in "}]" and parts[-1:] == [","] and parts[-2] not in ("{", "[", ","):
                parts.pop()  # JSON has no comma after the last entry
            parts.append(part)
        elif kind == "text":
            parts.append(json.dumps(_ESCAPE.sub(_unescaped, part[1:-1])))
        elif kind == "number":
            parts.append(_number(part))
        elif kind == "key":
            parts.append(json.dumps(part))
        elif kind == "word":
            parts.append(part.lstrip("+"))
    return json.loads(" ".join(parts))


def _unescaped(match: re.Match[str]) -> str:
    escape = match[1]
    if escape in _BREAKS:
        return ""
    if len(escape) > 1:
        return chr(int(escape[1:], 16))
    return _ESCAPED.get(escape, escape)


def _number(text: str) -> str:
    sign, digits = ("-" if text[0] == "-" else ""), text.lstrip("+-")
    if digits[:2] in ("0x", "0X"):
        return f"{sign}{int(digits, 16)}"
    whole, _, rest = digits.partition(".")
    if rest[:1] in ("e", "E"):
        rest = "0" + rest
    return f"{sign}{whole or 0}" + (f".{rest or 0}" if "." in digits else "")


def encode_losslesscut(
    videos: Sequence[Video], options: WriteOptions
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a project file per video, segments by start; times are exact."""
    for name, video in named_files(videos, _ENDING + PROJECT):
        segments = []
        for start, end, label, score in sorted(labelled_instances(video), key=lambda row: row[:2]):
            tags = {} if score is None else {"tags": {"score": repr(score)}}
            segments.append({"start": start, "end": end, "name": label, **tags})
        media = media_name(video, options)
        project = {
            "version": _VERSION,
            **({"mediaFileName": media} if media else {}),
            _OURS: written_facts(video),
            "cutSegments": segments,
        }
        yield name, (json.dumps(project, indent=2, ensure_ascii=False) + "\n").encode()
