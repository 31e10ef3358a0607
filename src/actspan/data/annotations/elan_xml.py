"""XML of .eaf files, parsed safely, and times of time slots as ELAN computes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from actspan.core.errors import AnnotationError
from actspan.core.files import read_bytes
from actspan.core.limits import DOCUMENT

_DEEPEST = 32  # nested elements; ELAN needs 5
_START, _END = "TIME_SLOT_REF1", "TIME_SLOT_REF2"


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


def parse(file: Path) -> Element:
    """Return the root element of the XML in a file.

    Raises AnnotationError if it is not ELAN's, is nested too deeply, or declares a document type.
    """
    parser = XMLParser(target=_Builder(file))  # noqa: S314 - it refuses document types
    try:
        parser.feed(read_bytes(file, DOCUMENT))
        root: Element = parser.close()
    except OSError as error:
        raise AnnotationError(f"{file}: cannot be read: {error.strerror}") from error
    except (ParseError, ValueError, LookupError) as error:
        raise AnnotationError(f"{file}: not valid XML: {error}") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise AnnotationError(f"{file}: not ELAN's: <{root.tag}> instead of <ANNOTATION_DOCUMENT>")
    return root


class TimeSlots:
    """Milliseconds of the time slots of a document: those in the file, and those between them.

    Annotations of a Time_Subdivision tier fill their parent without gaps. Annotations that nobody
    aligned have slots without a time; ELAN shows them as equal parts of the time between the
    surrounding slots.
    """

    def __init__(self, root: Element, file: Path) -> None:
        self._times: dict[str, float] = {}
        self._places: dict[str, int] = {}  # their order in the document
        for place, slot in enumerate(root.iter("TIME_SLOT")):
            name, value = slot.get("TIME_SLOT_ID", ""), slot.get("TIME_VALUE")
            self._places[name] = place
            if value is not None:
                self._times[name] = milliseconds_of(value, "TIME_VALUE", file)
        self.divided: dict[str, int] = {}  # annotations that got equal parts, by tier
        kinds = {
            kind.get("LINGUISTIC_TYPE_ID")
            for kind in root.iter("LINGUISTIC_TYPE")
            if kind.get("CONSTRAINTS") == "Time_Subdivision"
        }
        for tier in _parents_first(root):
            if tier.get("LINGUISTIC_TYPE_REF") in kinds:
                self._divide(tier)

    def times(self, annotation: Element) -> tuple[float, float] | None:
        """Return start and end of an annotation, or None if one of them is unknown."""
        start, end = (self._times.get(annotation.get(key, "")) for key in (_START, _END))
        return None if start is None or end is None else (start, end)

    def _divide(self, tier: Element) -> None:
        run: list[Element] = []  # unaligned annotations since the last known time
        annotations = list(tier.iter("ALIGNABLE_ANNOTATION"))
        annotations.sort(key=lambda a: self._places.get(a.get(_START, ""), -1))  # a stable sort
        for annotation in annotations:
            if annotation.get(_START, "") in self._times:
                run = []
            elif not run:
                continue  # its start is unknown
            run.append(annotation)
            if annotation.get(_END, "") in self._times:
                if len(run) > 1:
                    self._fill(run)
                    name = tier.get("TIER_ID", "")
                    self.divided[name] = self.divided.get(name, 0) + len(run)
                run = []

    def _fill(self, run: list[Element]) -> None:
        start = self._times[run[0].get(_START, "")]
        step = (self._times[run[-1].get(_END, "")] - start) / len(run)
        for i, annotation in enumerate(run):
            self._times.setdefault(annotation.get(_START, ""), start + i * step)
            self._times.setdefault(annotation.get(_END, ""), start + (i + 1) * step)


def _parents_first(root: Element) -> Iterator[Element]:
    """Yield tiers with parents before children; tiers whose parents form a cycle are left out."""
    children: dict[str | None, list[Element]] = {}
    tiers = list(root.iter("TIER"))
    names = {tier.get("TIER_ID") for tier in tiers}
    for tier in tiers:
        parent = tier.get("PARENT_REF")
        children.setdefault(parent if parent in names else None, []).append(tier)
    waiting = deque(children.pop(None, ()))
    while waiting:
        tier = waiting.popleft()
        yield tier
        waiting.extend(children.pop(tier.get("TIER_ID"), ()))


def milliseconds_of(text: str, name: str, file: Path) -> float:
    """Return a whole number of milliseconds from a text; raise AnnotationError for other texts."""
    try:
        return float(int(text))
    except (ValueError, OverflowError) as error:
        raise AnnotationError(f"{file}: {name} {text[:40]!r} is not milliseconds") from error
