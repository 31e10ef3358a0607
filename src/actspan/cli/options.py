"""Options of commands, made from the parameters of a function.

A parameter before `*` is an argument, one after it an option: its name, type and default are those
of the option. A parameter whose type is a struct, such as the request of a job, stands for one
option per field, with the bounds and the description of the field; a field that is a struct itself
gives its own fields. Another parameter with the name of such an option replaces it. Help that is
not the description of a field is given to `command`, or is in `SHARED`.
"""

from __future__ import annotations

import inspect
import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import click
from click.core import ParameterSource
from msgspec import NODEFAULT, Meta, Struct, structs

from actspan.cli.console import exit_on_errors, print_error
from actspan.config.base import Bounds, PathKind, details

T = TypeVar("T")

# Options that have another name than the field of a request.
NAMES = {"batches": "batch", "overwrite": "force"}

SHARED = {
    "backend": "Inference runtime, with its precision; see actspan backends.",
    "model": "Bundle to use.",
    "on_error": "Stop at problems, or skip what cannot be used.",
    "subset": "Use only the videos of this subset: training, validation, ... [default: all]",
    "threads": "Number of threads. [default: all cores]",
    "engine": "Where to compute: in this process, or on workers of Ray (pip install "
    "'actspan[cluster]').",
    "force": "Replace existing files.",
    "json_": "Print the answer as JSON.",
    "out": "Folder to write.",
    "seed": "Seed of all random choices.",
}


class PathType(click.Path):
    """A path to read, which has to exist, or to write, which may not be `-`; or a URL to read."""

    def __init__(self, kind: PathKind) -> None:
        self._url = kind.url
        can_be_file, can_be_folder = kind.kind != "folder", kind.kind != "file"
        super().__init__(kind.exists, can_be_file, can_be_folder, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or the URL; end the command with the nearest name if it is missing."""
        if self._url and "://" in str(value):
            return value
        if self.exists and not Path(value).exists():
            from actspan.core.files import similar_path

            print_error(f"{value}: does not exist{similar_path(Path(value))}")
            sys.exit(1)
        if not self.exists and str(value) == "-":
            self.fail("'-' (standard input or output) is not taken here: give a path", param, ctx)
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


def command(
    group: click.Group | None = None,
    /,
    *,
    arguments: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
    **helps: str,
) -> Callable[[Callable[..., None]], click.Command]:
    """Return a decorator that makes a command of a function, with its docstring as help.

    Parameters
    ----------
    arguments : sequence of str
        Fields of the request that are arguments, not options.
    names : mapping of str to str
        Names of options that differ from those of the fields, besides `NAMES`.
    without : sequence of str
        Fields that are no options.
    helps : str
        Help of the options, by parameter. A trailing `_` is not part of an option's name.
    """
    option_names = NAMES | dict(names or {})

    def decorate(function: Callable[..., None]) -> click.Command:
        own = inspect.signature(function, eval_str=True).parameters
        kinds = {name: p.annotation for name, p in own.items() if is_struct(p.annotation)}
        rows: dict[str, tuple[Any, Any]] = {}  # type and default by option
        texts = dict(SHARED)
        for name, parameter in own.items():
            if name not in kinds:
                rows[name] = parameter.annotation, parameter.default
                continue
            for option, annotation, default in _fields(kinds[name], option_names):
                if option not in without:
                    rows[option] = annotation, default
                    texts[option] = _description(annotation) or texts.get(option, "")
        texts |= helps
        if unknown := {*helps, *arguments} - rows.keys():
            raise TypeError(f"{function.__name__} has no option {', '.join(unknown)}")
        before = {*arguments, *(n for n, p in own.items() if p.kind is not p.KEYWORD_ONLY)}
        params: list[click.Parameter] = [
            _argument(name, *row) if name in before else _option(name, *row, texts[name])
            for name, row in rows.items()
        ]

        def run(**values: Any) -> None:
            with exit_on_errors():
                given = {name: values[name] for name in own if name not in kinds}
                made = {name: _build(kind, values, option_names) for name, kind in kinds.items()}
                function(**given, **made)

        name = function.__name__.strip("_").replace("_", "-")
        made = click.Command(name, callback=run, params=params, help=inspect.getdoc(function))
        if group is not None:
            group.add_command(made)
        return made

    return decorate


def _fields(kind: Any, names: Mapping[str, str]) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, type and default of the options of a struct, and of the structs in it."""
    for field in structs.fields(kind):
        if is_struct(field.type):
            yield from _fields(field.type, names)
            continue
        default = inspect.Parameter.empty if field.default is NODEFAULT else field.default
        if field.default_factory is not NODEFAULT:
            default = field.default_factory()
        yield names.get(field.name, field.name), field.type, default


def _build(kind: Any, values: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    """Return a struct with the values of its options."""
    made = {}
    for field in structs.fields(kind):
        option = names.get(field.name, field.name)
        if is_struct(field.type):
            made[field.name] = _build(field.type, values, names)
        elif option in values:
            made[field.name] = values[option]
    return kind(**made)


def is_struct(kind: Any) -> bool:
    """Return True for the type of a request or of settings."""
    return isinstance(kind, type) and issubclass(kind, Struct)


def _argument(name: str, annotation: Any, default: Any) -> click.Argument:
    found, many = _click_type(annotation)
    required = default is inspect.Parameter.empty
    return click.Argument([name], type=found, nargs=-1 if many else 1, required=required)


def _option(name: str, annotation: Any, default: Any, text: str) -> click.Option:
    names = [f"--{name.strip('_').replace('_', '-')}", name]
    found, many = _click_type(annotation)
    if found is bool:
        return click.Option(names, is_flag=True, help=text)
    if default is inspect.Parameter.empty:
        return click.Option(names, type=found, multiple=many, required=True, help=text)
    shown = default not in (None, "", (), {})
    return click.Option(
        names, type=found, multiple=many, default=default, show_default=shown, help=text
    )


def _click_type(annotation: Any) -> tuple[Any, bool]:
    """Return the type for click of an annotation, and whether there may be many values."""
    for detail in details(annotation):
        match detail:
            case click.ParamType():
                return detail, False
            case PathKind():
                return PathType(detail), False
            case Bounds(low, high, excluded):
                kind: Any = click.IntRange if _plain(annotation) is int else click.FloatRange
                limit = None if high == inf else high
                return kind(low, limit, excluded == low, excluded == high), False
            case Meta(extra={"metavar": metavar}):
                return Text(metavar), False
    plain = _plain(annotation)
    origin, parts = get_origin(plain), get_args(plain)
    if origin is Literal:
        return click.Choice(parts), False
    if origin is dict:
        return Text("JSON", _amounts), False
    if origin is tuple:
        return _click_type(parts[0])[0], True
    return PathType(PathKind()) if plain is Path else plain, False


def _plain(annotation: Any) -> Any:
    """Return a type without its metadata and without None."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = get_args(annotation)[0]
    return annotation


def _description(annotation: Any) -> str:
    found = (d.description for d in details(annotation) if isinstance(d, Meta))
    return next(filter(None, found), "")


def _amounts(text: str) -> dict[str, float]:
    try:
        return {str(name): float(amount) for name, amount in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        example = '{"NPU": 1}'
        raise ValueError(f"{text}: an object of amounts is needed, as in '{example}'") from None


def given_options() -> set[str]:
    """Return the names of the parameters that were given on the command line."""
    context = click.get_current_context()
    source = context.get_parameter_source
    return {name for name in context.params if source(name) is ParameterSource.COMMANDLINE}


def refuse_options(names: Iterable[str], reason: str) -> None:
    """Raise a usage error if options that have no effect were given.

    Parameters
    ----------
    names : iterable of str
        Parameters of the command.
    reason : str
        The reason, such as "without --dataset".
    """
    given = given_options().intersection(names)
    params = click.get_current_context().command.params
    if refused := [param.opts[0] for param in params if param.name in given]:
        raise click.UsageError(f"{', '.join(refused)}: no effect {reason}")


def command_line() -> str:
    """Return the running command as a line that repeats it, with names of folders for paths."""
    context, given = click.get_current_context(), given_options()
    words = ["actspan", context.command.name or ""]
    for param in context.command.params:
        if param.name not in given:
            continue
        option = [param.opts[0]] if isinstance(param, click.Option) else []
        value = context.params[param.name]
        for one in value if isinstance(value, tuple) else (value,):
            shown = f"{one.resolve().name}{'/' * one.is_dir()}" if isinstance(one, Path) else one
            words += option if one is True else [*option, str(shown)]
    return shlex.join(words)


def ray_config(engine: str, cluster: T) -> T | None:
    """Return the options of Ray with --engine ray; else None, and refuse them."""
    if engine == "ray":
        return cluster
    refuse_options(type(cluster).__struct_fields__, "without --engine ray")  # type: ignore[attr-defined]
    return None


def split_names(text: str | None) -> list[str] | None:
    """Return comma-separated names; None stays None, and an empty text gives no names."""
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()]
