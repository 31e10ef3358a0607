"""Types of the values of options and arguments, made from annotations."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

from actspan.cli.console import print_error
from actspan.config.base import Bounds, PathKind, unwrapped

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class PathType(click.Path):
    """A path to read, which has to exist, or to write, which may not be `-`; or a URL to read."""

    url = False  # true if a URL is accepted too

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or the URL; end the command with the nearest name if it is missing."""
        if self.url and "://" in str(value):
            return value
        if self.exists and not Path(value).exists():
            from actspan.core.files import similar_path

            print_error(f"{value}: does not exist{similar_path(Path(value))}")
            sys.exit(1)
        if not self.exists and str(value) == "-":
            self.fail(
                "'-' (standard input or output) is not accepted here: give a path", param, ctx
            )
        return super().convert(value, param, ctx)


@dataclass(frozen=True)
class Text(click.ParamType):  # type: ignore[type-arg]
    """A text with the name of its values in `--help`, which a function may parse."""

    name: str
    parse: Callable[[str], Any] = str

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the name of the values."""
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the parsed value, or fail with the message of a ValueError."""
        try:
            return self.parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


class PathText(click.ParamType):  # type: ignore[type-arg]
    """A text that the shell completes as a path."""

    name = "text"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return a mark that makes the shell complete paths."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


def complete_backend(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of backends that begin like an incomplete one, for a shell."""
    from actspan.runtime.backends import BACKENDS

    return [name for name in ("auto", *BACKENDS) if name.startswith(incomplete)]


def value_type(annotation: Any) -> tuple[Any, bool]:
    """Return the type for click of an annotation, and whether there may be many values."""
    plain, metadata = unwrapped(annotation)
    if plain is Path:
        metadata = [*metadata, PathKind()]  # if there is no other
    for detail in metadata:
        match detail:
            case click.ParamType():
                return detail, False
            case PathKind(exists, kind, url):
                path = PathType(exists, kind != "folder", kind != "file", path_type=Path)
                path.url, path.name = url, "path" if kind == "any" else kind
                return path, False
            case Bounds():
                return _number(plain, detail), False
    origin, parts = get_origin(plain), get_args(plain)
    if plain in (int, float):
        return _number(plain, Bounds(-inf)), False
    if origin is Literal:
        return click.Choice(parts), False
    if origin is dict:
        return Text("JSON", _amounts), False
    return (value_type(parts[0])[0], True) if origin is tuple else (plain, False)


def _number(plain: type, bounds: Bounds) -> click.ParamType:  # type: ignore[type-arg]
    low, high = (None if abs(bound) == inf else bound for bound in (bounds.low, bounds.high))
    ends = bounds.excluded == bounds.low, bounds.excluded == bounds.high
    kind: Any = click.IntRange if plain is int else click.FloatRange
    number: click.ParamType = kind(low, high, *ends)  # type: ignore[type-arg]
    number.name = "whole number" if plain is int else "number"
    return number


def _amounts(text: str) -> dict[str, float]:
    try:
        return {str(name): float(amount) for name, amount in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        example = '{"NPU": 1}'
        raise ValueError(f"{text}: an object of amounts is needed, as in '{example}'") from None
