"""JSON objects with many entries, decoded one at a time.

A document of 50,000 videos takes 100 MB as Python objects, although videos are made of them one by
one. Here each entry is decoded when it is needed. The decoder does not detect a key that occurs
twice in an object, and keeps only its last value; so keys are counted, in the decoded values and in
the text.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from typing import Any

import msgspec

from actspan.core.files import NOT_JSON

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_KEY_END = re.compile(rb'"\s*:')  # follows every key; strings may contain it, but rarely do


class NotPlainError(ValueError):
    """The document must be parsed as a whole: damaged, repeated keys, or not strict JSON."""


class UndecodedObject:
    """A JSON object whose values are decoded when they are requested.

    Raises
    ------
    NotPlainError
        It is no JSON object.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._keys = 0
        self._values = self._object(data)

    def holds_object(self, key: str) -> bool:
        """Return whether the value of a key is an object."""
        value = self._values.get(key)
        return value is not None and bytes(memoryview(value)[:1]) == b"{"

    def objects(self) -> Iterator[Any]:
        """Yield the decoded objects among the values, one at a time; raise NotPlainError."""
        for key in self._values:
            if self.holds_object(key):
                try:
                    yield msgspec.json.decode(self._values[key])
                except NOT_JSON as error:
                    raise NotPlainError(str(error)) from error

    def without(self, key: str) -> dict[str, Any]:
        """Return all values except one, decoded."""
        return self.only(k for k in self._values if k != key)

    def only(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of the given keys that exist, decoded."""
        return {k: self._decode(self._values[k]) for k in keys if k in self._values}

    def entries(
        self, key: str | None = None, besides: Container[str] = ()
    ) -> Iterator[tuple[str, Any]]:
        """Yield keys and decoded values one at a time, of the object under a key or of all."""
        values = self._values if key is None else self._object(self._values[key])
        for name, value in values.items():
            if name not in besides:
                yield name, self._decode(value)

    def require_all_seen(self) -> None:
        """Raise NotPlainError unless every key of the text was decoded exactly once."""
        if self._keys != sum(1 for _ in _KEY_END.finditer(self._data)):
            raise NotPlainError("a key may be there twice")

    def _object(self, data: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
        try:
            found = _decode_object(data)
        except NOT_JSON as error:
            raise NotPlainError(str(error)) from error
        self._keys += len(found)
        return found

    def _decode(self, data: msgspec.Raw) -> Any:
        try:
            value = msgspec.json.decode(data)
        except NOT_JSON as error:
            raise NotPlainError(str(error)) from error
        self._keys += _keys_in(value)
        return value


def _keys_in(value: Any) -> int:
    """Return the number of keys of all objects within a value."""
    count, waiting = 0, [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            count += len(found)
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
    return count
