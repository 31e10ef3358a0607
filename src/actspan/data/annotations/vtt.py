"""WebVTT: cues of captions, chapters or metadata, which players show beside a video.

A cue's text is its label. Our own files say what is known of the video in a comment at the top,
and a cue's identifier ends with its score. Times are milliseconds; markup in the text is passed
over, as a player would, and styles and regions too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from html import unescape
from pathlib import Path

from actspan.data.annotations.base import (
    Annotations,
    Hints,
    Rows,
    Source,
    canonical_id,
    check_segment,
)
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
from actspan.data.problems import Loss
from actspan.errors import AnnotationError
from actspan.files import read_text
from actspan.limits import DOCUMENT
from actspan.types import Video

_FACTS = "NOTE actspan "  # before what is known of the video, as JSON
_CLOCK = r"(?:(\d{2,}):)?([0-5]\d):([0-5]\d)\.(\d{3})"
_TIMING = re.compile(rf"[ \t]*{_CLOCK}[ \t]*-->[ \t]*{_CLOCK}(?=\s|$)")
_MARKUP = re.compile(r"<[^>]*>?")
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
)


def fits(source: Source) -> bool:
    """Whether it is a .vtt file, or a folder that holds some."""
    return next(_files(source.path), None) is not None


def _files(path: Path) -> Iterator[Path]:
    files = path.iterdir() if path.is_dir() else iter([path])
    return (f for f in files if f.suffix.lower() == ".vtt" and not f.name.startswith("."))


def read(source: Source, hints: Hints) -> Annotations:
    """Read a .vtt file, or all of a folder; in a folder, a damaged file is a problem."""
    files = sorted(_files(source.path)) if source.path.is_dir() else [source.path]
    if not files:
        raise AnnotationError(f"{source.path}: holds no .vtt files")
    rows = Rows()
    for file in files:
        try:
            _read_file(file, rows)
        except AnnotationError as error:
            if not source.path.is_dir():
                raise
            what = str(error).removeprefix(f"{file}: ")
            rows.refuse(file.stem, str(file), what, Loss.VIDEO)
    return Annotations(source.path, "vtt", rows.videos(), tuple(rows.problems))


def _read_file(file: Path, rows: Rows) -> None:
    lines = _lines(file)
    said = next((line for line in lines if line.startswith(_FACTS)), "")
    try:
        told = json.loads(said.removeprefix(_FACTS)) if said else {}
        video = str(told.get("video", file.stem))
        facts = read_facts(told)
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise AnnotationError(f"{file}: what stands behind '{_FACTS}' is bad: {error}") from error
    if canonical_id(video) in rows:
        raise AnnotationError(f"{file}: video {video!r} is in another .vtt file too; keep one")
    rows.add(video, facts=facts)
    for number, timing, text in _cues(lines):
        try:
            start, end = _times(timing)
            check_segment(start, end)
            rows.add(video, (start, end, text))
        except ValueError as error:
            rows.refuse(video, f"{file}:{number}", error)


def _lines(file: Path) -> list[str]:
    try:
        text = read_text(file, DOCUMENT, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{file}: cannot be read as UTF-8 text: {error}") from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not re.fullmatch(r"WEBVTT([ \t].*)?", lines[0]):
        raise AnnotationError(f"{file}: not WebVTT: its first line has to begin with WEBVTT")
    return lines


def _cues(lines: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Line number, timing and text of every cue; blocks end at blank lines."""
    i = 1
    while i < len(lines):
        if "-->" not in lines[i]:
            i += 1
            continue
        end = next((k for k in range(i + 1, len(lines)) if not lines[k] or "-->" in lines[k]), None)
        text = " ".join(lines[i + 1 : end])
        yield i + 1, lines[i], unescape(_MARKUP.sub("", text)).strip()
        i = len(lines) if end is None else end


def _times(timing: str) -> tuple[float, float]:
    found = _TIMING.match(timing)
    if found is None:
        raise ValueError(f"{timing.strip()!r} is not of the form 00:01:02.345 --> 00:01:07.890")
    clock = [int(part or 0) for part in found.groups()]
    return _seconds(clock[:4]), _seconds(clock[4:])


def _seconds(clock: Sequence[int]) -> float:
    hours, minutes, seconds, millis = clock
    return (((hours * 60 + minutes) * 60 + seconds) * 1000 + millis) / 1000


def encode(videos: Sequence[Video], style: Style) -> Iterator[tuple[str, bytes]]:
    """Name and content of a .vtt file a video, cues by start; times are whole milliseconds.

    Raises
    ------
    AnnotationError
        Two files would have the same name, or some text cannot be in one.
    """
    for name, video in zip(file_names(videos, ".vtt"), videos, strict=True):
        require_text(video)
        yield name, "\n".join(_written_lines(video)).encode()


def _written_lines(video: Video) -> Iterator[str]:
    # no arrow may stand in a comment either
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
