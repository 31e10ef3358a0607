"""Base class of all settings, with bounds of numbers; conversion from and to TOML."""

from __future__ import annotations

import math
import re
import tomllib
from itertools import chain
from pathlib import Path
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
import tomli_w

from actspan.core.errors import ConfigError
from actspan.core.limits import SETTINGS
from actspan.core.wording import suggestion

if TYPE_CHECKING:
    from msgspec import inspect

T = TypeVar("T")

# Exceptions of decoding untrusted JSON. RecursionError is for a thousand nested brackets, at which
# msgspec and `json` give up.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_DEEPEST = 32  # nested tables; settings need 5
_TABLES = (dict, list)
_KINDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "object": "a table",
    "str": "a text",
}


class Bounds(NamedTuple):
    """Bounds of a number in a type such as `Annotated[int, Bounds(1)]`, checked on creation.

    `excluded` is a bound that is not allowed itself.
    """

    low: float
    high: float = math.inf
    excluded: float | None = None

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'above' if self.excluded == self.low else 'at least'} {self.low:g}"
        start = "(" if self.excluded == self.low else "["
        return f"in {start}{self.low:,}, {self.high:,}{')' if self.excluded == self.high else ']'}"


class PathKind(NamedTuple):
    """Kind of path that an option of a command takes; it is not checked on creation."""

    exists: bool = False
    kind: Literal["any", "file", "folder"] = "any"
    url: bool = False  # true if a URL is accepted too
    bundle: bool = False  # true if it is a bundle, which may be an archive or a URL


Positive = Annotated[int, Bounds(1)]
Seconds = Annotated[float, Bounds(0, excluded=0)]
Existing = Annotated[Path, PathKind(exists=True)]
ExistingFile = Annotated[Path, PathKind(exists=True, kind="file")]
ExistingFolder = Annotated[Path, PathKind(exists=True, kind="folder")]
ExistingBundle = Annotated[Path, PathKind(exists=True, bundle=True)]
ExistingOrUrl = Annotated[Path, PathKind(exists=True, url=True)]
OutputFile = Annotated[Path, PathKind(kind="file")]
OutputFolder = Annotated[Path, PathKind(kind="folder")]
OnError = Literal["fail", "skip"]

# Groups of options in the help of a command, in their order there.
OptionGroup = Literal[
    "Input",
    "Columns of tables",
    "Tables, sound and poses",
    "Live video",
    "Model",
    "Labels",
    "Features",
    "Training",
    "Passes",
    "Device",
    "Evaluation",
    "Output",
    "Resume",
    "Speed",
    "Workers of Ray",
    "Service",
    "Limits",
]


def doc(text: str, metavar: str = "", group: OptionGroup | None = None) -> msgspec.Meta:
    """Return the description of a setting, which is also the help of its option.

    `metavar` is the name of the values in the help, such as TIME, and `group` the heading under
    which the option is listed if its command has many.
    """
    extra = {"metavar": metavar, "group": group}
    return msgspec.Meta(description=text, extra={k: v for k, v in extra.items() if v} or None)


def unwrapped(hint: Any) -> tuple[Any, list[Any]]:
    """Return the plain type of an annotation, without metadata and None, and the metadata."""
    metadata: list[Any] = []
    while get_origin(hint) in (Annotated, Union, UnionType):
        metadata += getattr(hint, "__metadata__", ())
        hint = get_args(hint)[0]
    return hint, metadata


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all settings: immutable, compared by value, checked on creation."""

    _bounds: ClassVar[dict[type, list[tuple[str, Bounds]]]] = {}

    def __post_init__(self) -> None:
        kind = type(self)
        if kind not in self._bounds:
            hints = get_type_hints(kind, include_extras=True).items()
            self._bounds[kind] = [
                (name, part)
                for name, hint in hints
                for part in unwrapped(hint)[1]
                if isinstance(part, Bounds)
            ]
        for name, bounds in self._bounds[kind]:
            value = getattr(self, name)
            if value is not None and not (
                bounds.low <= value <= bounds.high and value != bounds.excluded
            ):
                stage = re.sub(r"(Train)?(Config|Spec|Request|Settings)$", "", kind.__name__)
                stage = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", stage).lower()
                raise ConfigError(f"{stage}: {name} must be {bounds}, not {value}")


def require_setting(condition: bool, message: str) -> None:
    """Raise ConfigError with the message unless the condition is true."""
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
        raise ConfigError(f"{where}: {explain_error(str(error), kind)}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def changed(config: T, changes: dict[str, Any], *, where: str) -> T:
    """Return the settings with some changes, given as plain values in the shape of the config."""
    return from_dict(type(config), merge(to_dict(config), changes), where=where)


def merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return nested tables with changes, of which a table changes only its own keys."""
    merged = dict(values)
    for key, value in changes.items():
        below = merged.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def to_dict(config: Any) -> dict[str, Any]:
    """Convert settings to plain values for TOML, which has no null: omit unset options."""
    values: dict[str, Any] = msgspec.to_builtins(config)
    return {
        key: to_dict(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises
    ------
    ConfigError
        The file is missing or not TOML, nested deeply, or contains NaN or infinity.
    """
    from actspan.core.files import read_text  # imported late: --help does not need it

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
    level: list[Any] = [values]
    for _ in range(_DEEPEST):
        tables = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, _TABLES))
        level = list(chain.from_iterable(tables))
        if any(isinstance(value, float) and not math.isfinite(value) for value in level):
            raise ConfigError(f"{path}: NaN or infinity among the settings; give a finite number")
    if level:
        raise ConfigError(f"{path}: nested deeper than {_DEEPEST}; settings are not")
    return values


def dump_toml(values: Any) -> str:
    """Convert settings, or a table of plain values, to TOML text."""
    return tomli_w.dumps(to_dict(values))


def explain_error(error: str, kind: Any) -> str:
    """Return a plain message for an error of msgspec about a value that is not a valid setting.

    Parameters
    ----------
    error : str
        For example "Invalid enum value 'tc' - at `$.layout`".
    kind : type
        Target type of the conversion; it defines the allowed keys and values.

    Examples
    --------
    >>> from typing import Literal
    >>> explain_error("Invalid enum value 'tc' - at `$`", Literal["TC", "CT"])
    "'tc' is not allowed; allowed are: 'CT', 'TC'"
    """
    from msgspec import inspect  # imported late: only wrong settings need it

    what, _, path = error.partition(" - at `$")
    place = path.rstrip("`").lstrip(".")
    inside, subject = (f" in {place}", f"{place}: ") if place else ("", "")
    kinds = _types_at(inspect.type_info(kind), place)
    if match := re.fullmatch("Object contains unknown field `(.*)`", what):
        structs = [kind for kind in kinds if isinstance(kind, inspect.StructType)]
        known = [field.encode_name for struct in structs for field in struct.fields]
        near = suggestion(match[1], known)
        return f"unknown key {match[1]!r}{inside}{near}; known are: {', '.join(known)}"
    if match := re.fullmatch("Object missing required field `(.*)`", what):
        return f"key {match[1]!r} is missing{inside}"
    if match := re.fullmatch("Invalid enum value (.*)", what):
        values = [repr(value) for kind in kinds for value in getattr(kind, "values", ())]
        return f"{subject}{match[1]} is not allowed; allowed are: {', '.join(values)}"
    if match := re.fullmatch("Expected `(.*)`, got `(.*)`", what):
        needed = [_KINDS.get(name, name) for name in match[1].split(" | ") if name != "null"]
        received = _KINDS.get(match[2], match[2])
        return f"{subject}{' or '.join(needed)} is needed, not {received}"
    if match := re.fullmatch("Expected `array` of length ([0-9]+)(, got .*)?", what):
        return f"{subject}a list of {match[1]} is needed"
    if what == "Number out of range":
        return f"{subject}the number is too large"
    return error


def _types_at(kind: inspect.Type, place: str) -> list[inspect.Type]:
    """Return the types that a value may have at a place such as `tem.hidden` or `join[0]`."""
    from msgspec import inspect

    kinds = [kind]
    for key in ["", *re.findall(r"\[.*?\]|[^.\[\]]+", place)]:
        below: list[inspect.Type] = []
        for above in kinds:
            if not key:
                below.append(above)
            elif isinstance(above, inspect.StructType):
                below += [field.type for field in above.fields if field.encode_name == key]
            elif inner := getattr(above, "item_type", getattr(above, "value_type", None)):
                below.append(inner)
        kinds = [t for b in below for t in (b.types if isinstance(b, inspect.UnionType) else (b,))]
    return kinds
