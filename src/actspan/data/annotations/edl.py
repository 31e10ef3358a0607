"""Edit decision lists in the form of CMX 3600: the cuts that a video editor makes from a video.

    TITLE: clip
    FCM: NON-DROP FRAME

    001  AX       V     C        00:00:01:12 00:00:04:00 00:00:00:00 00:00:02:13
    * FROM CLIP NAME: clip.mp4
    * LOC: 00:00:00:00 GREEN   jump
    * SCORE: 0.9

An event has start and end in the source, then in the edited film. Timecode is a number of frames,
written with as many frames per second as the frame rate rounds to; a list does not say which rate.

Reading: an event is an instance, with its times in the source, which count from the start of the
file. The video is that of a comment about the file or the clip, or else the reel, or the file
itself. The label is the first locator (`LOC`), or else the name of the clip if a file is named too.
Audio, black, events without length and speed changes are counted and ignored.

Writing: the instances of a video one after the other, by start. A comment has the facts about the
video, with the rate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.data.annotations.annotation_set import Annotations, ReadOptions, Source, text_of
from actspan.data.annotations.fields import Facts, parse_facts, written_facts
from actspan.data.annotations.video_builder import VideoBuilder, read_files
from actspan.data.annotations.writing import (
    WriteOptions,
    frame_rates,
    in_units,
    labelled_instances,
    media_name,
    named_files,
    one_line,
)

_NOTE = "* ACTSPAN "  # precedes the facts about the video, as JSON
_MOST_FRAMES = 100  # per second, which are two digits
_DAY = 24 * 3600  # seconds, where timecode starts again
_LONGEST_EVENT = 500  # characters
_TIME = r"(\d\d?[:;.]\d\d[:;.]\d\d[:;.,]\d\d)"
# Number, reel (perhaps with blanks), channel, kind of transition and its length, times.
_EVENT = re.compile(r"\d+\s+(\S.*?)\s+(\S+)\s+(?:C|D|W\d+|K[BO]?)(?:\s+\d+)?" + 4 * rf"\s+{_TIME}")
_LOCATOR = re.compile(r"\*?\s*LOC:\s*\S+\s+\w+\s+(.*)")
_CLIP = re.compile(r"\*?\s*FROM CLIP NAME:\s*(.*)")
_FILE = re.compile(r"\*?\s*FROM (?:CLIP|FILE):\s*(.*)")
_HEAD = re.compile(r"(TITLE:|FCM|SPLIT)")
_NOT_VIDEO = re.compile(r"(A\d*|AA|NONE)")  # channels of sound alone
_NO_SOURCE = ("BL", "BLACK", "BARS")  # reels
_UNKNOWN_REEL = "AX"


def read(source: Source, options: ReadOptions) -> Annotations:
    """Read an .edl file, or all of a folder; raise AnnotationError if the rate is unknown."""

    def read_file(file: Path, builder: VideoBuilder) -> None:
        _Reader(file, builder, options.fps).read()

    return replace(read_files("edl", ".edl", read_file, source, options), unit="frames")


class _Event(NamedTuple):
    """Fields of an event, and the comments that follow it."""

    line: int
    reel: str
    channel: str
    times: tuple[str, ...]  # start and end in the source, then in the film
    has_drops: bool  # whether its timecode leaves out numbers
    comments: list[str]

    def first(self, pattern: re.Pattern[str]) -> str:
        """Return what the first comment of a kind says, or ""."""
        matches = (pattern.fullmatch(comment) for comment in self.comments)
        return next((match[1].strip() for match in matches if match), "")


def _matched(line: str) -> re.Match[str] | None:
    """Match a line of an event; the pattern takes quadratic time on long runs of blanks."""
    if not line[:1].isdigit() or len(line) > _LONGEST_EVENT:
        return None
    return _EVENT.fullmatch(" ".join(line.split()))


class _Reader:
    """Reader of one file."""

    def __init__(self, file: Path, builder: VideoBuilder, fps: float | None) -> None:
        self._file, self._builder = file, builder
        self._lines = [line.strip() for line in text_of(file).splitlines()]
        noted = next((line for line in self._lines if line.startswith(_NOTE)), "")
        self._video, self._facts = "", Facts()
        if noted:
            try:
                self._video, self._facts = parse_facts(noted.removeprefix(_NOTE), file.stem)
            except (TypeError, ValueError) as error:
                what = f"the JSON after '{_NOTE}' is bad: {error}"
                raise AnnotationError(f"{file}: {what}") from error
        self._fps = self._facts.fps or fps

    def read(self) -> None:
        """Add the events of the file."""
        events = list(self._events())
        if not events and not any(_HEAD.match(line) for line in self._lines):
            raise AnnotationError(
                f"{self._file}: not an EDL of CMX 3600: it has neither a title nor events"
            )
        if events and self._fps is None:
            raise AnnotationError(
                f"{self._file}: an EDL counts frames and does not give the frame rate: convert the "
                "file: actspan annotate convert --fps RATE"
            )
        if self._video:
            self._builder.add_file(self._video, self._file, self._facts)
        for event in events:
            self._add(event)

    def _events(self) -> Iterator[_Event]:
        event, has_drops = None, False
        for number, line in enumerate(self._lines, start=1):
            if match := _matched(line):
                if event is not None:
                    yield event
                reel, channel, *times = match.groups()
                drops = has_drops or ";" in times[0]
                event = _Event(number, reel, channel, tuple(times), drops, [])
            elif line.startswith("FCM"):
                has_drops = "NON" not in line.upper()
            elif event is not None and line and not line[0].isdigit():
                event.comments.append(line)
            elif line and not _HEAD.match(line) and not line.startswith("*"):
                what = f"{line[:60]!r} is not an event of CMX 3600"
                self._builder.reject(self._name(event), f"{self._file}:{number}", what)
        if event is not None:
            yield event

    def _name(self, event: _Event | None) -> str:
        """Return the id of an event's video."""
        if self._video or event is None:
            return self._video or self._file.stem
        reel = "" if event.reel == _UNKNOWN_REEL else event.reel
        return _file_name(event) or event.first(_CLIP) or reel or self._file.stem

    def _add(self, event: _Event) -> None:
        ignored, name = self._builder.ignored, self._name(event)
        if _NOT_VIDEO.fullmatch(event.channel):
            ignored["events of sound alone", event.channel] += 1
            return
        if event.reel in _NO_SOURCE:
            ignored["events without a source", event.reel] += 1
            return
        if event.times[0] == event.times[1]:  # the start of a dissolve
            ignored["events without length", name] += 1
            return
        if any(comment.startswith("M2") for comment in event.comments):
            ignored["changes of speed", name] += 1
        fps, place = self._fps, f"{self._file}:{event.line}"
        assert fps is not None
        try:
            start, end = (_frames(t, fps, event.has_drops) / fps for t in event.times[:2])
        except ValueError as error:
            self._builder.reject(name, place, error)
            return
        self._builder.add_or_reject(name, (start, end, _label(event)), place)


def _file_name(event: _Event) -> str:
    return PureWindowsPath(event.first(_FILE)).name  # handles both kinds of slash


def _label(event: _Event) -> str:
    """Return the first locator, or else the clip's name if another comment names the file."""
    file, clip = _file_name(event), event.first(_CLIP)
    is_named = file and clip not in (file, PureWindowsPath(file).stem)
    return event.first(_LOCATOR) or (clip if is_named else "")


def _frames(timecode: str, fps: float, has_drops: bool) -> int:
    """Return the number of a frame; raise ValueError if the rate does not have it."""
    base = round(fps)
    hours, minutes, seconds, frames = map(int, re.split("[:;.,]", timecode))
    if minutes > 59 or seconds > 59 or frames >= base:
        raise ValueError(f"timecode {timecode} does not exist at {fps:g} frames per second")
    minutes += 60 * hours
    number = (minutes * 60 + seconds) * base + frames
    if not has_drops:
        return number
    if base not in (30, 60):
        raise ValueError(f"timecode {timecode} drops frames, as only 29.97 and 59.94 per second do")
    # The first numbers of a minute do not exist, except in every tenth.
    return number - base // 15 * (minutes - minutes // 10)


def encode_edl(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of an .edl file per video, events by start.

    Raises ConfigError if a frame rate is unknown, and AnnotationError if timecode cannot count the
    frames.
    """
    rates = frame_rates(videos, options, "EDL")
    for (name, video), fps in zip(named_files(videos, ".edl"), rates, strict=True):
        text = "\n".join(_written_lines(replace(video, fps=fps), fps, options))
        yield name, (text + "\n").encode()


def _written_lines(video: Video, fps: float, options: WriteOptions) -> Iterator[str]:
    if not 1 <= round(fps) <= _MOST_FRAMES:
        raise AnnotationError(
            f"video {video.id!r}: an EDL cannot count {fps:g} frames per second: use --to otio"
        )
    yield from (f"TITLE: {one_line(video.id)}", "FCM: NON-DROP FRAME", "")
    film = 0
    clip = media_name(video, options) or one_line(video.id)
    instances = sorted(labelled_instances(video), key=lambda instance: instance[:2])
    for number, (*span, label, score) in enumerate(instances, start=1):
        source = in_units(span[0], span[1], fps)
        frames = *source, film, film + source[1] - source[0]
        starts, film = film, frames[3]
        times = " ".join(_timecode(frame, fps, video) for frame in frames)
        yield f"{number:03d}  {_UNKNOWN_REEL}       V     C        {times}"
        yield f"* FROM CLIP NAME: {clip}"
        yield f"* LOC: {_timecode(starts, fps, video)} GREEN   {one_line(label)}"
        if score is not None:
            yield f"* SCORE: {score!r}"
    yield _NOTE + json.dumps(written_facts(video))


def _timecode(frame: int, fps: float, video: Video) -> str:
    seconds, frames = divmod(frame, round(fps))
    if seconds >= _DAY:
        raise AnnotationError(
            f"video {video.id!r}: timecode ends after 24 hours: use --to otio, or export fewer "
            "segments"
        )
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}"
