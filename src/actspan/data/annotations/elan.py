"""ELAN's .eaf: XML with tiers of annotations that refer to time slots, in milliseconds.

Reading: an annotation's label is its value, or the tier's name if the value is empty. The media
file gives the video id. Annotations that refer to others (symbolic tiers) have no times of their
own: they are counted and ignored. Document type declarations are refused, so that no entity can be
defined, expanded or fetched.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import NoReturn
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from actspan.core.errors import AnnotationError
from actspan.core.wording import counted, listed
from actspan.data.annotations.annotation_set import Annotations, ReadOptions, Source, content_of
from actspan.data.annotations.fields import Facts, read_facts
from actspan.data.annotations.video_builder import (
    VideoBuilder,
    read_files,
)
from actspan.data.names import Ignored

_DEEPEST = 32  # nested elements; ELAN needs 5
_START, _END = "TIME_SLOT_REF1", "TIME_SLOT_REF2"
INSTANCES = "actions"  # name of our tiers of instances, and of their type
SCORES = "scores"  # name of our tiers of scores, and of their type
PROPERTY = "actspan."  # prefix of our properties with facts about the video


def read(source: Source, options: ReadOptions) -> Annotations:
    """Read an .eaf file, or all of a folder, where a damaged file becomes a problem."""
    reader, notes = _Reader(), []
    annotations = read_files("elan", ".eaf", reader.read_file, source, options)
    if reader.divided:
        tiers = listed((f"{name} ({n:,})" for name, n in reader.divided.items()), most=12)
        notes.append(
            f"{source.path}: annotations that are not aligned are read as equal parts of their "
            f"parents, as ELAN shows them: {tiers}"
        )
    if len(reader.used) > 1:
        notes.append(
            f"{source.path}: instances of {len(reader.used)} tiers are read in the same way "
            f"({listed(reader.used, most=12)}); --tier selects some of them"
        )
    return replace(annotations, notes=(*annotations.notes, *notes))


class _Reader:
    """Reader of one or more files."""

    def __init__(self) -> None:
        self.used: dict[str, None] = {}  # names of the tiers with instances
        self.divided: Counter[str] = Counter()  # unaligned annotations, by tier

    def read_file(self, file: Path, builder: VideoBuilder) -> None:
        """Add the annotations of a file."""
        root = _parse(file)
        header = root.find("HEADER")
        units = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
        if units != "milliseconds":
            raise AnnotationError(f"{file}: times in {units!r}; only milliseconds can be read")
        video, origin = _media(root, file, builder.ignored)
        times, divided = _slot_times(root, file)
        own_video, facts = _own_facts(root, file)
        video = own_video or video
        builder.add_file(video, file, facts)
        for tier in root.iter("TIER"):
            name, kind = tier.get("TIER_ID", ""), tier.get("LINGUISTIC_TYPE_REF")
            if not builder.selects_tier(name) or kind == SCORES:
                continue
            if references := len(list(tier.iter("REF_ANNOTATION"))):
                builder.ignored["annotations that refer to others, by tier", name] += references
            if divided[name]:
                self.divided[name] += divided[name]
            added, unaligned = 0, 0
            for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
                start, end = (times.get(annotation.get(key, "")) for key in (_START, _END))
                if start is None or end is None:
                    unaligned += 1
                    continue
                label = (annotation.findtext("ANNOTATION_VALUE") or "").strip() or name
                instance = (start + origin) / 1000, (end + origin) / 1000, label
                number = annotation.get("ANNOTATION_ID", "?")
                where = f"{file}: tier {name!r}, annotation {number!r}"
                added += builder.add_or_reject(video, instance, where)
            if unaligned:
                where = f"{file}: {counted(unaligned, 'annotation')}"
                what = f"annotations of tier {name!r} without times"
                remedy = "align them in ELAN, or choose other tiers: --tier"
                builder.reject(video, where, what, remedy=remedy)
            if added:
                # Our writer puts overlapping instances into several tiers.
                self.used[INSTANCES if kind == INSTANCES else name] = None


def _own_facts(root: Element, file: Path) -> tuple[str, Facts]:
    """Return the id, or "", and the facts that our writer keeps as properties."""
    properties = {
        name.removeprefix(PROPERTY): text
        for name, text in (
            (p.get("NAME", ""), (p.text or "").strip()) for p in root.iter("PROPERTY")
        )
        if text and name.startswith(PROPERTY)
    }
    try:
        return properties.get("video", ""), read_facts(properties)
    except (TypeError, ValueError) as error:
        raise AnnotationError(f"{file}: property {PROPERTY}...: {error}") from error


def _media(root: Element, file: Path, ignored: Ignored) -> tuple[str, float]:
    """Return the video's id, and the media time (ms) at time zero of the annotations."""
    media = []
    for descriptor in root.iter("MEDIA_DESCRIPTOR"):
        url = descriptor.get("RELATIVE_MEDIA_URL") or descriptor.get("MEDIA_URL") or ""
        if name := PureWindowsPath(unquote(url)).stem:  # handles both kinds of slash
            media.append((descriptor, name))
    if not media:
        return file.stem, 0.0
    videos = [(m, name) for m, name in media if m.get("MIME_TYPE", "").startswith("video")]
    first, video = (videos or media)[0]
    for _, other in videos[1:]:
        if other != video:
            ignored["further videos", other] += 1
    return video, _milliseconds_of(first.get("TIME_ORIGIN", "0"), "TIME_ORIGIN", file)


class _Builder(TreeBuilder):
    """Builder of trees of limited depth, without document type declarations."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file, self._depth = file, 0

    def start(self, tag: str, attributes: dict[str, str]) -> Element:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise AnnotationError(f"{self._file}: elements nested too deeply for ELAN")
        return super().start(tag, attributes)

    def end(self, tag: str) -> Element:
        self._depth -= 1
        return super().end(tag)

    def doctype(self, *_: str | None) -> NoReturn:
        raise AnnotationError(
            f"{self._file}: has a document type declaration, which ELAN does not write; it could "
            "make a small file expand without end, so it is refused: remove <!DOCTYPE ...>"
        )


def _parse(file: Path) -> Element:
    """Return the root element; raise AnnotationError if the file is not ELAN's XML."""
    parser = XMLParser(target=_Builder(file))  # noqa: S314 - it refuses document types
    try:
        parser.feed(content_of(file))
        root: Element = parser.close()
    except (ParseError, ValueError, LookupError) as error:
        raise AnnotationError(f"{file}: not valid XML: {error}") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise AnnotationError(f"{file}: not ELAN's: <{root.tag}> instead of <ANNOTATION_DOCUMENT>")
    return root


def _slot_times(root: Element, file: Path) -> tuple[dict[str, float], Counter[str]]:
    """Return the milliseconds of time slots, and how many annotations got equal parts, by tier.

    Annotations of a Time_Subdivision tier fill their parent without gaps. Annotations that nobody
    aligned have slots without a time; ELAN shows them as equal parts of the time between the
    surrounding slots.
    """
    slots = {s.get("TIME_SLOT_ID", ""): s.get("TIME_VALUE") for s in root.iter("TIME_SLOT")}
    known = ((name, value) for name, value in slots.items() if value is not None)
    times = {name: _milliseconds_of(value, "TIME_VALUE", file) for name, value in known}
    order = {name: i for i, name in enumerate(slots)}
    divided: Counter[str] = Counter()
    for tier in _subdivisions(root):
        run: list[tuple[str, str]] = []  # unaligned annotations since the last known time
        annotations = tier.iter("ALIGNABLE_ANNOTATION")
        references = [(a.get(_START, ""), a.get(_END, "")) for a in annotations]
        for start, end in sorted(references, key=lambda pair: order.get(pair[0], -1)):
            if start in times:
                run = []
            elif not run:
                continue  # its start is unknown
            run.append((start, end))
            if end not in times:
                continue
            first = times[run[0][0]]
            step = (times[end] - first) / len(run)
            for i, pair in enumerate(run):
                times.setdefault(pair[0], first + i * step)
                times.setdefault(pair[1], first + (i + 1) * step)
            if len(run) > 1:
                divided[tier.get("TIER_ID", "")] += len(run)
            run = []
    return times, divided


def _subdivisions(root: Element) -> list[Element]:
    """Return the Time_Subdivision tiers, parents first; cycles of parents are left out."""
    kinds = {
        kind.get("LINGUISTIC_TYPE_ID")
        for kind in root.iter("LINGUISTIC_TYPE")
        if kind.get("CONSTRAINTS") == "Time_Subdivision"
    }
    names = {tier.get("TIER_ID") for tier in root.iter("TIER")}
    children: dict[str | None, list[Element]] = {}
    for tier in root.iter("TIER"):
        parent = tier.get("PARENT_REF")
        children.setdefault(parent if parent in names else None, []).append(tier)
    tiers = children.pop(None, [])
    for tier in tiers:  # which grows
        tiers += children.pop(tier.get("TIER_ID"), [])
    return [tier for tier in tiers if tier.get("LINGUISTIC_TYPE_REF") in kinds]


def _milliseconds_of(text: str, name: str, file: Path) -> float:
    try:
        return float(int(text))
    except (ValueError, OverflowError) as error:
        raise AnnotationError(f"{file}: {name} {text[:40]!r} is not milliseconds") from error
