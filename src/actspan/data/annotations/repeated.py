"""Keys that occur twice in a JSON object, and the videos that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from actspan.core.problems import Problem, Skipped
from actspan.data.annotations.base import canonical_id, repeated_id


def repeated_keys(
    path: Path,
    holders: Iterable[tuple[str, dict[str, Any]]],
    top: dict[str, Any],
    entries: Mapping[str, Any],
) -> Iterator[Problem]:
    """Yield a problem per repeated key: an id, a key of an entry, or a key of the document.

    Parameters
    ----------
    holders : iterable of (key, object)
        The keys, each with its object.
    top : dict
        The object whose keys are ids.
    """
    inner = [(key, holder) for key, holder in holders if holder is not top]
    for key, holder in holders:
        if holder is top:
            yield repeated_id(key, path)
    if not inner:
        return
    wanted = {id(holder) for _, holder in inner}
    videos = {found: name for name, entry in entries.items() for found in _objects(entry, wanted)}
    for key, holder in inner:
        name = videos.get(id(holder))
        where = "the document" if name is None else f"video {name!r}"
        what = f"key {key!r} is there twice in {where}"
        remedy = "keep one; the first is read"
        yield Problem(canonical_id(name or ""), str(path), what, remedy, Skipped.ENTRY)


def _objects(value: Any, wanted: set[int]) -> Iterator[int]:
    """Yield the ids of the wanted objects that are within a value."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if id(found) in wanted:
                yield id(found)
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
