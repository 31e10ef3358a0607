"""Text files with timed labels: subtitles, Praat's TextGrid, and THUMOS14's official annotations.

WebVTT and SubRip: a cue's text is its label; times are milliseconds. Our own WebVTT has the facts
about the video in a comment at the top, and a cue's identifier ends with its score; a SubRip file's
name is the video's id. Comments, styles, regions, settings and markup control how a player shows a
cue, and are not read. Voices named by markup, and lines outside cues, are counted and ignored.

TextGrid, long or short, is read as Praat does: quoted texts, `<exists>` and separate numbers in
order, and nothing else. An interval with a text is an instance with the text as label; the others
are gaps. Points have no length: they are counted and ignored.

THUMOS14: `BaseballPitch_val.txt`, `BaseballPitch_test.txt`, ... have lines of `video start end`, in
seconds, and no durations. `Ambiguous_val.txt` and `Ambiguous_test.txt` have undecided segments: the
official evaluation counts neither them nor detections that touch them.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator, Sequence
from html import unescape
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.data.annotations import annotation_set
from actspan.data.annotations.annotation_set import Annotations, ReadOptions, Source
from actspan.data.annotations.fields import Facts, read_facts, seconds, written_facts
from actspan.data.annotations.video_builder import VideoBuilder
from actspan.data.annotations.writing import (
    WriteOptions,
    labelled_instances,
    milliseconds,
    named_files,
)
from actspan.data.videos import canonical_subset

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

_TOKEN = re.compile(
    r'"([^"]*(?:""[^"]*)*)"'  # a text; a quote inside is written twice
    r"|(?<!\S)([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)"
    r"|(<exists>)"
    r"|(?<!\S)![^\n]*"  # a comment
)
_KINDS = ("IntervalTier", "TextTier")
_Tokens = Iterator[str | float]

_CLASS_FILE = re.compile(r".+_(val|test)\.txt")


def read_vtt(file: Path, builder: VideoBuilder) -> None:
    """Add the cues of a .vtt file; raise AnnotationError if it is damaged."""
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
        builder.ignored.update(("voices", unescape(v).strip()) for v in _VOICE.findall(text))
        label = unescape(_VTT.markup.sub("", text))
        _add(builder, video, f"{file}:{i + 1}", lines[i], label, _VTT)
    for i in _outside(lines):
        builder.ignored["lines outside cues", f"{file.name}:{i + 1}"] += 1


def read_srt(file: Path, builder: VideoBuilder) -> None:
    """Add the cues of an .srt file; raise AnnotationError if it is damaged."""
    lines = [line.rstrip() for line in _lines(file)]
    cues = list(_cues(lines))
    if not cues and any(lines):
        raise AnnotationError(f"{file}: not SubRip: it has no times as {_SRT.example}")
    builder.add_file(file.stem, file)
    used: set[int] = set()
    for i, end in cues:
        used.update(range(i, end))
        text, is_followed = lines[i + 1 : end], end < len(lines) and "-->" in lines[end]
        if is_followed and text and text[-1].strip().isdigit():
            text.pop()  # the number of the next cue, if no blank line separates them
        label = _SRT.markup.sub("", " ".join(text))
        _add(builder, file.stem, f"{file}:{i + 1}", lines[i], label, _SRT)
    for i, line in enumerate(lines):
        if i not in used and line.strip() and not line.strip().isdigit():
            builder.ignored["lines outside cues", f"{file.name}:{i + 1}"] += 1


def _lines(file: Path) -> list[str]:
    return annotation_set.text_of(file).replace("\r\n", "\n").replace("\r", "\n").split("\n")


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
    match = syntax.timing.match(timing)
    if match is None:
        builder.reject(video, place, f"{timing.strip()!r} is not of the form {syntax.example}")
        return
    parts = [int(part or 0) for part in match.groups()]
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


def read_textgrid(file: Path, builder: VideoBuilder) -> None:
    """Add the intervals of a .TextGrid file; raise AnnotationError if it is damaged."""
    tokens = _tokens(file)
    try:
        if (next(tokens), next(tokens)) != ("ooTextFile", "TextGrid"):
            raise ValueError("its head is not that of a TextGrid as text")
        start, end = _number(tokens), _number(tokens)
        builder.add_file(file.stem, file, Facts(duration=end) if start == 0 and end > 0 else None)
        for _ in range(int(_number(tokens)) if next(tokens) == "<exists>" else 0):
            kind, name = next(tokens), str(next(tokens))
            if kind not in _KINDS:
                raise ValueError(f"{kind!r} in place of a tier")
            is_selected = builder.selects_tier(name)
            _read_tier(tokens, file, builder, name, kind == _KINDS[1], is_selected)
        for token in tokens:
            if token in _KINDS:
                kind = "tiers beyond the number of tiers that the file says"
                builder.ignored[kind, str(next(tokens))] += 1
    except StopIteration as error:
        raise AnnotationError(f"{file}: ends before the last of its tiers") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise AnnotationError(f"{file}: not a TextGrid as Praat writes it: {error}") from error


def _read_tier(
    tokens: _Tokens,
    file: Path,
    builder: VideoBuilder,
    name: str,
    has_points: bool,
    is_selected: bool,
) -> None:
    _number(tokens), _number(tokens)  # its start and end
    for i in range(1, int(_number(tokens)) + 1):
        start = _number(tokens)
        end = start if has_points else _number(tokens)
        label = str(next(tokens)).strip()
        if is_selected and has_points:
            builder.ignored["points, by tier", name] += 1
        elif is_selected and label:
            place = f"{file}: tier {name!r}, interval {i}"
            builder.add_or_reject(file.stem, (start, end, label), place)


def _tokens(file: Path) -> _Tokens:
    data = annotation_set.content_of(file)
    try:
        text = data.decode("utf-16" if data[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{file}: cannot be read as UTF-8 or UTF-16 text: {error}") from error
    for match in _TOKEN.finditer(text):
        quoted, number, flag = match.groups()
        if number is not None:
            yield float(number)
        elif flag is not None:
            yield flag
        elif quoted is not None:
            yield quoted.replace('""', '"')


def _number(tokens: _Tokens) -> float:
    token = next(tokens)
    if not isinstance(token, float):
        raise TypeError(f"{token[:40]!r} in place of a number")
    return token


def fits_thumos(source: Source) -> bool:
    """Return whether the source is such a file, or a folder with such files at any depth."""
    return next(_class_files(source.path), None) is not None


def _class_files(path: Path) -> Iterator[Path]:
    files: Iterable[Path] = path.rglob("*.txt") if path.is_dir() else [path]
    return (file for file in files if _CLASS_FILE.fullmatch(file.name))


def read_thumos(source: Source, options: ReadOptions) -> Annotations:
    """Read all class files of a folder, or one of them; count the files beside them as ignored."""
    files = sorted(_class_files(source.path))
    if not files:
        raise AnnotationError(
            f"{source.path}: contains no files <Class>_val.txt or <Class>_test.txt, as THUMOS14 has"
        )
    builder = VideoBuilder(source.path, options)
    for file in files:
        label, _, subset = file.stem.rpartition("_")
        facts = Facts(subset=canonical_subset(subset))
        for line, text in enumerate(annotation_set.text_of(file).splitlines(), start=1):
            fields = text.split()
            try:
                if len(fields) not in (0, 3):
                    raise ValueError(f"{text.strip()!r} is not 'video start end'")
                if fields:
                    instance = seconds(fields[1]), seconds(fields[2]), label
                    builder.add(fields[0], instance, facts)
            except ValueError as error:
                builder.reject(fields[0], f"{file}:{line}", error)
    beside = sorted(path for folder in {file.parent for file in files} for path in folder.iterdir())
    for other in beside:
        if other.is_file() and other not in files and not other.name.startswith("."):
            builder.ignored["files", other.name] += 1
    return builder.built("thumos14")
