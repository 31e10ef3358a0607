"""Reader of .eaf files.

An annotation's label is its value, or the tier's name if the value is empty. The media file gives
the video id. Annotations that refer to others (symbolic tiers) have no times of their own: they are
counted and ignored.

The XML is parsed by expat, and document type declarations are refused, so that no entity can be
defined, expanded or fetched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any, NoReturn
from urllib.parse import unquote
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from actspan.core.errors import AnnotationError
from actspan.core.files import read_bytes
from actspan.core.limits import DOCUMENT
from actspan.core.problems import Problem, Skipped
from actspan.core.wording import counted, listed
from actspan.data.annotations.base import Annotations, Hints, canonical_id
from actspan.data.annotations.elan.names import INSTANCES, PROPERTY, SCORES
from actspan.data.annotations.elan.slots import Slots, milliseconds
from actspan.data.annotations.per_file import add_video, files_of, read_each, require_tiers
from actspan.data.annotations.rows import Rows
from actspan.data.annotations.source import Source
from actspan.data.annotations.writing import read_facts
from actspan.data.names import Ignored

_DEEPEST = 32  # nested elements; ELAN needs 5


@dataclass(slots=True)
class _Reading:
    """What the reader collects from one or more files."""

    tiers: tuple[str, ...]  # patterns; an empty tuple selects all
    ignored: Ignored = field(default_factory=Ignored)
    divided: Counter[str] = field(default_factory=Counter)  # unaligned annotations, by tier
    met: dict[str, None] = field(default_factory=dict)  # names of all tiers
    used: dict[str, None] = field(default_factory=dict)  # names of the tiers with instances


def fits(source: Source) -> bool:
    """Return whether the source is an .eaf file, or a folder with one or more of them."""
    return next(files_of(source.path, ".eaf"), None) is not None


def read(source: Source, hints: Hints) -> Annotations:
    """Read an .eaf file, or all of a folder, where a damaged file becomes a problem."""
    reading = _Reading(hints.tiers)
    rows = read_each(
        source.path,
        ".eaf",
        partial(_read_file, reading=reading),
        reading.ignored,
        will_clip=hints.will_clip,
    )
    require_tiers(source.path, hints.tiers, list(reading.met))
    notes = (
        *rows.notes(source.path),
        *reading.ignored.notes(source.path),
        *_notes(source.path, reading),
    )
    return Annotations(source.path, "elan", rows.videos(), tuple(rows.problems), notes=notes)


def _notes(path: Path, reading: _Reading) -> Iterator[str]:
    if reading.divided:
        tiers = listed((f"{name} ({n:,})" for name, n in reading.divided.items()), most=12)
        yield (
            f"{path}: annotations that are not aligned are read as equal parts of their parents, "
            f"as ELAN shows them: {tiers}"
        )
    if len(reading.used) > 1:
        yield (
            f"{path}: instances of {len(reading.used)} tiers are read alike "
            f"({listed(reading.used, most=12)}); --tier takes some of them"
        )


def _read_file(file: Path, rows: Rows, reading: _Reading) -> None:
    root = _parse(file)
    header = root.find("HEADER")
    units = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
    if units != "milliseconds":
        raise AnnotationError(f"{file}: times in {units!r}; only milliseconds can be read")
    video, origin = _media(root, file, reading.ignored)
    said = _properties(root)
    video = said.get("video", video)
    slots = Slots(root, file)
    try:
        facts = read_facts(said)
    except (TypeError, ValueError) as error:
        raise AnnotationError(f"{file}: property {PROPERTY}...: {error}") from error
    add_video(rows, video, file, facts)
    for tier in root.iter("TIER"):
        name = tier.get("TIER_ID", "")
        reading.met[name] = None
        if not _wanted(tier, reading.tiers):
            continue
        references = sum(1 for _ in tier.iter("REF_ANNOTATION"))
        if references:
            reading.ignored.add("annotations that refer to others, by tier", name, references)
        if slots.divided.get(name):
            reading.divided[name] += slots.divided[name]
        if _read_tier(tier, slots, origin, (video, file), rows):
            # Our writer puts overlapping instances into several tiers.
            own = tier.get("LINGUISTIC_TYPE_REF") == INSTANCES
            reading.used[INSTANCES if own else name] = None


def _properties(root: Element) -> dict[str, str]:
    """Return the properties `actspan.<name>` that our writer added, by name."""
    found = ((p.get("NAME", ""), (p.text or "").strip()) for p in root.iter("PROPERTY"))
    return {
        name.removeprefix(PROPERTY): text
        for name, text in found
        if name.startswith(PROPERTY) and text
    }


def _wanted(tier: Element, patterns: tuple[str, ...]) -> bool:
    if tier.get("LINGUISTIC_TYPE_REF") == SCORES:
        return False
    name = tier.get("TIER_ID", "")
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _read_tier(
    tier: Element, slots: Slots, origin: float, place: tuple[str, Path], rows: Rows
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
        try:
            rows.add(video, (start, end, label))
            added += 1
        except ValueError as error:
            where = f"{file}: tier {name!r}, annotation {annotation.get('ANNOTATION_ID', '?')!r}"
            rows.refuse(video, where, error)
    if unaligned:
        where = f"{file}: {counted(unaligned, 'annotation')}"
        what = f"annotations of tier {name!r} without times"
        remedy = "align them in ELAN, or choose other tiers: --tier"
        rows.problems.append(Problem(canonical_id(video), where, what, remedy, Skipped.SEGMENT))
    return added


def _media(root: Element, file: Path, ignored: Ignored) -> tuple[str, float]:
    """Return the video's id, and the media time (ms) at time zero of the annotations.

    The first video is used, or the first medium, or the name of the .eaf file.
    """
    media = [(m, _media_name(m)) for m in root.iter("MEDIA_DESCRIPTOR") if _media_name(m)]
    videos = [(m, name) for m, name in media if m.get("MIME_TYPE", "").startswith("video")]
    if not media:
        return file.stem, 0.0
    first, video = (videos or media)[0]
    for _, other in videos[1:]:
        if other != video:
            ignored.add("further videos", other)
    return video, milliseconds(first.get("TIME_ORIGIN", "0"), "TIME_ORIGIN", file)


def _media_name(descriptor: Element) -> str:
    url = descriptor.get("RELATIVE_MEDIA_URL") or descriptor.get("MEDIA_URL") or ""
    return PureWindowsPath(unquote(url)).stem  # handles both kinds of slash


def _parse(file: Path) -> Element:
    """Return the root element of the XML in a file.

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
