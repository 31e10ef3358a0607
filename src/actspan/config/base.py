"""What all settings have in common, and TOML in and out."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli_w

from actspan.config.wrong_values import explained
from actspan.errors import ConfigError
from actspan.files import read_text
from actspan.limits import SETTINGS

T = TypeVar("T")

_DEEPEST = 32  # tables within tables; settings need 5


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all settings: immutable, compared by value, checked where it is made."""


def require_setting(condition: bool, message: str) -> None:
    """Raise ConfigError with the message unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def from_dict(kind: type[T], values: Any, *, where: str) -> T:
    """Check plain values (of a TOML or JSON file) and make a config of them.

    Raises
    ------
    ConfigError
        A key is unknown, a value of the wrong type or out of range; names `where` and the key.
    """
    try:
        return msgspec.convert(values, kind, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {explained(str(error), kind)}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def changed(config: T, changes: dict[str, Any], *, where: str) -> T:
    """The same settings but for some, given as plain values in the shape of the config.

    Raises
    ------
    ConfigError
        As `from_dict`.
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
    """Plain values for TOML, which has no null: unset options are left out."""
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
        It is missing or not TOML; says where.
    """
    try:
        text = read_text(path, SETTINGS)
        # a key of n parts takes the parser n * n memory, and a line has one before each `=`
        if any(k.count(".") > _DEEPEST for line in text.splitlines() for k in line.split("=")[:-1]):
            raise ConfigError(f"{path}: a key of more than {_DEEPEST} parts; settings have 5")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:  # bad syntax, a number of thousands of digits
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    _check_plain(values, str(path))
    return values


def _check_plain(values: Any, where: str) -> None:
    """Refuse NaN and infinity, which no setting means, and tables within tables without end."""
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
    """Plain values as TOML text."""
    return tomli_w.dumps(_without_none(values))
