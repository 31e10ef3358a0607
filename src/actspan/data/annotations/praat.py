"""Praat's TextGrid, in the long or the short text format.

Both formats are read as Praat does. Quoted texts, `<exists>` and separate numbers are read in
order; everything else (`xmin =`, `intervals [1]:`, comments) is ignored. An interval with a text is
an instance with the text as label; intervals without text are gaps. Points have no length: they are
counted and ignored.

Writing: intervals of a tier must not overlap, so overlapping instances are distributed over several
tiers. Scores are points at the start of their interval, in a tier of their own. The facts about the
video are in a comment at the end, which Praat ignores and does not keep.
"""

from __future__ import annotations

import json
import math
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from pathlib import Path

from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.core.wording import counted
from actspan.data.annotations.annotation_set import content_of
from actspan.data.annotations.elan import INSTANCES, SCORES
from actspan.data.annotations.fields import Facts, parse_facts, written_facts
from actspan.data.annotations.video_builder import VideoBuilder
from actspan.data.annotations.writing import (
    ScoredInstance,
    WriteOptions,
    labelled_instances,
    layers,
    named_files,
)

_TOKEN = re.compile(
    r'"([^"]*(?:""[^"]*)*)"'  # a text; a quote inside is written twice
    r"|(?<!\S)([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)"
    r"|(<exists>)"
    r"|(?<!\S)![^\n]*"  # a comment
)
_KINDS = ("IntervalTier", "TextTier")
_Tokens = Iterator[str | float]
_NOTE = "! actspan "  # precedes the facts about the video, as JSON
_NOTED = re.compile(rf"^{_NOTE}(.*)$", re.MULTILINE)
_OWN_SCORES = re.compile(rf"{SCORES}( \d+)?")


def read_textgrid(file: Path, builder: VideoBuilder) -> None:
    """Add the intervals of a .TextGrid file; raise AnnotationError if it is damaged."""
    text = _text_of(file)
    tokens, noted = _tokens(text), next(reversed(_NOTED.findall(text)), None)
    try:
        video, known = (file.stem, None) if noted is None else parse_facts(noted, file.stem)
        if (next(tokens), next(tokens)) != ("ooTextFile", "TextGrid"):
            raise ValueError("its head is not that of a TextGrid as text")
        start, end = _number(tokens), _number(tokens)
        if known is None and start == 0 and end > 0:
            known = Facts(duration=end)
        builder.add_file(video, file, known)
        for _ in range(int(_number(tokens)) if next(tokens) == "<exists>" else 0):
            kind, name = next(tokens), str(next(tokens))
            if kind not in _KINDS:
                raise ValueError(f"{kind!r} in place of a tier")
            is_selected = builder.selects_tier(name)
            if noted is not None and _OWN_SCORES.fullmatch(name):
                is_selected = False
            _read_tier(tokens, file, builder, video, name, kind == _KINDS[1], is_selected)
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
    video: str,
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
            builder.add_or_reject(video, (start, end, label), place)


def _text_of(file: Path) -> str:
    data = content_of(file)
    try:
        return data.decode("utf-16" if data[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{file}: cannot be read as UTF-8 or UTF-16 text: {error}") from error


def _tokens(text: str) -> _Tokens:
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


def encode_textgrid(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a .TextGrid file per video; times are exact."""
    for name, video in named_files(videos, ".TextGrid"):
        yield name, ("\n".join(_written_lines(video)) + "\n").encode()


def unknown_ends(videos: Sequence[Video], options: WriteOptions) -> Iterator[str]:
    """Yield a note about videos of unknown duration, whose grids end with their last instance."""
    if unknown := sum(math.isnan(video.duration) for video in videos):
        where = counted(unknown, "video")
        yield f"duration unknown in {where}: the grid ends with the last instance (--durations)"


def _written_lines(video: Video) -> Iterator[str]:
    rows = list(labelled_instances(video))
    ends = [end for _, end, _, _ in rows]
    end = max(ends, default=1.0) if math.isnan(video.duration) else max([video.duration, *ends])
    tiers = [tier for i, layer in enumerate(layers(rows), 1) for tier in _tiers(layer, i, end)]
    yield from ('File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0")
    yield from (f"xmax = {end!r}", "tiers? <exists>", f"size = {len(tiers)}", "item []:")
    for number, lines in enumerate(tiers, start=1):
        yield f"    item [{number}]:"
        yield from (f"        {line}" for line in lines)
    yield _NOTE + json.dumps(written_facts(video))


def _tiers(layer: Sequence[ScoredInstance], number: int, end: float) -> Iterator[list[str]]:
    """Yield the lines of a tier of intervals, and those of its scores if there are any."""
    ending = "" if number == 1 else f" {number}"
    rows: list[tuple[float, float, str]] = []
    last = 0.0
    for start, stop, label, _ in layer:
        gap = [(last, start, "")] if start > last else []
        rows += [*gap, (start, stop, label)]
        last = stop
    if last < end:
        rows.append((last, end, ""))
    lines = [f"intervals: size = {len(rows)}"]
    for i, (start, stop, label) in enumerate(rows, start=1):
        times = f"    xmin = {start!r}", f"    xmax = {stop!r}"
        lines += [f"intervals [{i}]:", *times, f"    text = {_quoted(label)}"]
    yield [*_head(_KINDS[0], INSTANCES + ending, end), *lines]
    scores = [(start, score) for start, _, _, score in layer if score is not None]
    if scores:
        lines = [f"points: size = {len(scores)}"]
        for i, (start, score) in enumerate(scores, start=1):
            lines += [f"points [{i}]:", f"    number = {start!r}", f'    mark = "{score!r}"']
        yield [*_head(_KINDS[1], SCORES + ending, end), *lines]


def _head(kind: str, name: str, end: float) -> tuple[str, ...]:
    return f'class = "{kind}"', f'name = "{name}"', "xmin = 0", f"xmax = {end!r}"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
