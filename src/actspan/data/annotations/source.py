"""Sources of annotations, files or folders, and their content as JSON."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from actspan.core.errors import AnnotationError
from actspan.core.files import check_size, read_bytes
from actspan.core.limits import DOCUMENT
from actspan.data.annotations.undecoded import NotPlainError, UndecodedObject

_OTHER_SUFFIXES = (".eaf", ".vtt", ".srt", ".textgrid", ".csv", ".tsv", ".txt")  # never JSON
_JSON_START = re.compile(rb'\s*(\{\s*["}]|\[\s*[\[\]{"\d-])')


class Parsed(NamedTuple):
    """A JSON document, and the keys that occur twice in one object, with that object."""

    document: Any
    holders: list[tuple[str, dict[str, Any]]]

    @property
    def repeated(self) -> list[str]:
        """The keys that occur twice."""
        return [key for key, _ in self.holders]


class Source:
    """A file or folder of annotations, which is read only once.

    Parameters
    ----------
    path : Path
    format_is_given : bool
        Whether the user gave its format, so that its name is not used to detect it.
    """

    def __init__(self, path: Path, *, format_is_given: bool = False) -> None:
        self.path, self._format_is_given = path, format_is_given

    @cached_property
    def json(self) -> Parsed:
        """The content as JSON.

        Raises
        ------
        AnnotationError
            It cannot be read, or is not JSON.
        """
        return _parse_json(self.path, self._data)

    @cached_property
    def undecoded(self) -> UndecodedObject | None:
        """The content as a JSON object that is decoded in parts, or None if that is not possible.

        Raises
        ------
        AnnotationError
            It cannot be read.
        """
        try:
            return UndecodedObject(self._data)
        except NotPlainError:
            return None

    @property
    def _starts_as_json(self) -> bool:
        try:
            check_size(self.path)
            with self.path.open("rb") as stream:
                start = stream.read(64)
        except OSError as error:
            raise AnnotationError(f"{self.path}: cannot be read: {error.strerror}") from error
        return _JSON_START.match(start.removeprefix(b"\xef\xbb\xbf")) is not None

    @cached_property
    def _data(self) -> bytes:
        try:
            return read_bytes(self.path, DOCUMENT)
        except OSError as error:
            raise AnnotationError(f"{self.path}: cannot be read: {error.strerror}") from error

    @cached_property
    def may_be_json(self) -> bool:
        """Whether to read it as JSON: its format is given, or its name or start suggests JSON."""
        suffix = self.path.suffix.lower()
        if self.path.is_dir() or (suffix in _OTHER_SUFFIXES and not self._format_is_given):
            return False
        return self._format_is_given or suffix in (".json", ".boris") or self._starts_as_json


def _parse_json(path: Path, data: bytes) -> Parsed:
    if not data.strip():
        raise AnnotationError(f"{path}: empty; JSON was expected")
    holders: list[tuple[str, dict[str, Any]]] = []

    def keep_first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        made = {}
        for key, value in pairs:
            if key in made:
                holders.append((key, made))
            made.setdefault(key, value)
        return made

    try:
        return Parsed(json.loads(data, object_pairs_hook=keep_first), holders)
    except RecursionError as error:
        raise AnnotationError(f"{path}: JSON nested too deeply to be annotations") from error
    except ValueError as error:  # bad syntax, bad UTF-8, an integer of thousands of digits
        raise AnnotationError(f"{path}: not valid JSON: {error}") from error
