"""JSON whose repeated keys are found, and whose parts can be decoded one at a time.

A document of 50,000 videos takes 100 MB as Python objects, so its entries stay undecoded until they
are needed. Decoders keep one value of a repeated key and do not report the other. msgspec is fast:
what it decoded is encoded again, which gives the compact text that it was decoded from unless a key
is repeated. Where the texts differ (also by escapes or digits), Python's decoder reads every key.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from actspan.config.base import NOT_JSON

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Pairs(list[tuple[str, Any]]):
    """Keys and values of an object, with repeated keys."""


def compacted(data: bytes) -> bytes:
    """Return JSON without blanks between values; other data, and NaN, are returned unchanged."""
    try:
        return msgspec.json.format(data, indent=-1)
    except NOT_JSON:
        return data


def split(part: Any) -> tuple[dict[str, Any], list[str]] | None:
    """Return the parts of an object, and its repeated keys; None if it is not an object.

    `part` is compact JSON, or a part that this returned. The first value of a repeated key is kept.
    Raises ValueError or RecursionError if it is not JSON.
    """
    if isinstance(part, (bytes, msgspec.Raw)):
        try:
            parts = _decode_object(part)
            if msgspec.json.encode(parts) == memoryview(part):
                return parts, []
        except NOT_JSON:
            pass
        part = _all_pairs(part)
    repeated: list[str] = []
    return (_first_values(part, repeated), repeated) if isinstance(part, _Pairs) else None


def is_object(part: Any) -> bool:
    """Return whether a part is an object."""
    if isinstance(part, msgspec.Raw):
        return bytes(memoryview(part)[:1]) == b"{"
    return isinstance(part, _Pairs)


def decode(part: Any) -> tuple[Any, list[str]]:
    """Return the value of a part, and the keys that are repeated in any of its objects.

    Raises ValueError or RecursionError if it is not JSON.
    """
    repeated: list[str] = []
    if isinstance(part, (bytes, msgspec.Raw)):
        try:
            value = msgspec.json.decode(part)
            if msgspec.json.encode(value) == memoryview(part):
                return value, []
        except NOT_JSON:
            pass
        part = _all_pairs(part)
    return _plain(part, repeated), repeated


def _all_pairs(data: bytes | msgspec.Raw) -> Any:
    return json.loads(bytes(data), object_pairs_hook=_Pairs)


def _first_values(pairs: _Pairs, repeated: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            repeated.append(key)
        else:
            values[key] = value
    return values


def _plain(value: Any, repeated: list[str]) -> Any:
    if isinstance(value, _Pairs):
        found = _first_values(value, repeated)
        return {key: _plain(inner, repeated) for key, inner in found.items()}
    if isinstance(value, list):
        return [_plain(inner, repeated) for inner in value]
    return value
