"""Praat's TextGrid: tiers of intervals, in seconds, in the long or the short text format.

Both are read as Praat does: quoted texts, `<exists>` and separate numbers are read in order;
everything else (`xmin =`, `intervals [1]:`, comments) is ignored. An interval with a text is an
instance with the text as label; intervals without text are gaps. Points have no length: they are
counted and ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from actspan.core.errors import AnnotationError
from actspan.core.files import read_bytes
from actspan.core.limits import DOCUMENT
from actspan.data.annotations.base import Annotations, Hints
from actspan.data.annotations.per_file import add_video, files_of, read_each, require_tiers
from actspan.data.annotations.rows import Facts, Rows
from actspan.data.annotations.source import Source
from actspan.data.names import Ignored

_TOKEN = re.compile(
    r'"([^"]*(?:""[^"]*)*)"'  # a text; a quote inside is written twice
    r"|(?<!\S)([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)"
    r"|(<exists>)"
    r"|(?<!\S)![^\n]*"  # a comment
)


@dataclass(slots=True)
class _Reading:
    """What the reader collects from one or more files."""

    tiers: tuple[str, ...]  # patterns; an empty tuple selects all
    ignored: Ignored = field(default_factory=Ignored)
    met: dict[str, None] = field(default_factory=dict)  # names of all tiers


def fits(source: Source) -> bool:
    """Return whether the source is a .TextGrid file, or a folder with one or more of them."""
    return next(files_of(source.path, ".textgrid"), None) is not None


def read(source: Source, hints: Hints) -> Annotations:
    """Read a .TextGrid file, or all of a folder, where a damaged file becomes a problem."""
    reading = _Reading(hints.tiers)
    rows = read_each(
        source.path,
        ".textgrid",
        partial(_read_file, reading=reading),
        reading.ignored,
        will_clip=hints.will_clip,
    )
    require_tiers(source.path, hints.tiers, list(reading.met))
    return Annotations(
        source.path,
        "textgrid",
        rows.videos(),
        tuple(rows.problems),
        notes=(*rows.notes(source.path), *reading.ignored.notes(source.path)),
    )


def _read_file(file: Path, rows: Rows, reading: _Reading) -> None:
    tokens = _tokens(_text(file))
    try:
        if (next(tokens), next(tokens)) != ("ooTextFile", "TextGrid"):
            raise ValueError("its head is not that of a TextGrid as text")
        start, end = _number(next(tokens)), _number(next(tokens))
        facts = Facts(duration=end) if start == 0 and end > 0 else None
        tiers = int(_number(next(tokens))) if next(tokens) == "<exists>" else 0
        add_video(rows, file.stem, file, facts)
        for _ in range(tiers):
            _read_tier(tokens, file, rows, reading)
        for token in tokens:
            if token in ("IntervalTier", "TextTier"):
                kind = "tiers beyond the number of tiers that the file says"
                reading.ignored.add(kind, str(next(tokens)))
    except StopIteration as error:
        raise AnnotationError(f"{file}: ends before the last of its tiers") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise AnnotationError(f"{file}: not a TextGrid as Praat writes it: {error}") from error


def _read_tier(tokens: Iterator[str | float], file: Path, rows: Rows, reading: _Reading) -> None:
    kind, name = next(tokens), str(next(tokens))
    if kind not in ("IntervalTier", "TextTier"):
        raise ValueError(f"{kind!r} in place of a tier")
    _number(next(tokens)), _number(next(tokens))
    count = int(_number(next(tokens)))
    reading.met[name] = None
    wanted = not reading.tiers or any(fnmatchcase(name, pattern) for pattern in reading.tiers)
    for i in range(1, count + 1):
        times = [_number(next(tokens)) for _ in range(2 if kind == "IntervalTier" else 1)]
        label = str(next(tokens)).strip()
        if not wanted:
            continue
        if kind == "TextTier":
            reading.ignored.add("points, by tier", name)
        elif label:
            try:
                rows.add(file.stem, (times[0], times[1], label))
            except ValueError as error:
                rows.refuse(file.stem, f"{file}: tier {name!r}, interval {i}", error)


def _tokens(text: str) -> Iterator[str | float]:
    for found in _TOKEN.finditer(text):
        quoted, number, flag = found.groups()
        if number is not None:
            yield float(number)
        elif flag is not None:
            yield flag
        elif quoted is not None:
            yield quoted.replace('""', '"')


def _number(token: str | float) -> float:
    if not isinstance(token, float):
        raise TypeError(f"{token[:40]!r} in place of a number")
    return token


def _text(file: Path) -> str:
    try:
        data = read_bytes(file, DOCUMENT)
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{file}: cannot be read as UTF-8 or UTF-16 text: {error}") from error
