"""ELAN's .eaf: XML with tiers of annotations that refer to time slots, in milliseconds.

Reading: an annotation's label is its value, or the tier's name if the value is empty. The media
file gives the video id. Annotations that refer to others (symbolic tiers) have no times of their
own: they are counted and ignored. Document type declarations are refused, so that no entity can be
defined, expanded or fetched.

Writing: annotations in a tier of ELAN must not overlap, so overlapping instances are distributed
over several tiers. Scores are symbolic annotations that refer to their instance, so that they move
with it. Facts about the video are properties of the file, which ELAN preserves.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from mimetypes import guess_type
from pathlib import Path, PureWindowsPath
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from actspan.core.errors import AnnotationError
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.annotation_set import Annotations, ReadOptions, Source
from actspan.data.annotations.elan_xml import TimeSlots, milliseconds_of, parse
from actspan.data.annotations.encoding import (
    WriteOptions,
    labelled_instances,
    milliseconds,
    named_files,
    read_facts,
    written_facts,
)
from actspan.data.annotations.video_builder import (
    VideoBuilder,
    is_selected,
    read_files,
    require_tiers,
)
from actspan.data.names import Ignored

_INSTANCES = "actions"  # name of our tiers of instances, and of their type
_SCORES = "scores"  # name of our tiers of scores, and of their type
_PROPERTY = "actspan."  # prefix of our properties with facts about the video
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


def read(source: Source, options: ReadOptions) -> Annotations:
    """Read an .eaf file, or all of a folder, where a damaged file becomes a problem."""
    reader = _Reader(options.tiers)
    builder = read_files(source.path, ".eaf", options, reader.read_file)
    require_tiers(source.path, options.tiers, list(reader.tiers))
    return builder.built("elan", reader.notes(source.path))


class _Reader:
    """Reader of one or more files."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns
        self.tiers: dict[str, None] = {}  # names of all tiers
        self._used: dict[str, None] = {}  # names of the tiers with instances
        self._divided: Counter[str] = Counter()  # unaligned annotations, by tier

    def notes(self, path: Path) -> Iterator[str]:
        """Yield notes about times that ELAN computes, and about several tiers."""
        if self._divided:
            tiers = listed((f"{name} ({n:,})" for name, n in self._divided.items()), most=12)
            yield (
                f"{path}: annotations that are not aligned are read as equal parts of their "
                f"parents, as ELAN shows them: {tiers}"
            )
        if len(self._used) > 1:
            yield (
                f"{path}: instances of {len(self._used)} tiers are read in the same way "
                f"({listed(self._used, most=12)}); --tier takes some of them"
            )

    def read_file(self, file: Path, builder: VideoBuilder) -> None:
        """Add the annotations of a file."""
        root = parse(file)
        header = root.find("HEADER")
        units = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
        if units != "milliseconds":
            raise AnnotationError(f"{file}: times in {units!r}; only milliseconds can be read")
        video, origin = _media(root, file, builder.ignored)
        ours = {
            prop.get("NAME", "").removeprefix(_PROPERTY): text
            for prop in root.iter("PROPERTY")
            if (text := (prop.text or "").strip()) and prop.get("NAME", "").startswith(_PROPERTY)
        }
        video = ours.get("video", video)
        slots = TimeSlots(root, file)
        try:
            facts = read_facts(ours)
        except (TypeError, ValueError) as error:
            raise AnnotationError(f"{file}: property {_PROPERTY}...: {error}") from error
        builder.add_file(video, file, facts)
        for tier in root.iter("TIER"):
            name, kind = tier.get("TIER_ID", ""), tier.get("LINGUISTIC_TYPE_REF")
            self.tiers[name] = None
            if kind == _SCORES or not is_selected(name, self._patterns):
                continue
            references = sum(1 for _ in tier.iter("REF_ANNOTATION"))
            if references:
                what = "annotations that refer to others, by tier"
                builder.ignored.add(what, name, references)
            if slots.divided.get(name):
                self._divided[name] += slots.divided[name]
            if _read_tier(tier, slots, origin, (video, file), builder):
                # Our writer puts overlapping instances into several tiers.
                self._used[_INSTANCES if kind == _INSTANCES else name] = None


def _read_tier(
    tier: Element, slots: TimeSlots, origin: float, place: tuple[str, Path], builder: VideoBuilder
) -> int:
    """Add the instances of a tier; return how many were added."""
    video, file = place
    name, added, unaligned = tier.get("TIER_ID", ""), 0, 0
    for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
        times = slots.times(annotation)
        if times is None:
            unaligned += 1
            continue
        label = (annotation.findtext("ANNOTATION_VALUE") or "").strip() or name
        start, end = ((time + origin) / 1000 for time in times)
        where = f"{file}: tier {name!r}, annotation {annotation.get('ANNOTATION_ID', '?')!r}"
        added += builder.add_or_reject(video, (start, end, label), where)
    if unaligned:
        where = f"{file}: {counted(unaligned, 'annotation')}"
        what = f"annotations of tier {name!r} without times"
        remedy = "align them in ELAN, or choose other tiers: --tier"
        builder.reject(video, where, what, remedy=remedy)
    return added


def _media(root: Element, file: Path, ignored: Ignored) -> tuple[str, float]:
    """Return the video's id, and the media time (ms) at time zero of the annotations."""
    media = [(m, name) for m in root.iter("MEDIA_DESCRIPTOR") if (name := _media_name(m))]
    videos = [(m, name) for m, name in media if m.get("MIME_TYPE", "").startswith("video")]
    if not media:
        return file.stem, 0.0
    first, video = (videos or media)[0]  # the first video, or the first medium
    for _, other in videos[1:]:
        if other != video:
            ignored.add("further videos", other)
    return video, milliseconds_of(first.get("TIME_ORIGIN", "0"), "TIME_ORIGIN", file)


def _media_name(descriptor: Element) -> str:
    url = descriptor.get("RELATIVE_MEDIA_URL") or descriptor.get("MEDIA_URL") or ""
    return PureWindowsPath(unquote(url)).stem  # handles both kinds of slash


class _Annotation(NamedTuple):
    start: int  # milliseconds
    end: int
    label: str
    score: float | None


def encode(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of an .eaf file per video; times are whole milliseconds."""
    for name, video in named_files(videos, ".eaf"):
        layers = _layers(video)
        root = Element("ANNOTATION_DOCUMENT", _DOCUMENT)
        _add_header(root, video, options)
        _add_tiers(root, layers)
        common = {"GRAPHIC_REFERENCES": "false"}
        kinds = {_INSTANCES: {}, _SCORES: {"CONSTRAINTS": _ONE_TO_ONE}}
        for kind, constraints in kinds.items():
            alignable = {"TIME_ALIGNABLE": "false" if constraints else "true"}
            attributes = {**common, "LINGUISTIC_TYPE_ID": kind, **alignable, **constraints}
            SubElement(root, "LINGUISTIC_TYPE", attributes)
        what = "1-1 association with a parent annotation"
        SubElement(root, "CONSTRAINT", STEREOTYPE=_ONE_TO_ONE, DESCRIPTION=what)
        indent(root, " ")
        text: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
        # A bare carriage return would be read back as a line feed.
        yield name, text.replace(b"\r", b"&#13;") + b"\n"


def _add_header(root: Element, video: Video, options: WriteOptions) -> None:
    header = SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if options.media is not None:
        link = options.media(video)
        media = {"MEDIA_URL": link, "MIME_TYPE": guess_type(link)[0] or "video/mp4"}
        if "://" not in link:  # relative to this file, so that both can be moved
            media["RELATIVE_MEDIA_URL"] = link
        SubElement(header, "MEDIA_DESCRIPTOR", media)
    for key, value in written_facts(video).items():
        SubElement(header, "PROPERTY", NAME=_PROPERTY + key).text = str(value)


def _layers(video: Video) -> list[list[_Annotation]]:
    """Return instances in layers without overlap; each goes into the first layer with room."""
    layers: list[list[_Annotation]] = [[]]
    for start, end, label, score in labelled_instances(video):
        annotation = _Annotation(*milliseconds(start, end), label, score)
        if not any(_insert(layer, annotation) for layer in layers):
            layers.append([annotation])
    return layers


def _insert(layer: list[_Annotation], annotation: _Annotation) -> bool:
    """Insert an annotation into a layer, sorted by time, unless it overlaps another."""
    place = bisect(layer, annotation.start, key=lambda other: other.start)
    if place and layer[place - 1].end > annotation.start:
        return False
    if place < len(layer) and annotation.end > layer[place].start:
        return False
    layer.insert(place, annotation)
    return True


def _add_tiers(root: Element, layers: list[list[_Annotation]]) -> None:
    times, numbers = SubElement(root, "TIME_ORDER"), count(1)
    for i, layer in enumerate(layers, start=1):
        ending = "" if i == 1 else f" {i}"
        tier = _tier(root, _INSTANCES, ending)
        scored = []
        for annotation, n in zip(layer, numbers, strict=False):
            refs = {"TIME_SLOT_REF1": f"ts{2 * n - 1}", "TIME_SLOT_REF2": f"ts{2 * n}"}
            for slot, time in zip(refs.values(), annotation[:2], strict=True):
                SubElement(times, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(time))
            _add(tier, "ALIGNABLE_ANNOTATION", f"a{n}", annotation.label, refs)
            if annotation.score is not None:
                scored.append((n, annotation.score))
        if scored:
            below = _tier(root, _SCORES, ending)
            below.set("PARENT_REF", tier.attrib["TIER_ID"])
            for n, score in scored:
                _add(below, "REF_ANNOTATION", f"s{n}", repr(score), {"ANNOTATION_REF": f"a{n}"})


def _tier(root: Element, kind: str, ending: str) -> Element:
    return SubElement(root, "TIER", TIER_ID=kind + ending, LINGUISTIC_TYPE_REF=kind)


def _add(tier: Element, kind: str, name: str, value: str, refs: dict[str, str]) -> None:
    outer = SubElement(tier, "ANNOTATION")
    inner = SubElement(outer, kind, {"ANNOTATION_ID": name, **refs})
    SubElement(inner, "ANNOTATION_VALUE").text = value
