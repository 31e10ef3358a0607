"""Extension of Sphinx: the reference describes every public name, and each has a docstring."""

from __future__ import annotations

import inspect
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

import actspan
from actspan.config.base import Config

_log = logging.getLogger(__name__)


def hide_fields(
    app: Sphinx, kind: str, name: str, found: Any, *rest: object
) -> tuple[str, str] | None:
    """Leave the fields of settings to their page, docs/reference/settings.md."""
    is_settings = inspect.isclass(found) and issubclass(found, Config)
    return ("", "") if is_settings else None


def require_docstring(
    app: Sphinx, kind: str, name: str, found: Any, options: object, lines: list[str]
) -> None:
    """Warn of a described name, or a method or property of it, without a docstring."""
    members = vars(found) if inspect.isclass(found) else {}
    described = {name: found} | {
        f"{name}.{member}": value
        for member, value in members.items()
        if not member.startswith("_")
        and (callable(value) or isinstance(value, property | classmethod | staticmethod))
    }
    for place, value in described.items():
        if not inspect.getdoc(value):
            _log.warning("%s has no docstring", place)


def require_public_names(app: Sphinx, environment: Any) -> None:
    """Warn of names in `actspan.__all__` that no page of the reference describes."""
    described = {name for name, *_ in environment.get_domain("py").get_objects()}
    for name in actspan.__all__:
        if f"actspan.{name}" not in described:
            _log.warning("actspan.%s is not in the reference (docs/reference/python.md)", name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the checks."""
    app.connect("autodoc-process-signature", hide_fields)
    app.connect("autodoc-process-docstring", require_docstring, priority=1)
    app.connect("env-check-consistency", require_public_names)
    return {"parallel_read_safe": True}
