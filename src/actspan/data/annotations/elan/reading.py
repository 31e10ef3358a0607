"""Reading .eaf files.

An annotation's value is its label; where it has none, the tier's name is. The media file gives the
video id. Annotations that refer to others (symbolic tiers) have no times of their own.

The XML is read by expat with document type declarations refused, so no entity can be defined,
expanded or fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PureWindowsPath
from typing import Any, NoReturn
from urllib.parse import unquote
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from actspan.data.annotations.base import (
    Annotations,
    Hints,
    Instance,
    Rows,
    Source,
    canonical_id,
    check_segment,
)
from actspan.data.annotations.elan.names import PROPERTY, SCORES
from actspan.data.annotations.writing import read_facts
from actspan.data.problems import Loss
from actspan.errors import AnnotationError
from actspan.files import read_bytes
from actspan.limits import DOCUMENT
from actspan.wording import counted

_DEEPEST = 32  # elements within elements; ELAN needs 5


def fits(source: Source) -> bool:
    """Whether it is an .eaf file, or a folder that holds some."""
    return next(_files(source.path), None) is not None


def _files(path: Path) -> Iterator[Path]:
    files = path.iterdir() if path.is_dir() else iter([path])
    return (f for f in files if f.suffix.lower() == ".eaf" and not f.name.startswith("."))


def read(source: Source, hints: Hints) -> Annotations:
    """Read an .eaf file, or all of a folder; in a folder, a damaged file is a problem."""
    files = sorted(_files(source.path)) if source.path.is_dir() else [source.path]
    if not files:
        raise AnnotationError(f"{source.path}: holds no .eaf files")
    rows, notes = Rows(), []
    for file in files:
        try:
            notes += _read_file(file, rows, hints)
        except AnnotationError as error:
            if not source.path.is_dir():
                raise
            what = str(error).removeprefix(f"{file}: ")
            rows.refuse(file.stem, str(file), what, Loss.VIDEO)
    return Annotations(
        source.path, "elan", rows.videos(), tuple(rows.problems), assumptions=tuple(notes)
    )


def _read_file(file: Path, rows: Rows, hints: Hints) -> list[str]:
    root = _parse(file)
    header = root.find("HEADER")
    units = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
    if units != "milliseconds":
        raise AnnotationError(f"{file}: times in {units!r}; only milliseconds can be read")
    video, origin = _media(root, file)
    said = _properties(root)
    video = said.get("video", video)
    if canonical_id(video) in rows:
        raise AnnotationError(f"{file}: video {video!r} is in another .eaf file too; keep one")
    try:
        rows.add(video, facts=read_facts(said))
    except (TypeError, ValueError) as error:
        raise AnnotationError(f"{file}: property {PROPERTY}...: {error}") from error
    slots, passed = _slots(root, file), 0
    for tier in root.iter("TIER"):
        if not _wanted(tier, hints):
            continue
        passed += sum(1 for _ in tier.iter("REF_ANNOTATION"))
        _read_tier(tier, slots, origin, (video, file), rows)
    note = f"{file}: passed over {counted(passed, 'annotation')} without times of their own"
    return [note] if passed else []


def _properties(root: Element) -> dict[str, str]:
    """What our own writer put beside the annotations, by `actspan.<name>`."""
    found = ((p.get("NAME", ""), (p.text or "").strip()) for p in root.iter("PROPERTY"))
    return {
        name.removeprefix(PROPERTY): text
        for name, text in found
        if name.startswith(PROPERTY) and text
    }


def _wanted(tier: Element, hints: Hints) -> bool:
    name = tier.get("TIER_ID", "")
    if tier.get("LINGUISTIC_TYPE_REF") == SCORES:
        return False
    return not hints.tiers or any(fnmatchcase(name, pattern) for pattern in hints.tiers)


def _read_tier(
    tier: Element, slots: dict[str, float], origin: float, place: tuple[str, Path], rows: Rows
) -> None:
    video, file = place
    name = tier.get("TIER_ID", "")
    for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
        where = f"{file}: tier {name!r}, annotation {annotation.get('ANNOTATION_ID', '?')!r}"
        label = (annotation.findtext("ANNOTATION_VALUE") or "").strip() or name
        try:
            rows.add(video, _instance(annotation, slots, origin, label))
        except ValueError as error:
            rows.refuse(video, where, error)


def _instance(annotation: Element, slots: dict[str, float], origin: float, label: str) -> Instance:
    times = []
    for key in ("TIME_SLOT_REF1", "TIME_SLOT_REF2"):
        slot = annotation.get(key, "")
        if slot not in slots:
            raise ValueError(f"time slot {slot!r} has no time: align it in ELAN")
        times.append((slots[slot] + origin) / 1000)
    check_segment(*times)
    return times[0], times[1], label


def _slots(root: Element, file: Path) -> dict[str, float]:
    """Milliseconds of every time slot that has any; ELAN lets unaligned ones go without."""
    found = {}
    for slot in root.iter("TIME_SLOT"):
        value = slot.get("TIME_VALUE")
        if value is not None:
            found[slot.get("TIME_SLOT_ID", "")] = _milliseconds(value, "TIME_VALUE", file)
    return found


def _milliseconds(text: str, name: str, file: Path) -> float:
    try:
        return float(int(text))
    except (ValueError, OverflowError) as error:
        raise AnnotationError(f"{file}: {name} {text[:40]!r} is not milliseconds") from error


def _media(root: Element, file: Path) -> tuple[str, float]:
    """Video id, and the media's own time (ms) at the zero of the annotations.

    The first video is taken, else the first medium, else the name of the .eaf file.
    """
    media = list(root.iter("MEDIA_DESCRIPTOR"))
    media.sort(key=lambda m: not m.get("MIME_TYPE", "").startswith("video"))  # stable
    for descriptor in media:
        url = descriptor.get("RELATIVE_MEDIA_URL") or descriptor.get("MEDIA_URL") or ""
        name = PureWindowsPath(unquote(url)).stem  # knows both kinds of slash
        if name:
            origin = descriptor.get("TIME_ORIGIN", "0")
            return name, _milliseconds(origin, "TIME_ORIGIN", file)
    return file.stem, 0.0


def _parse(file: Path) -> Element:
    """The XML tree.

    Raises
    ------
    AnnotationError
        Not XML, not ELAN's, nested too deeply, or with a document type declaration.
    """
    builder, depth = TreeBuilder(), 0
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise AnnotationError(f"{file}: elements nested too deeply for ELAN")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def refuse(*_: Any) -> NoReturn:
        raise AnnotationError(
            f"{file}: has a document type declaration, which ELAN does not write; it could make "
            "a small file expand without end, so it is refused: remove <!DOCTYPE ...>"
        )

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(read_bytes(file, DOCUMENT), True)
    except OSError as error:
        raise AnnotationError(f"{file}: cannot be read: {error.strerror}") from error
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise AnnotationError(f"{file}: not valid XML: {error}") from error
    root = builder.close()
    if root.tag != "ANNOTATION_DOCUMENT":
        raise AnnotationError(f"{file}: not ELAN's: <{root.tag}> instead of <ANNOTATION_DOCUMENT>")
    return root
