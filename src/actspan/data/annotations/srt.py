"""SubRip: numbered cues of subtitles, like WebVTT without a header and with decimal commas.

    1
    00:00:01,500 --> 00:00:03,000
    jump

A cue's text is its label, without markup; the file's name is the video's id.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from actspan.core.errors import AnnotationError
from actspan.data.annotations.base import Annotations, Hints
from actspan.data.annotations.per_file import add_video, files_of, read_each
from actspan.data.annotations.rows import Rows
from actspan.data.annotations.source import Source
from actspan.data.annotations.vtt import Clock, add_cues, cues_of, read_lines
from actspan.data.names import Ignored

_TIME = r"(\d{1,9}):([0-5]?\d):([0-5]?\d)[,.](\d{3})(?!\d)"
_CLOCK = Clock(re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}"), "00:01:02,345 --> 00:01:07,890")
_MARKUP = re.compile(r"<[^>]*>|\{\\[^}]*\}")


def fits(source: Source) -> bool:
    """Return whether the source is an .srt file, or a folder with one or more of them."""
    return next(files_of(source.path, ".srt"), None) is not None


def read(source: Source, hints: Hints) -> Annotations:
    """Read an .srt file, or all of a folder, where a damaged file becomes a problem."""
    ignored = Ignored()
    rows = read_each(source.path, ".srt", partial(_read_file, ignored=ignored), ignored)
    notes = (*rows.notes(source.path), *ignored.notes(source.path))
    return Annotations(source.path, "srt", rows.videos(), tuple(rows.problems), notes=notes)


def _read_file(file: Path, rows: Rows, ignored: Ignored) -> None:
    lines = [line.rstrip() for line in read_lines(file)]
    taken: set[int] = set()
    cues = []
    for number, timing, texts in cues_of(lines):
        taken.update(range(number - 1, number + len(texts)))
        is_next = number + len(texts) < len(lines) and "-->" in lines[number + len(texts)]
        if is_next and texts and texts[-1].strip().isdigit():
            texts = texts[:-1]  # the number of the next cue, if no blank line separates them
        cues.append((number, timing, _MARKUP.sub("", " ".join(texts)).strip()))
    if not cues and any(lines):
        raise AnnotationError(f"{file}: not SubRip: it has no times as {_CLOCK.example}")
    add_video(rows, file.stem, file)
    add_cues(rows, file.stem, file, cues, _CLOCK)
    for i, line in enumerate(lines):
        if i not in taken and line.strip() and not line.strip().isdigit():
            ignored.add("lines outside cues", f"{file.name}:{i + 1}")
