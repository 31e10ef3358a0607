"""Values of options: paths and texts, their completion in a shell, and their parsing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actspan.cli.console import exit_on_errors, print_error

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class PathType(click.Path):
    """A path to read, which has to exist, or to write, which may not be `-`; a URL to read."""

    url = bundle = False  # as in PathKind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or the URL; end the command with the nearest name if it is missing.

        A bundle that is elsewhere or in an archive becomes a folder here.
        """
        if self.bundle and ("://" in str(value) or Path(value).is_file()):
            from actspan.model.locations import bundle_folder

            with exit_on_errors():
                return bundle_folder(str(value))
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


def amounts(text: str) -> dict[str, float]:
    """Return the amounts by name of a JSON object; raise ValueError for another text."""
    try:
        return {str(name): float(amount) for name, amount in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        example = '{"NPU": 1}'
        raise ValueError(f"{text}: an object of amounts is needed, as in '{example}'") from None


def split_names(text: str | None) -> list[str] | None:
    """Return comma-separated names; None stays None, and an empty text gives no names."""
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()]
