"""WebVTT: cues of captions, chapters or metadata, which players show beside a video.

A cue's text is its label. Our own files have the facts about the video in a comment at the top, and
a cue's identifier ends with its score. Times are milliseconds. Comments, styles, regions, settings
and markup within the text control how a player shows a cue, and are not read. Voices named by
markup are counted and ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from html import unescape
from pathlib import Path
from typing import NamedTuple

from actspan.core.errors import AnnotationError
from actspan.core.files import read_text
from actspan.core.limits import DOCUMENT
from actspan.core.types import Video
from actspan.data.annotations.base import Annotations, Hints
from actspan.data.annotations.per_file import add_video, files_of, read_each
from actspan.data.annotations.rows import Rows
from actspan.data.annotations.source import Source
from actspan.data.annotations.writing import (
    UNLABELLED,
    Style,
    file_names,
    milliseconds,
    read_facts,
    require_text,
    scored_instances,
    written_facts,
)
from actspan.data.names import Ignored

_FACTS = "NOTE actspan "  # precedes the facts about the video, as JSON
# Times as in the standard's parser: hours are optional and may have any number of digits.
_TIME = r"(?:(\d{1,9}):)?([0-5]\d):([0-5]\d)\.(\d{3})(?!\d)"
_NO_CUE = re.compile(r"(NOTE|STYLE|REGION)([ \t]|$)")
_MARKUP = re.compile(r"<[^>]*>?")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t]+([^>]*)")  # the speaker, perhaps behind classes
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
)

Cue = tuple[int, str, str]  # line number of the timing, timing, label


class Clock(NamedTuple):
    """Syntax of the timing of a cue.

    Attributes
    ----------
    pattern : re.Pattern
        Hours (or None), minutes, seconds, milliseconds of the start, then of the end.
    example : str
        For messages.
    """

    pattern: re.Pattern[str]
    example: str


_CLOCK = Clock(re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}"), "00:01:02.345 --> 00:01:07.890")


def fits(source: Source) -> bool:
    """Return whether the source is a .vtt file, or a folder with one or more of them."""
    return next(files_of(source.path, ".vtt"), None) is not None


def read(source: Source, hints: Hints) -> Annotations:
    """Read a .vtt file, or all of a folder, where a damaged file becomes a problem."""
    ignored = Ignored()
    rows = read_each(source.path, ".vtt", partial(_read_file, ignored=ignored), ignored)
    notes = (*rows.notes(source.path), *ignored.notes(source.path))
    return Annotations(source.path, "vtt", rows.videos(), tuple(rows.problems), notes=notes)


def _read_file(file: Path, rows: Rows, ignored: Ignored) -> None:
    lines = read_lines(file)
    if not re.fullmatch(r"WEBVTT([ \t].*)?", lines[0]):
        raise AnnotationError(
            f"{file}: not WebVTT: its first line must begin with WEBVTT; rename SubRip to .srt"
        )
    said = next((line for line in lines if line.startswith(_FACTS)), "")
    try:
        known = json.loads(said.removeprefix(_FACTS)) if said else {}
        video = str(known.get("video", file.stem))
        facts = read_facts(known)
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise AnnotationError(f"{file}: the JSON after '{_FACTS}' is bad: {error}") from error
    add_video(rows, video, file, facts)
    cues = []
    for number, timing, texts in cues_of(["", *lines[1:]]):
        text = " ".join(texts)
        for voice in _VOICE.findall(text):
            ignored.add("voices", unescape(voice).strip())
        cues.append((number, timing, unescape(_MARKUP.sub("", text)).strip()))
    add_cues(rows, video, file, cues, _CLOCK)
    for number in _outside(lines):
        ignored.add("lines outside cues", f"{file.name}:{number}")


def _outside(lines: Sequence[str]) -> Iterator[int]:
    """Yield the numbers of lines outside cues, comments, styles, regions and the head."""
    block: list[int] = []
    blocks = [block]
    for i, line in enumerate(lines):
        if line:
            block.append(i)
        elif block:
            blocks.append(block := [])
    for block in blocks[1:]:
        timings = (k for k, i in enumerate(block) if "-->" in lines[i])
        timing = next(timings, None)
        if timing is None and block and _NO_CUE.match(lines[block[0]]):
            continue
        # One line may precede the timing: the identifier of the cue.
        before = block if timing is None else block[: max(timing - 1, 0)]
        yield from (i + 1 for i in before if lines[i].strip())


def read_lines(file: Path) -> list[str]:
    """Read the lines of a text file.

    Raises
    ------
    AnnotationError
        It cannot be read, or is not UTF-8.
    """
    try:
        text = read_text(file, DOCUMENT, "utf-8-sig")
    except OSError as error:
        raise AnnotationError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{file}: not UTF-8 text ({error}): save it as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def cues_of(lines: Sequence[str]) -> Iterator[tuple[int, str, list[str]]]:
    """Yield line number, timing and lines of text per cue; blank lines end a cue."""
    i = 0
    while i < len(lines):
        if "-->" not in lines[i]:
            i += 1
            continue
        end = i + 1
        while end < len(lines) and lines[end] and "-->" not in lines[end]:
            end += 1
        yield i + 1, lines[i], list(lines[i + 1 : end])
        i = end


def add_cues(rows: Rows, video: str, file: Path, cues: Iterable[Cue], clock: Clock) -> None:
    """Add cues as instances of a video; cues with bad times become problems."""
    for number, timing, label in cues:
        try:
            rows.add(video, (*_times(timing, clock), label))
        except ValueError as error:
            rows.refuse(video, f"{file}:{number}", error)


def _times(timing: str, clock: Clock) -> tuple[float, float]:
    found = clock.pattern.match(timing)
    if found is None:
        raise ValueError(f"{timing.strip()!r} is not of the form {clock.example}")
    parts = [int(part or 0) for part in found.groups()]
    return _seconds(parts[:4]), _seconds(parts[4:])


def _seconds(clock: Sequence[int]) -> float:
    hours, minutes, seconds, millis = clock
    return (((hours * 60 + minutes) * 60 + seconds) * 1000 + millis) / 1000


def encode(videos: Sequence[Video], style: Style) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a .vtt file per video, cues by start, in whole milliseconds.

    Raises
    ------
    AnnotationError
        Two files would have the same name, or some text cannot be in one.
    """
    for name, video in zip(file_names(videos, ".vtt"), videos, strict=True):
        require_text(video)
        yield name, "\n".join(_written_lines(video)).encode()


def _written_lines(video: Video) -> Iterator[str]:
    # A comment must not contain an arrow either.
    facts = json.dumps(written_facts(video)).replace(">", "\\u003e")
    yield from ("WEBVTT", "", _FACTS + facts, "")
    for number, (start, end, label, score) in enumerate(_by_start(video), start=1):
        yield str(number) if score is None else f"{number} {score!r}"
        yield f"{_clock(start)} --> {_clock(end)}"
        yield from ((label.strip() or UNLABELLED).translate(_ESCAPES), "")


def _by_start(video: Video) -> Iterable[tuple[int, int, str, float | None]]:
    found = (
        (*milliseconds(start, end), label, score)
        for start, end, label, score in scored_instances(video)
    )
    return sorted(found, key=lambda cue: cue[:2])


def _clock(millis: int) -> str:
    seconds, millis = divmod(millis, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{millis:03d}"
