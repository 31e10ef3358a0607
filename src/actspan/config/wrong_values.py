"""Error messages for plain values that are not valid settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import inspect

from actspan.core.wording import suggestion

_KINDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "object": "a table",
    "str": "a text",
}


def explained(error: str, kind: Any) -> str:
    """Return the message for an error of msgspec.

    Parameters
    ----------
    error : str
        For example "Invalid enum value 'tc' - at `$.layout`".
    kind : type
        Target type of the conversion; it defines the allowed keys and values.

    Examples
    --------
    >>> from typing import Literal
    >>> explained("Invalid enum value 'tc' - at `$`", Literal["TC", "CT"])
    "'tc' is not allowed; allowed are: 'CT', 'TC'"
    """
    what, _, path = error.partition(" - at `$")
    place = path.rstrip("`").lstrip(".")
    for pattern, say in _WORDS.items():
        if match := re.fullmatch(pattern, what):
            return say(list(_types_at(inspect.type_info(kind), place)), place, *match.groups())
    return error


def _types_at(kind: inspect.Type, place: str) -> Iterator[inspect.Type]:
    """Yield the types that a value may have at a place such as `tem.hidden` or `join[0]`."""
    kinds = _alternatives(kind)
    for key in re.findall(r"\[.*?\]|[^.\[\]]+", place):
        kinds = [below for above in kinds for below in _below(above, key)]
    yield from kinds


def _below(kind: inspect.Type, key: str) -> list[inspect.Type]:
    if isinstance(kind, inspect.StructType):
        fields = (field.type for field in kind.fields if field.encode_name == key)
        return [found for field in fields for found in _alternatives(field)]
    inner = getattr(kind, "item_type", getattr(kind, "value_type", None))
    return [] if inner is None else _alternatives(inner)


def _alternatives(kind: inspect.Type) -> list[inspect.Type]:
    return list(kind.types) if isinstance(kind, inspect.UnionType) else [kind]


def _unknown_key(kinds: list[inspect.Type], place: str, key: str) -> str:
    structs = (kind for kind in kinds if isinstance(kind, inspect.StructType))
    known = [field.encode_name for struct in structs for field in struct.fields]
    names = f"known are: {', '.join(known)}"
    return f"unknown key {key!r}{_inside(place)}{suggestion(key, known)}; {names}"


def _missing_key(kinds: list[inspect.Type], place: str, key: str) -> str:
    return f"key {key!r} is missing{_inside(place)}"


def _not_allowed(kinds: list[inspect.Type], place: str, value: str) -> str:
    known = [v for kind in kinds for v in getattr(kind, "values", ())]
    allowed = f"allowed are: {', '.join(map(repr, known))}"
    return f"{_subject(place)}{value} is not allowed; {allowed}"


def _wrong_kind(kinds: list[inspect.Type], place: str, needed: str, given: str) -> str:
    wanted = [_KINDS.get(name, name) for name in needed.split(" | ") if name != "null"]
    return f"{_subject(place)}{' or '.join(wanted)} is needed, not {_KINDS.get(given, given)}"


def _inside(place: str) -> str:
    return f" in {place}" if place else ""


def _subject(place: str) -> str:
    return f"{place}: " if place else ""


_WORDS: dict[str, Callable[..., str]] = {
    r"Object contains unknown field `(.*)`": _unknown_key,
    r"Object missing required field `(.*)`": _missing_key,
    r"Invalid enum value (.*)": _not_allowed,
    r"Expected `(.*)`, got `(.*)`": _wrong_kind,
}
