"""Praat's TextGrid: tiers of intervals, in seconds, in the long or the short text format.

Both are read as Praat does: quoted texts, `<exists>` and separate numbers are read in order;
everything else (`xmin =`, `intervals [1]:`, comments) is ignored. An interval with a text is an
instance with the text as label; intervals without text are gaps. Points have no length: they are
counted and ignored.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from actspan.core.errors import AnnotationError
from actspan.data.annotations.annotation_set import Annotations, ReadOptions
from actspan.data.annotations.fields import Facts
from actspan.data.annotations.source import Source, content_of
from actspan.data.annotations.video_builder import (
    VideoBuilder,
    is_selected,
    read_files,
    require_tiers,
)

_TOKEN = re.compile(
    r'"([^"]*(?:""[^"]*)*)"'  # a text; a quote inside is written twice
    r"|(?<!\S)([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)"
    r"|(<exists>)"
    r"|(?<!\S)![^\n]*"  # a comment
)
_KINDS = ("IntervalTier", "TextTier")
_Tokens = Iterator[str | float]


def read(source: Source, options: ReadOptions) -> Annotations:
    """Read a .TextGrid file, or all of a folder, where a damaged file becomes a problem."""
    tiers: dict[str, None] = {}
    read_file = partial(_read_file, patterns=options.tiers, tiers=tiers)
    builder = read_files(source.path, ".textgrid", options, read_file)
    require_tiers(source.path, options.tiers, list(tiers))
    return builder.built("textgrid")


def _read_file(
    file: Path, builder: VideoBuilder, patterns: tuple[str, ...], tiers: dict[str, None]
) -> None:
    """Add the intervals of a file, and the names of all its tiers to `tiers`."""
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
            tiers[name] = None
            _read_tier(tokens, file, builder, name, kind == _KINDS[1], is_selected(name, patterns))
        for token in tokens:
            if token in _KINDS:
                kind = "tiers beyond the number of tiers that the file says"
                builder.ignored[kind, str(next(tokens))] += 1
    except StopIteration as error:
        raise AnnotationError(f"{file}: ends before the last of its tiers") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise AnnotationError(f"{file}: not a TextGrid as Praat writes it: {error}") from error


def _read_tier(
    tokens: _Tokens, file: Path, builder: VideoBuilder, name: str, has_points: bool, selected: bool
) -> None:
    _number(tokens), _number(tokens)  # its start and end
    for i in range(1, int(_number(tokens)) + 1):
        start = _number(tokens)
        end = start if has_points else _number(tokens)
        label = str(next(tokens)).strip()
        if selected and has_points:
            builder.ignored["points, by tier", name] += 1
        elif selected and label:
            place = f"{file}: tier {name!r}, interval {i}"
            builder.add_or_reject(file.stem, (start, end, label), place)


def _tokens(file: Path) -> _Tokens:
    data = content_of(file)
    try:
        text = data.decode("utf-16" if data[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{file}: cannot be read as UTF-8 or UTF-16 text: {error}") from error
    for found in _TOKEN.finditer(text):
        quoted, number, flag = found.groups()
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
