"""Options of commands, made from the parameters of a function.

A parameter before `*` is an argument, one after it an option: its name, type and default are those
of the option. A parameter whose type is a struct, such as the request of a job, stands for one
option per field, with the bounds of the field and its `doc` (help, name of the values, group); a
field that is a struct itself gives its own fields. Another parameter with the name of such an
option replaces it. A `doc` that is not of a field is given to `command`, or is in `SHARED`.
"""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click
from click.core import ParameterSource
from msgspec import NODEFAULT, Meta, structs

from actspan.cli.console import exit_on_errors, print_error, say
from actspan.cli.help import Command, Option, Text
from actspan.cli.values import PathText, amounts, complete_backend
from actspan.config.base import Bounds, PathKind, doc, unwrapped

T = TypeVar("T")

# Options that have another name than the field of a request.
NAMES = {"batches": "batch", "overwrite": "force"}

SHARED = {
    "backend": doc(
        "Inference runtime, with its precision; see actspan backends.", "NAME", group="Speed"
    ),
    "engine": doc(
        "Where to compute: in this process, or on workers of Ray (extra 'cluster').", group="Speed"
    ),
    "force": doc("Replace existing files.", group="Output"),
    "ground_truth": doc(
        "Annotations in any format that `actspan annotate convert` reads, or a dataset folder.",
        group="Input",
    ),
    "json_": doc("Print the result as JSON.", group="Output"),
    "on_error": doc("Stop at problems, or skip what cannot be used.", group="Input"),
    "out": doc("Folder to write.", group="Output"),
    "seed": doc("Seed of all random choices."),
    "set_": doc(
        "Change a setting of the model, as in soft_nms.decay=0.4; may be repeated.",
        "KEY=VALUE",
        group="Model",
    ),
    "settings": doc(
        "TOML file with settings to change in its table [pipeline], as actspan tune writes it; "
        "--set has precedence.",
        group="Model",
    ),
}


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


def command(
    group: click.Group | None = None,
    /,
    *,
    arguments: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
    **docs: str | Meta,
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
    docs : str or Meta
        Help of the options, by parameter, or their `doc`, instead of those of the fields. A
        trailing `_` is not part of an option's name.
    """
    option_names = NAMES | dict(names or {})

    def decorate(function: Callable[..., None]) -> click.Command:
        parameters = inspect.signature(function, eval_str=True).parameters
        kinds = {
            name: p.annotation
            for name, p in parameters.items()
            if hasattr(p.annotation, "__struct_fields__")
        }
        rows: dict[str, tuple[Any, Any]] = {}  # type and default by option
        metas = dict(SHARED)
        for name, parameter in parameters.items():
            if name not in kinds:
                rows[name] = parameter.annotation, parameter.default
                continue
            for option, row in _fields(kinds[name], option_names):
                if option not in without:
                    rows[option] = row
                    given = (part for part in unwrapped(row[0])[1] if isinstance(part, Meta))
                    metas[option] = next(given, metas.get(option, Meta()))
        metas |= {name: doc(text) if isinstance(text, str) else text for name, text in docs.items()}
        if unknown := {*docs, *arguments} - rows.keys():
            raise TypeError(f"{function.__name__} has no option {', '.join(unknown)}")
        before = {*arguments, *(n for n, p in parameters.items() if p.kind is not p.KEYWORD_ONLY)}
        params: list[click.Parameter] = [
            _parameter(name, *row, None if name in before else metas[name])
            for name, row in rows.items()
        ]

        def run(**values: Any) -> None:
            with exit_on_errors():
                plain = {name: values[name] for name in parameters if name not in kinds}
                requests = {
                    name: _build(kind, values, option_names) for name, kind in kinds.items()
                }
                function(**plain, **requests)

        name = function.__name__.strip("_").replace("_", "-")
        made_command = Command(name, callback=run, params=params, help=inspect.getdoc(function))
        if group is not None:
            group.add_command(made_command)
        return made_command

    return decorate


def _fields(kind: Any, names: Mapping[str, str]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield name and (type, default) of the options of a struct and of structs in it."""
    for field in structs.fields(kind):
        if hasattr(field.type, "__struct_fields__"):
            yield from _fields(field.type, names)
            continue
        default = inspect.Parameter.empty if field.default is NODEFAULT else field.default
        if field.default_factory is not NODEFAULT:
            default = field.default_factory()
        yield names.get(field.name, field.name), (field.type, default)


def _build(kind: Any, values: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    """Return a struct with the values of its options."""
    fields = {}
    for field in structs.fields(kind):
        option = names.get(field.name, field.name)
        if hasattr(field.type, "__struct_fields__"):
            fields[field.name] = _build(field.type, values, names)
        elif option in values:
            fields[field.name] = values[option]
    return kind(**fields)


def _parameter(name: str, annotation: Any, default: Any, meta: Meta | None) -> click.Parameter:
    """Return the option with this `doc`, or the argument if there is none."""
    kind, many = _value_type(annotation)
    required = default is inspect.Parameter.empty
    if meta is None:
        metavar = name.upper() if isinstance(kind, click.Choice) else None
        nargs = -1 if many else 1
        kind = PathText() if kind is str else kind
        return click.Argument([name], type=kind, nargs=nargs, required=required, metavar=metavar)
    settings: dict[str, Any] = {} if required else {"default": default}
    if kind is bool:
        settings = {"is_flag": True}
    extra = meta.extra or {}
    option = Option(
        [f"--{name.strip('_').replace('_', '-')}", name],
        type=kind,
        multiple=many,
        required=required,
        help=meta.description,
        metavar=extra.get("metavar"),
        shell_complete=complete_backend if name == "backend" else None,
        **settings,
    )
    option.group = extra.get("group", "")
    return option


def _value_type(annotation: Any) -> tuple[Any, bool]:
    """Return the type for click of an annotation, and whether there may be many values."""
    plain, metadata = unwrapped(annotation)
    if plain is Path:
        metadata = [*metadata, PathKind()]  # if there is no other
    if plain in (int, float):
        metadata = [*metadata, Bounds(-inf)]
    for detail in metadata:
        match detail:
            case click.ParamType():
                return detail, False
            case PathKind(exists, kind, url, bundle):
                path = PathType(exists, kind != "folder", kind != "file", path_type=Path)
                path.url, path.bundle, path.name = url, bundle, "path" if kind == "any" else kind
                return path, False
            case Bounds(low, high, excluded):
                limits = None if low == -inf else low, None if high == inf else high
                number: Any = click.IntRange if plain is int else click.FloatRange
                number = number(*limits, excluded == low, excluded == high)
                number.name = "whole number" if plain is int else "number"
                return number, False
    origin, parts = get_origin(plain), get_args(plain)
    if origin is Literal:
        return click.Choice(parts), False
    if origin is dict:
        return Text("JSON", amounts), False
    return (_value_type(parts[0])[0], True) if origin is tuple else (plain, False)


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


# Ray's ports ask for no password, and its own option for a loopback address leaves some open.
_OPEN_PORTS = (
    "note: Ray, which is started here for this job, listens on all network interfaces, and whoever "
    "reaches its ports can run code on this machine: use it in a network that you trust"
)


def ray_config(engine: str, cluster: T) -> T | None:
    """Return the options of Ray with --engine ray; else None, and refuse them."""
    if engine == "ray":
        if getattr(cluster, "address", None) is None:
            say(_OPEN_PORTS)
        return cluster
    refuse_options(type(cluster).__struct_fields__, "without --engine ray")  # type: ignore[attr-defined]
    return None


def command_line() -> str:
    """Return the running command as a line that repeats it, with names of folders for paths."""
    context, given = click.get_current_context(), given_options()
    words = ["actspan", context.command.name or ""]
    for param in context.command.params:
        if param.name not in given:
            continue
        option = [param.opts[0]] if isinstance(param, click.Option) else []
        value = context.params[param.name]
        for item in value if isinstance(value, tuple) else (value,):
            shown = (
                f"{item.resolve().name}{'/' * item.is_dir()}" if isinstance(item, Path) else item
            )
            words += option if item is True else [*option, str(shown)]
    return shlex.join(words)
