"""Writer of .eaf files.

Annotations in a tier of ELAN must not overlap, so overlapping instances are distributed over
several tiers. Scores are symbolic annotations that refer to their instance, so that they move with
it. Facts about the video are properties of the file, which ELAN preserves.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import count
from mimetypes import guess_type
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from actspan.core.types import Video
from actspan.data.annotations.elan.names import INSTANCES, PROPERTY, SCORES
from actspan.data.annotations.writing import (
    UNLABELLED,
    Style,
    file_names,
    milliseconds,
    require_text,
    scored_instances,
    written_facts,
)

_SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"
# DATE is the time at which ELAN saved the file. Ours is fixed, so that equal videos give equal
# bytes.
_DOCUMENT = {
    "AUTHOR": "",
    "DATE": "1970-01-01T00:00:00+00:00",
    "FORMAT": "3.0",
    "VERSION": "3.0",
    _SCHEMA: "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
}
_ONE_TO_ONE = "Symbolic_Association"


class _Mark(NamedTuple):
    start: int  # milliseconds
    end: int
    label: str
    score: float | None


def encode(videos: Sequence[Video], style: Style) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of an .eaf file per video; times are whole milliseconds.

    Raises
    ------
    AnnotationError
        Two files would have the same name, or some text cannot be in XML.
    """
    for name, video in zip(file_names(videos, ".eaf"), videos, strict=True):
        require_text(video)
        root = Element("ANNOTATION_DOCUMENT", _DOCUMENT)
        _add_header(root, video, style)
        _add_tiers(root, _layers(video))
        _add_types(root)
        indent(root, " ")
        text: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
        # A bare carriage return would be read back as a line feed.
        yield name, text.replace(b"\r", b"&#13;") + b"\n"


def _add_header(root: Element, video: Video, style: Style) -> None:
    header = SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if style.media is not None:
        link = style.media(video)
        media = {"MEDIA_URL": link, "MIME_TYPE": guess_type(link)[0] or "video/mp4"}
        if "://" not in link:  # relative to this file, so that both can be moved
            media["RELATIVE_MEDIA_URL"] = link
        SubElement(header, "MEDIA_DESCRIPTOR", media)
    for key, value in written_facts(video).items():
        SubElement(header, "PROPERTY", NAME=PROPERTY + key).text = str(value)


def _layers(video: Video) -> list[list[_Mark]]:
    """Return instances in layers without overlap; each goes into the first layer with room."""
    layers: list[list[_Mark]] = [[]]
    for start, end, label, score in scored_instances(video):
        mark = _Mark(*milliseconds(start, end), label.strip() or UNLABELLED, score)
        for layer in layers:
            place = _room(layer, mark)
            if place is not None:
                layer.insert(place, mark)
                break
        else:
            layers.append([mark])
    return layers


def _room(layer: list[_Mark], mark: _Mark) -> int | None:
    """Return the index in a layer, sorted by time, at which a mark fits; None if it overlaps."""
    place = bisect(layer, mark.start, key=lambda other: other.start)
    before_ends = not place or layer[place - 1].end <= mark.start
    after_starts = place == len(layer) or mark.end <= layer[place].start
    return place if before_ends and after_starts else None


def _add_tiers(root: Element, layers: list[list[_Mark]]) -> None:
    times, numbers = SubElement(root, "TIME_ORDER"), count(1)
    for i, layer in enumerate(layers, start=1):
        ending = "" if i == 1 else f" {i}"
        tier = _tier(root, INSTANCES, ending)
        scored = []
        for mark, n in zip(layer, numbers, strict=False):
            refs = {"TIME_SLOT_REF1": f"ts{2 * n - 1}", "TIME_SLOT_REF2": f"ts{2 * n}"}
            for slot, time in zip(refs.values(), mark[:2], strict=True):
                SubElement(times, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(time))
            _add(tier, "ALIGNABLE_ANNOTATION", f"a{n}", mark.label, refs)
            scored += [] if mark.score is None else [(n, mark.score)]
        if scored:
            below = _tier(root, SCORES, ending)
            below.set("PARENT_REF", tier.attrib["TIER_ID"])
            for n, score in scored:
                _add(below, "REF_ANNOTATION", f"s{n}", repr(score), {"ANNOTATION_REF": f"a{n}"})


def _tier(root: Element, kind: str, ending: str) -> Element:
    return SubElement(root, "TIER", TIER_ID=kind + ending, LINGUISTIC_TYPE_REF=kind)


def _add(tier: Element, kind: str, name: str, value: str, refs: dict[str, str]) -> None:
    outer = SubElement(tier, "ANNOTATION")
    inner = SubElement(outer, kind, {"ANNOTATION_ID": name, **refs})
    SubElement(inner, "ANNOTATION_VALUE").text = value


def _add_types(root: Element) -> None:
    common = {"GRAPHIC_REFERENCES": "false"}
    SubElement(root, "LINGUISTIC_TYPE", common, LINGUISTIC_TYPE_ID=INSTANCES, TIME_ALIGNABLE="true")
    SubElement(
        root,
        "LINGUISTIC_TYPE",
        common,
        LINGUISTIC_TYPE_ID=SCORES,
        TIME_ALIGNABLE="false",
        CONSTRAINTS=_ONE_TO_ONE,
    )
    what = "1-1 association with a parent annotation"
    SubElement(root, "CONSTRAINT", STEREOTYPE=_ONE_TO_ONE, DESCRIPTION=what)
