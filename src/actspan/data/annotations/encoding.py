"""Shared parts of the writers of all formats: facts about videos, file names, bad text."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.data.annotations.annotation_set import AMBIGUOUS, number
from actspan.data.annotations.video_builder import Facts
from actspan.data.data_requests import UNLABELLED
from actspan.data.videos import canonical_subset

FPS = 25.0  # default frames per second, for formats that count frames

_LONGEST_NAME = 150  # bytes of a file's name before its suffix; file systems allow 255 in all
_NOT_IN_NAMES = re.compile(r"[^\w .()+,=@-]")
# Names that Windows reserves for devices, with any suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
# Characters that XML 1.0 cannot contain, not even as a character reference.
_NOT_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

ScoredInstance = tuple[float, float, str, float | None]  # seconds, label, score


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Settings for writing annotations, where a format leaves a choice."""

    # Content to write beside the videos, if a format allows it: version, taxonomy.
    document: Mapping[str, Any] = field(default_factory=dict)
    # Returns the link to a video: an address, or a path relative to the written files.
    media: Callable[[Video], str] | None = None
    fps: float = FPS  # of videos that do not give their own, if times are frame numbers


def written_id(name: str) -> str:
    """Return an id as reading expects it, so that it gives the same id."""
    return f"v_{name}" if name.startswith("v_") else name


def scored_instances(video: Video) -> Iterator[ScoredInstance]:
    """Yield instances with their scores, then the ignored segments, labelled `Ambiguous`."""
    scores = [None] * len(video.segments) if video.scores is None else video.scores.tolist()
    for (start, end, label), score in zip(video.instances(), scores, strict=True):
        yield start, end, label, score
    for start, end in video.ignored.tolist():
        yield start, end, AMBIGUOUS, None


def labelled_instances(video: Video) -> Iterator[ScoredInstance]:
    """Yield `scored_instances` with a label each, for tools that need one.

    Raises AnnotationError if an id, a subset or a label has a control character or half a surrogate
    pair, which no text file can contain.
    """
    texts = [("id", video.id), ("subset", video.subset), *(("label", x) for x in video.labels)]
    for what, text in texts:
        if bad := _NOT_TEXT.search(text):
            raise AnnotationError(
                f"video {video.id!r}: {what} {text!r} holds {bad.group()!r}, which this format "
                "cannot contain: rename it"
            )
    for start, end, label, score in scored_instances(video):
        yield start, end, label.strip() or UNLABELLED, score


def written_facts(video: Video) -> dict[str, str | float]:
    """Return the facts about a video beside its instances, as `read_facts` reads them."""
    known = {
        "video": written_id(video.id),
        "subset": video.subset or None,
        "duration": None if math.isnan(video.duration) else video.duration,
        "fps": video.fps,
        "frames": video.frames,
    }
    return {key: value for key, value in known.items() if value is not None}


def read_facts(facts: Mapping[str, Any]) -> Facts:
    """Return the facts that `written_facts` wrote, except the id; raise TypeError or ValueError."""
    keys = ("duration", "fps", "frames")
    known = {key: number(facts[key], key) for key in keys if facts.get(key) is not None}
    return Facts(
        duration=known.get("duration"),
        subset=canonical_subset(str(facts["subset"])) if facts.get("subset") else None,
        fps=known.get("fps"),
        frames=int(known["frames"]) if "frames" in known else None,
    )


def milliseconds(start: float, end: float) -> tuple[int, int]:
    """Return a segment in whole milliseconds, at least one long."""
    first = round(start * 1000)
    return first, max(round(end * 1000), first + 1)


def named_files(videos: Sequence[Video], suffix: str) -> Iterator[tuple[str, Video]]:
    """Yield a file name per video: its id, with `_` for characters that could form a path.

    Raises AnnotationError if two ids give the same name on some file system.
    """
    taken: dict[str, str] = {}  # ids by names without case, which some file systems ignore
    for video in videos:
        text = _NOT_IN_NAMES.sub("_", unicodedata.normalize("NFC", video.id))
        text = text.encode("utf-8", "replace")[:_LONGEST_NAME].decode("utf-8", "ignore")
        text = text.strip(" ").rstrip(" .")  # Windows drops these
        is_special = not text or text.startswith(".") or _DEVICES.match(text)
        name = f"_{text}{suffix}" if is_special else text + suffix
        if (key := name.casefold()) in taken:
            raise AnnotationError(
                f"videos {taken[key]!r} and {video.id!r} would both be written to {name!r}: rename "
                "one of them"
            )
        taken[key] = video.id
        yield name, video
