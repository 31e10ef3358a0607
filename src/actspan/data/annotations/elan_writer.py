"""Writing of ELAN's .eaf files.

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
from actspan.data.annotations.annotation_set import (
    WriteOptions,
    labelled_instances,
    milliseconds,
    named_files,
)
from actspan.data.annotations.elan import INSTANCES, PROPERTY, SCORES
from actspan.data.annotations.fields import written_facts

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


class _Annotation(NamedTuple):
    start: int  # milliseconds
    end: int
    label: str
    score: float | None


def encode(videos: Sequence[Video], options: WriteOptions) -> Iterator[tuple[str, bytes]]:
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
        _add_tiers(root, _layers(video))
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
        tier = _tier(root, INSTANCES, ending)
        scored = []
        for annotation, n in zip(layer, numbers, strict=False):
            refs = {"TIME_SLOT_REF1": f"ts{2 * n - 1}", "TIME_SLOT_REF2": f"ts{2 * n}"}
            for slot, time in zip(refs.values(), annotation[:2], strict=True):
                SubElement(times, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(time))
            _add(tier, "ALIGNABLE_ANNOTATION", f"a{n}", annotation.label, refs)
            if annotation.score is not None:
                scored.append((n, annotation.score))
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
