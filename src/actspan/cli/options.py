"""Options of commands, made from the parameters of a function.

A parameter before `*` is an argument, one after it an option: its name, type and default are those
of the option. Its help is given to `command`, or comes from `SHARED`, where options that several
commands have are described once. A parameter whose type is a struct of settings stands for one
option per field, with the bounds and the description of the field. `request_from_options` makes
the request of the library. Commands do not name its type before they run: the modules of most
requests import NumPy, and `--help` must not.
"""

from __future__ import annotations

import inspect
import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from actspan.cli.console import exit_on_errors, print_error

T = TypeVar("T")

SHARED = {
    "backend": "Inference runtime, with its precision; see actspan backends.",
    "engine": "Where to compute: in this process, or on workers of Ray (pip install "
    "'actspan[cluster]').",
    "force": "Replace existing files.",
    "json_": "Print the answer as JSON.",
    "model": "Bundle to use.",
    "on_error": "Stop at problems, or skip what cannot be used.",
    "out": "Folder to write.",
    "seed": "Seed of all random choices.",
    "subset": "Use only the videos of this subset: training, validation, ... [default: all]",
    "threads": "Number of threads. [default: all cores]",
}


class PathType(click.Path):
    """A path to read, which has to exist, or to write, which may not be `-`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or end the command with the nearest name if it is missing."""
        if self.exists and not Path(value).exists():
            from actspan.core.files import similar_path

            print_error(f"{value}: does not exist{similar_path(Path(value))}")
            sys.exit(1)
        if not self.exists and str(value) == "-":
            self.fail("'-' (standard input or output) is not taken here: give a path", param, ctx)
        return super().convert(value, param, ctx)


class UrlOrPathType(PathType):
    """A path that has to exist, or a URL, which stays a str."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or the URL."""
        return value if "://" in str(value) else super().convert(value, param, ctx)


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


Existing = Annotated[Path, PathType(exists=True, path_type=Path)]
ExistingFile = Annotated[Path, PathType(exists=True, dir_okay=False, path_type=Path)]
ExistingFolder = Annotated[Path, PathType(exists=True, file_okay=False, path_type=Path)]
ExistingOrUrl = Annotated[Path, UrlOrPathType(exists=True, path_type=Path)]
Output = Annotated[Path, PathType(path_type=Path)]
OutputFile = Annotated[Path, PathType(dir_okay=False, path_type=Path)]
OutputFolder = Annotated[Path, PathType(file_okay=False, path_type=Path)]
Positive = Annotated[int, click.IntRange(1)]
Seconds = Annotated[float, click.FloatRange(0, min_open=True)]
OnError = Literal["fail", "skip"]


def command(
    group: click.Group | None = None, /, **helps: str
) -> Callable[[Callable[..., None]], click.Command]:
    """Return a decorator that makes a command of a function, with its docstring as help.

    Parameters
    ----------
    helps : str
        Help of the options, by parameter. A trailing `_` is not part of an option's name.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        structs: dict[str, Any] = {}
        params = list(_parameters(function, helps, structs))
        if unknown := set(helps) - {param.name for param in params}:
            raise TypeError(f"{function.__name__} has no option {', '.join(unknown)}")

        def run(**values: Any) -> None:
            with exit_on_errors():
                for name, kind in structs.items():
                    fields = kind.__struct_fields__
                    values[name] = kind(**{field: values.pop(field) for field in fields})
                function(**values)

        name = function.__name__.strip("_").replace("_", "-")
        made = click.Command(name, callback=run, params=params, help=inspect.getdoc(function))
        if group is not None:
            group.add_command(made)
        return made

    return decorate


def _parameters(
    function: Callable[..., None], helps: dict[str, str], structs: dict[str, Any]
) -> Iterator[click.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        kind = hints[name]
        if fields := getattr(kind, "__struct_fields__", ()):
            structs[name] = kind
            types, defaults = get_type_hints(kind, include_extras=True), kind()
            for field in fields:
                yield _option(field, types[field], getattr(defaults, field), helps)
        elif parameter.kind is parameter.KEYWORD_ONLY:
            yield _option(name, kind, parameter.default, helps)
        else:
            found, many = _click_type(kind)
            required = parameter.default is parameter.empty
            yield click.Argument([name], type=found, nargs=-1 if many else 1, required=required)


def _option(name: str, annotation: Any, default: Any, helps: dict[str, str]) -> click.Option:
    described = (getattr(part, "description", None) for part in get_args(annotation))
    text = helps.get(name) or next(filter(None, described), None) or SHARED[name]
    flag = f"--{name.strip('_').replace('_', '-')}"
    if annotation is bool:
        return click.Option([flag, name], is_flag=True, help=text)
    found, many = _click_type(annotation)
    if default is inspect.Parameter.empty:
        return click.Option([flag, name], type=found, multiple=many, required=True, help=text)
    shown = default not in (None, "", (), {})
    return click.Option(
        [flag, name], type=found, multiple=many, default=default, show_default=shown, help=text
    )


def _click_type(annotation: Any) -> tuple[Any, bool]:
    """Return the type for click of an annotation, and whether there may be many values."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for detail in parts[1:]:
            if isinstance(detail, click.ParamType):
                return detail, False
            if (least := getattr(detail, "ge", None)) is not None:
                return (click.IntRange if parts[0] is int else click.FloatRange)(least), False
    if origin is Literal:
        return click.Choice(parts), False
    if origin is dict:
        return Text("JSON", _amounts), False
    if parts:  # X | None, tuple[X, ...], or Annotated without a type for click
        return _click_type(parts[0])[0], origin is tuple
    return annotation, False


def _amounts(text: str) -> dict[str, float]:
    try:
        return {str(name): float(amount) for name, amount in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        example = '{"NPU": 1}'
        raise ValueError(f"{text}: an object of amounts is needed, as in '{example}'") from None


def request_from_options(kind: type[T], **values: Any) -> T:
    """Make a request from the options of the running command that have the names of its fields.

    Parameters
    ----------
    kind : type
        A dataclass or a struct. Its field `overwrite` is the option --force.
    values
        Other fields.
    """
    given = click.get_current_context().params
    fields = getattr(kind, "__struct_fields__", None) or kind.__dataclass_fields__  # type: ignore[attr-defined]
    options = {name: given[name] for name in fields if name in given}
    if "overwrite" in fields and "force" in given:
        options["overwrite"] = given["force"]
    return kind(**options | values)


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
