"""WebVTT and SubRip: cues of captions, chapters or metadata, which players show beside a video.

A cue's text is its label; times are milliseconds. Our own WebVTT has the facts about the video in a
comment at the top, and a cue's identifier ends with its score; a SubRip file's name is the video's
id. Comments, styles, regions, settings and markup within the text control how a player shows a cue,
and are not read. Voices named by markup, and lines outside cues, are counted and ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from html import unescape
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.data.annotations.annotation_set import (
    Annotations,
    ReadOptions,
    WriteOptions,
    labelled_instances,
    milliseconds,
    named_files,
)
from actspan.data.annotations.fields import read_facts, written_facts
from actspan.data.annotations.source import Source, text_of
from actspan.data.annotations.video_builder import VideoBuilder, read_files

_FACTS = "NOTE actspan "  # precedes the facts about the video, as JSON
_NO_CUE = re.compile(r"(NOTE|STYLE|REGION)([ \t]|$)")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t]+([^>]*)")  # the speaker, perhaps behind classes
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
)


class _Syntax(NamedTuple):
    """Syntax of the timing of a cue (hours, minutes, seconds, milliseconds, twice), and markup."""

    timing: re.Pattern[str]
    example: str
    markup: re.Pattern[str]


# Times as in the standard's parser: hours are optional and may have any number of digits.
_VTT_TIME = r"(?:(\d{1,9}):)?([0-5]\d):([0-5]\d)\.(\d{3})(?!\d)"
_SRT_TIME = r"(\d{1,9}):([0-5]?\d):([0-5]?\d)[,.](\d{3})(?!\d)"
_VTT = _Syntax(
    re.compile(rf"\s*{_VTT_TIME}\s*-->\s*{_VTT_TIME}"),
    "00:01:02.345 --> 00:01:07.890",
    re.compile(r"<[^>]*>?"),
)
_SRT = _Syntax(
    re.compile(rf"\s*{_SRT_TIME}\s*-->\s*{_SRT_TIME}"),
    "00:01:02,345 --> 00:01:07,890",
    re.compile(r"<[^>]*>|\{\\[^}]*\}"),
)


def read_vtt(source: Source, options: ReadOptions) -> Annotations:
    """Read a .vtt file, or all of a folder, where a damaged file becomes a problem."""
    return read_files(source.path, ".vtt", options, _read_vtt_file).built("vtt")


def read_srt(source: Source, options: ReadOptions) -> Annotations:
    """Read an .srt file, or all of a folder, where a damaged file becomes a problem."""
    return read_files(source.path, ".srt", options, _read_srt_file).built("srt")


def _read_vtt_file(file: Path, builder: VideoBuilder) -> None:
    lines = _lines(file)
    if not re.fullmatch(r"WEBVTT([ \t].*)?", lines[0]):
        raise AnnotationError(
            f"{file}: not WebVTT: its first line must begin with WEBVTT; rename SubRip to .srt"
        )
    noted = next((line for line in lines if line.startswith(_FACTS)), "")
    try:
        known = json.loads(noted.removeprefix(_FACTS)) if noted else {}
        video = str(known.get("video", file.stem))
        facts = read_facts(known)
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise AnnotationError(f"{file}: the JSON after '{_FACTS}' is bad: {error}") from error
    builder.add_file(video, file, facts)
    for i, end in _cues(["", *lines[1:]]):
        text = " ".join(lines[i + 1 : end])
        for voice in _VOICE.findall(text):
            builder.ignored["voices", unescape(voice).strip()] += 1
        label = unescape(_VTT.markup.sub("", text))
        _add(builder, video, f"{file}:{i + 1}", lines[i], label, _VTT)
    for i in _outside(lines):
        builder.ignored["lines outside cues", f"{file.name}:{i + 1}"] += 1


def _read_srt_file(file: Path, builder: VideoBuilder) -> None:
    lines = [line.rstrip() for line in _lines(file)]
    cues = list(_cues(lines))
    if not cues and any(lines):
        raise AnnotationError(f"{file}: not SubRip: it has no times as {_SRT.example}")
    builder.add_file(file.stem, file)
    taken: set[int] = set()
    for i, end in cues:
        taken.update(range(i, end))
        text, is_followed = lines[i + 1 : end], end < len(lines) and "-->" in lines[end]
        if is_followed and text and text[-1].strip().isdigit():
            text.pop()  # the number of the next cue, if no blank line separates them
        label = _SRT.markup.sub("", " ".join(text))
        _add(builder, file.stem, f"{file}:{i + 1}", lines[i], label, _SRT)
    for i, line in enumerate(lines):
        if i not in taken and line.strip() and not line.strip().isdigit():
            builder.ignored["lines outside cues", f"{file.name}:{i + 1}"] += 1


def _lines(file: Path) -> list[str]:
    return text_of(file).replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _cues(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the index of each cue's timing, and of the line after its text."""
    end = 0
    for i, line in enumerate(lines):
        if i < end or "-->" not in line:
            continue
        end = i + 1
        while end < len(lines) and lines[end] and "-->" not in lines[end]:
            end += 1
        yield i, end


def _outside(lines: Sequence[str]) -> Iterator[int]:
    """Yield the indices of lines outside cues, comments, styles, regions and the head."""
    groups = groupby(range(len(lines)), key=lambda i: bool(lines[i]))
    blocks = [list(block) for is_filled, block in groups if is_filled]
    for block in blocks[1:]:
        timing = next((k for k, i in enumerate(block) if "-->" in lines[i]), None)
        if timing is None and _NO_CUE.match(lines[block[0]]):
            continue
        # One line may precede the timing: the identifier of the cue.
        before = block if timing is None else block[: max(timing - 1, 0)]
        yield from (i for i in before if lines[i].strip())


def _add(
    builder: VideoBuilder, video: str, place: str, timing: str, label: str, syntax: _Syntax
) -> None:
    found = syntax.timing.match(timing)
    if found is None:
        builder.reject(video, place, f"{timing.strip()!r} is not of the form {syntax.example}")
        return
    parts = [int(part or 0) for part in found.groups()]
    start, end = (
        (((hours * 60 + minutes) * 60 + seconds) * 1000 + millis) / 1000
        for hours, minutes, seconds, millis in (parts[:4], parts[4:])
    )
    builder.add_or_reject(video, (start, end, label.strip()), place)


def encode_vtt(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a .vtt file per video, cues by start, in whole milliseconds."""
    for name, video in named_files(videos, ".vtt"):
        yield name, "\n".join(_written_lines(video)).encode()


def _written_lines(video: Video) -> Iterator[str]:
    cues = [
        (*milliseconds(start, end), label, score)
        for start, end, label, score in labelled_instances(video)
    ]
    # A comment must not contain an arrow either.
    facts = json.dumps(written_facts(video)).replace(">", "\\u003e")
    yield from ("WEBVTT", "", _FACTS + facts, "")
    cues.sort(key=lambda cue: cue[:2])
    for number, (*times, label, score) in enumerate(cues, start=1):
        yield str(number) if score is None else f"{number} {score!r}"
        clocks = (
            f"{t // 3_600_000:02d}:{t // 60_000 % 60:02d}:{t // 1000 % 60:02d}.{t % 1000:03d}"
            for t in times
        )
        yield from (" --> ".join(clocks), label.translate(_ESCAPES), "")
