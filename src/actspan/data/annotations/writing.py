"""Writing: what the writers of all formats share, and the files of ELAN and Label Studio.

In these two tools, a person corrects instances. ELAN's annotations in a tier must not overlap, so
overlapping instances are distributed over several tiers. Scores are symbolic annotations that refer
to their instance, so that they move with it. Facts about the video are properties of the file,
which ELAN preserves.

For Label Studio, instances with scores become predictions, which a person accepts or corrects;
others become annotations. The task's data contain the frame rate, and the labelling interface,
which is written beside the tasks, tells Label Studio to use it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from mimetypes import guess_type
from operator import itemgetter
from pathlib import PureWindowsPath
from typing import Any
from urllib.parse import unquote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.annotation_set import AMBIGUOUS, NO_LABEL
from actspan.data.annotations.elan import INSTANCES, PROPERTY, SCORES
from actspan.data.annotations.fields import written_facts
from actspan.data.annotations.labelstudio import ID

_NTSC = (24, 30, 48, 60, 120)  # rates that exist also as 1000/1001 of them
FPS = 25.0  # default frames per second, for formats that count frames

_LONGEST_NAME = 150  # bytes of a file's name before its suffix; file systems allow 255 in all
_NOT_IN_NAMES = re.compile(r"[^\w .()+,=@-]")
# Names that Windows reserves for devices, with any suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
# Characters that XML 1.0 cannot contain, not even as a character reference.
_NOT_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"
# DATE is when ELAN saved the file. Ours is fixed, so that equal videos give equal bytes.
_DOCUMENT = {
    "AUTHOR": "",
    "DATE": "1970-01-01T00:00:00+00:00",
    "FORMAT": "3.0",
    "VERSION": "3.0",
    _SCHEMA: "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
}
_ONE_TO_ONE = "Symbolic_Association"
_CONTROL, _MEDIUM = "actions", "video"  # names of Label Studio's tags, to which regions refer

ScoredInstance = tuple[float, float, str, float | None]  # seconds, label, score


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Settings for writing annotations, where a format leaves a choice."""

    # Content to write beside the videos, if a format allows it: version, taxonomy.
    document: Mapping[str, Any] = field(default_factory=dict)
    # Returns the link to a video: an address, or a path relative to the written files.
    media: Callable[[Video], str] | None = None
    fps: float | None = None  # of videos that do not give their own, if times are frame numbers


def in_microseconds(video: Video) -> Video:
    """Return a video with rounded times, for exports: 5.375 in place of 5.375000000000001.

    Segments that would have no length are unchanged.
    """
    segments, ignored = (
        np.where(np.diff(rounded := pairs.round(6)) > 0, rounded, pairs)
        for pairs in (video.segments, video.ignored)
    )
    duration = round(video.duration, 6)
    return replace(video, duration=duration, segments=segments, ignored=ignored)


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
                f"video {video.id!r}: {what} {text!r} contains {bad.group()!r}, which this format "
                "cannot contain: rename it"
            )
    for start, end, label, score in scored_instances(video):
        yield start, end, label.strip() or NO_LABEL, score


def one_line(text: str) -> str:
    """Return a text with blanks in place of tabs and line breaks, for formats of lines."""
    return " ".join(text.split())


def in_units(start: float, end: float, per_second: float) -> tuple[int, int]:
    """Return a segment in whole units, such as frames, at least one long."""
    first = round(start * per_second)
    return first, max(round(end * per_second), first + 1)


def milliseconds(start: float, end: float) -> tuple[int, int]:
    """Return a segment in whole milliseconds, at least one long."""
    return in_units(start, end, 1000)


def frame_rates(videos: Sequence[Video], options: WriteOptions, format: str) -> list[float]:
    """Return the frame rate of each video; raise ConfigError if any is unknown."""
    rates = [_exact_rate(video.fps or options.fps) for video in videos]
    if unknown := [v.id for v, rate in zip(videos, rates, strict=True) if rate is None]:
        raise ConfigError(
            f"{format} counts frames, and the frame rate of {counted(len(unknown), 'video')} is "
            f"unknown ({listed(unknown)}): pass --fps RATE, or --durations with a column fps"
        )
    return [rate for rate in rates if rate is not None]


def _exact_rate(rate: float | None) -> float | None:
    """Return 30000/1001 for 29.97, and so on, as editors need it; other rates unchanged."""
    exact = round(rate or 0) * 1000 / 1001
    is_rounded = round(rate or 0) in _NTSC and abs((rate or 0) - exact) < 0.005
    return exact if is_rounded else rate


def media_name(video: Video, options: WriteOptions) -> str:
    """Return the name of a video's file without its folder, or "" if no link is given."""
    if options.media is None:
        return ""
    return one_line(PureWindowsPath(unquote(options.media(video))).name)  # both kinds of slash


def named_files(videos: Sequence[Video], suffix: str) -> Iterator[tuple[str, Video]]:
    """Yield a file name per video: its id, with `_` for characters that could form a path.

    Raises AnnotationError if two ids give the same name on some file system.
    """
    used: dict[str, str] = {}  # ids by names without case, which some file systems ignore
    for video in videos:
        text = _NOT_IN_NAMES.sub("_", unicodedata.normalize("NFC", video.id))
        text = text.encode("utf-8", "replace")[:_LONGEST_NAME].decode("utf-8", "ignore")
        text = text.strip(" ").rstrip(" .")  # Windows drops these
        is_special = not text or text.startswith(".") or _DEVICES.match(text)
        name = f"_{text}{suffix}" if is_special else text + suffix
        if (key := name.casefold()) in used:
            raise AnnotationError(
                f"videos {used[key]!r} and {video.id!r} would both be written to {name!r}: rename "
                "one of them"
            )
        used[key] = video.id
        yield name, video


def encode_elan(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of an .eaf file per video; times are whole milliseconds."""
    for name, video in named_files(videos, ".eaf"):
        root = Element("ANNOTATION_DOCUMENT", _DOCUMENT)
        header = SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
        if options.media is not None:
            link = options.media(video)
            media = {"MEDIA_URL": link, "MIME_TYPE": guess_type(link)[0] or "video/mp4"}
            if "://" not in link:  # relative to this file, so that both can be moved
                media["RELATIVE_MEDIA_URL"] = link
            SubElement(header, "MEDIA_DESCRIPTOR", media)
        for key, value in written_facts(video).items():
            SubElement(header, "PROPERTY", NAME=PROPERTY + key).text = str(value)
        instances = labelled_instances(video)
        rows = ((*milliseconds(s, e), label, score) for s, e, label, score in instances)
        _add_tiers(root, layers(rows))
        for kind, constraints in ((INSTANCES, {}), (SCORES, {"CONSTRAINTS": _ONE_TO_ONE})):
            attributes = {
                "GRAPHIC_REFERENCES": "false",
                "LINGUISTIC_TYPE_ID": kind,
                "TIME_ALIGNABLE": "false" if constraints else "true",
            }
            SubElement(root, "LINGUISTIC_TYPE", attributes | constraints)
        what = "1-1 association with a parent annotation"
        SubElement(root, "CONSTRAINT", STEREOTYPE=_ONE_TO_ONE, DESCRIPTION=what)
        indent(root, " ")
        text: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
        # A bare carriage return would be read back as a line feed.
        yield name, text.replace(b"\r", b"&#13;") + b"\n"


def layers(instances: Iterable[ScoredInstance]) -> list[list[ScoredInstance]]:
    """Return instances in layers without overlap, sorted; each in the first layer with room."""
    found: list[list[ScoredInstance]] = [[]]
    for instance in instances:
        if not any(_insert(layer, instance) for layer in found):
            found.append([instance])
    return found


def _insert(layer: list[ScoredInstance], instance: ScoredInstance) -> bool:
    """Insert an instance into a layer, sorted by time, unless it overlaps another."""
    start, end, *_ = instance
    place = bisect(layer, start, key=itemgetter(0))
    neighbours = layer[max(place - 1, 0) : place + 1]
    overlaps = any(first < end and last > start for first, last, *_ in neighbours)
    if not overlaps:
        layer.insert(place, instance)
    return not overlaps


def _add_tiers(root: Element, layers: list[list[ScoredInstance]]) -> None:
    times, numbers = SubElement(root, "TIME_ORDER"), count(1)
    for i, layer in enumerate(layers, start=1):
        ending = "" if i == 1 else f" {i}"
        names = {kind: kind + ending for kind in (INSTANCES, SCORES)}
        tier, scores = (Element("TIER", TIER_ID=n, LINGUISTIC_TYPE_REF=k) for k, n in names.items())
        scores.set("PARENT_REF", names[INSTANCES])
        for (start, end, label, score), n in zip(layer, numbers, strict=False):
            refs = {"TIME_SLOT_REF1": f"ts{2 * n - 1}", "TIME_SLOT_REF2": f"ts{2 * n}"}
            for slot, time in zip(refs.values(), (start, end), strict=True):
                SubElement(times, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(time))
            _add(tier, "ALIGNABLE_ANNOTATION", f"a{n}", label, refs)
            if score is not None:
                _add(scores, "REF_ANNOTATION", f"s{n}", repr(score), {"ANNOTATION_REF": f"a{n}"})
        root.extend([tier, scores] if len(scores) else [tier])


def _add(tier: Element, kind: str, name: str, value: str, refs: dict[str, str]) -> None:
    outer = SubElement(tier, "ANNOTATION")
    inner = SubElement(outer, kind, {"ANNOTATION_ID": name, **refs})
    SubElement(inner, "ANNOTATION_VALUE").text = value


def encode_labelstudio(
    videos: Sequence[Video], options: WriteOptions
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of two files: the tasks to import, and the labelling interface.

    Raises ConfigError if the address is unknown from which Label Studio plays the videos.
    """
    instances = [list(labelled_instances(video)) for video in videos]
    tasks = [_task(*pair, options) for pair in zip(videos, instances, strict=True)]
    labels = dict.fromkeys(
        label for instances_of_video in instances for _, _, label, _ in instances_of_video
    )
    yield "labelstudio.json", (json.dumps(tasks, indent=1, ensure_ascii=False) + "\n").encode()
    view = Element("View")
    SubElement(view, "Video", name=_MEDIUM, value="$video", frameRate="$fps")
    control = SubElement(view, "TimelineLabels", name=_CONTROL, toName=_MEDIUM)
    for label in labels or (NO_LABEL,):
        SubElement(control, "Label", value=label)
    indent(view, "  ")
    yield "labelstudio.xml", tostring(view, encoding="utf-8") + b"\n"


def assumed_rate(videos: Sequence[Video], options: WriteOptions) -> Iterator[str]:
    """Yield a note about videos of unknown frame rate."""
    unknown = sum(video.fps is None for video in videos)
    if options.fps is None and unknown:
        where = counted(unknown, "video")
        yield f"frame rate unknown in {where}: {FPS:g} frames per second assumed (--fps)"


def _task(
    video: Video, instances: Iterable[ScoredInstance], options: WriteOptions
) -> dict[str, Any]:
    if options.media is None:
        raise ConfigError(
            "Label Studio plays videos from an address: say which, with {id} for the video's id, "
            "as in --videos '/data/local-files/?d=videos/{id}.mp4'"
        )
    facts = written_facts(video)
    name = facts.pop("video")
    fps = video.fps or options.fps or FPS
    data = {"video": options.media(video), ID: name, **facts, "fps": fps}
    regions = [_region(i, instance, fps) for i, instance in enumerate(instances, start=1)]
    if video.scores is None:
        return {"data": data, "annotations": [{"result": regions}]}
    best = float(video.scores.max()) if len(video.scores) else 0.0
    prediction = {"model_version": "ActSpan", "score": best, "result": regions}
    return {"data": data, "predictions": [prediction]}


def _region(index: int, instance: ScoredInstance, fps: float) -> dict[str, Any]:
    start, end, label, score = instance
    first, last = in_units(start, end, fps)
    region = {  # frames count from 1, and the last one is included
        "id": f"r{index}",
        "from_name": _CONTROL,
        "to_name": _MEDIUM,
        "type": "timelinelabels",
        "value": {"ranges": [{"start": first + 1, "end": last}], "timelinelabels": [label]},
    }
    return region if score is None else {**region, "score": score}
