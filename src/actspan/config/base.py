"""Base class of all settings; conversion from and to TOML."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli_w

from actspan.config.wrong_values import explained
from actspan.core.errors import ConfigError
from actspan.core.files import read_text
from actspan.core.limits import SETTINGS

T = TypeVar("T")

_DEEPEST = 32  # nested tables; settings need 5


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all settings: immutable, compared by value, checked on creation."""


def require_setting(condition: bool, message: str) -> None:
    """Raise ConfigError with the message unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def from_dict(kind: type[T], values: Any, *, where: str) -> T:
    """Check plain values (of a TOML or JSON file) and convert them to a config.

    Raises
    ------
    ConfigError
        A key is unknown, or a value has the wrong type or is out of range; the message names
        `where` and the key.
    """
    try:
        return msgspec.convert(values, kind, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {explained(str(error), kind)}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def changed(config: T, changes: dict[str, Any], *, where: str) -> T:
    """Return the settings with some changes, given as plain values in the shape of the config.

    Raises
    ------
    ConfigError
        See `from_dict`.
    """
    return from_dict(type(config), _merged(to_dict(config), changes), where=where)


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, value in changes.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = _merged(below, value)
        merged[key] = value
    return merged


def to_dict(config: Any) -> dict[str, Any]:
    """Convert settings to plain values for TOML, which has no null: omit unset options."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return _without_none(plain)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises
    ------
    ConfigError
        The file is missing or not TOML; the message says where.
    """
    try:
        text = read_text(path, SETTINGS)
        # The parser needs n * n memory for a key of n parts, and a line has one before each `=`.
        if any(k.count(".") > _DEEPEST for line in text.splitlines() for k in line.split("=")[:-1]):
            raise ConfigError(f"{path}: a key of more than {_DEEPEST} parts; settings have 5")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:  # bad syntax, or a huge number
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    _check_plain(values, str(path))
    return values


def _check_plain(values: Any, where: str) -> None:
    """Raise for NaN and infinity, which no setting allows, and for deeply nested tables."""
    level = [values]
    for _ in range(_DEEPEST):
        level = [inner for value in level for inner in _inside(value)]
        if any(isinstance(value, float) and not math.isfinite(value) for value in level):
            raise ConfigError(f"{where}: NaN or infinity among the settings; give a finite number")
    if level:
        raise ConfigError(f"{where}: nested deeper than {_DEEPEST}; settings are not")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def dump_toml(values: dict[str, Any]) -> str:
    """Convert plain values to TOML text."""
    return tomli_w.dumps(_without_none(values))
