"""Lines of text with times: Audacity's labels, and the chapters of a YouTube video.

Audacity: a line per label, `start end text`, separated by tabs, in seconds. Lines that begin with a
backslash are the frequency range of the label above. Labels without length are points: both are
counted and ignored. The file's name is the video's id.

YouTube: a line per chapter, `1:05 text`, in the description of a video. A chapter ends where the
next one starts, so that it is no segment: chapters are written, and not read. YouTube shows them if
the first is at 0:00, there are at least three, and each is 10 seconds long or longer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.core.wording import clock, counted, listed
from actspan.data.annotations.annotation_set import Source, text_of
from actspan.data.annotations.fields import seconds
from actspan.data.annotations.video_builder import VideoBuilder
from actspan.data.annotations.writing import (
    ScoredInstance,
    WriteOptions,
    in_units,
    labelled_instances,
    named_files,
    one_line,
)

_MICRO = 1_000_000  # Audacity writes six decimals
_LINE = re.compile(rb"(\xef\xbb\xbf)?\s*\d+(\.\d+)?\t\d+(\.\d+)?(\t[^\t]*)?\r?\n?")
_SHORTEST, _FEWEST, _START = 10, 3, "Start"  # of YouTube's chapters: seconds, number, name
_BRACKETS = str.maketrans("<>", "‹›")  # YouTube refuses descriptions with < or >


def fits_audacity(source: Source) -> bool:
    """Return whether the first line of a .txt file, or of one in a folder, is a label."""
    path = source.path
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    return any(_starts_with_label(f) for f in files if f.suffix.lower() == ".txt" and f.is_file())


def _starts_with_label(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return _LINE.fullmatch(stream.readline(4096)) is not None
    except OSError:
        return False


def read_audacity(file: Path, builder: VideoBuilder) -> None:
    """Add the labels of a .txt file; raise AnnotationError if it has none."""
    lines = text_of(file).splitlines()
    filled = [line for line in lines if line.strip()]
    if filled and not any("\t" in line for line in filled):
        raise AnnotationError(f"{file}: not labels of Audacity: its lines have no tabs")
    builder.add_file(file.stem, file)
    for number, line in enumerate(lines, start=1):
        if line.startswith("\\"):
            builder.ignored["frequency ranges", file.name] += 1
        elif line.strip():
            _add_label(builder, file, number, line)


def _add_label(builder: VideoBuilder, file: Path, number: int, line: str) -> None:
    fields = [field.strip() for field in line.split("\t", 2)]
    try:
        if len(fields) < 2:
            raise ValueError(f"{line.strip()[:60]!r} is not 'start end label', with tabs")
        start, end = seconds(fields[0]), seconds(fields[1])
        label = fields[2] if len(fields) == 3 else ""
        if start == end:
            builder.ignored["labels without length", label] += 1
        else:
            builder.add(file.stem, (start, end, label))
    except ValueError as error:
        builder.reject(file.stem, f"{file}:{number}", error)


def encode_audacity(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a .txt file per video, labels by start, in whole microseconds."""
    for name, video in named_files(videos, ".txt"):
        rows = sorted(
            (*in_units(s, e, _MICRO), one_line(x)) for s, e, x, _ in labelled_instances(video)
        )
        lines = (f"{_decimal(start)}\t{_decimal(end)}\t{label}\n" for start, end, label in rows)
        yield name, "".join(lines).encode()


def changed_ids(videos: Sequence[Video], options: WriteOptions) -> Iterator[str]:
    """Yield a note about ids that cannot be file names, because labels have no place for an id."""
    if changed := [v.id for name, v in named_files(videos, ".txt") if name != f"{v.id}.txt"]:
        what = counted(len(changed), "id")
        yield f"file names differ from {what}, and are read back in their place: {listed(changed)}"


def _decimal(microseconds: int) -> str:
    return f"{microseconds // _MICRO}.{microseconds % _MICRO:06d}"


def encode_youtube(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a .txt file per video."""
    for name, video in named_files(videos, ".txt"):
        texts = {s: one_line(row[2]).translate(_BRACKETS) for s, row in _chapters(video).items()}
        chapters = {0: _START, **texts}
        lines = (f"{clock(second, 0)} {text}\n" for second, text in sorted(chapters.items()))
        yield name, "".join(lines).encode()


def left_out_of_chapters(videos: Sequence[Video], options: WriteOptions) -> Iterator[str]:
    """Yield notes about instances that are no chapters, and about videos with too few chapters."""
    left_out = few = moved = 0
    for video in videos:
        chapters = _chapters(video)
        left_out += sum(1 for _ in labelled_instances(video)) - len(chapters)
        few += len({0, *chapters}) < _FEWEST
        moved += 0 in chapters and chapters[0][0] >= 1  # what is shown as 0:00 is at 0:00
    if left_out:
        what = f"chapters start at least {_SHORTEST} s apart (the best scores are kept)"
        yield f"{counted(left_out, 'segment')} left out: {what}"
    if moved:
        yield f"{counted(moved, 'chapter')} moved to 0:00, where YouTube needs the first one"
    if few:
        what = f"fewer than {_FEWEST} chapters, which YouTube does not show"
        yield f"{counted(few, 'video')} with {what}"


def _chapters(video: Video) -> dict[int, ScoredInstance]:
    """Return the instances of chapters by their seconds; of those too close, the best."""
    rows = list(labelled_instances(video))
    best_first = sorted(rows, key=lambda row: (math.inf if row[3] is None else -row[3], row[0]))
    latest = math.inf if math.isnan(video.duration) else video.duration - _SHORTEST
    chosen: dict[int, ScoredInstance] = {}
    for row in best_first:
        second = int(row[0]) if row[0] >= _SHORTEST else 0
        fits = not second or second <= latest  # there is a chapter at 0:00 in any case
        if fits and all(abs(second - other) >= _SHORTEST for other in chosen):
            chosen[second] = row
    return chosen
