"""Values of options: their completion in a shell, and the parsing of texts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


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
