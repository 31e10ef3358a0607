"""Help of commands: options in groups, in the colours of the terminal, and 80 columns wide.

The group of an option is given where its help is: `doc(..., group="Output")`. Few options are
listed under one heading.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import click

FEW = 8  # options of a command that are listed without groups
_WIDEST = 26  # characters of an option in its column; the help of a longer one starts below it
_OTHER = "Other"  # heading of --help
_DEFAULT = re.compile(r"\s*\[(default.*)\]$", re.DOTALL)

_LONGEST = 44  # characters of an option with its choices; those of a longer one are in its help

Row = tuple[str, str]


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


class Option(click.Option):
    """An option with a group, and with notes about its values at the end of its help."""

    group: str = ""

    def get_help_record(self, ctx: click.Context) -> Row:
        """Return the option with the name of its values, and its help."""
        text, notes = self.help or "", ["required"] * self.required
        if named := _DEFAULT.search(text):
            text = text[: named.start()]
            notes.append(named[1])
        elif self._has_default:
            notes.append(f"default: {_shown(self.default)}")
        name = self.opts[0] if self.is_flag else f"{self.opts[0]} {self._value(ctx)}"
        if isinstance(self.type, click.Choice) and (self.metavar or len(name) > _LONGEST):
            name = f"{self.opts[0]} {self.metavar or self.opts[0].strip('-').upper()}"
            text += f" One of {', '.join(self.type.choices)}."
        notes += _range(self.type)
        return name, f"{text} [{'; '.join(notes)}]" if notes else text

    def _value(self, ctx: click.Context) -> str:
        """Return the name of the values."""
        if self.metavar is None and isinstance(self.type, click.IntRange):
            return "N"
        if self.metavar is None and isinstance(self.type, click.FloatRange):
            return "NUMBER"
        return self.make_metavar(ctx)

    @property
    def _has_default(self) -> bool:
        return not self.is_flag and not self.required and self.default not in (None, "", (), {})


def _shown(default: Any) -> str:
    """Return a default as it is typed."""
    if isinstance(default, tuple):
        return ", ".join(map(_shown, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def _range(kind: Any) -> list[str]:
    """Return the range of a number, unless it is only that the number is positive."""
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return []
    return [] if kind.max is None and kind.min in (None, 0, 1) else [range_text(kind)]


def range_text(kind: click.IntRange | click.FloatRange) -> str:
    """Return the range of a number in words."""
    low, high = kind.min or 0, kind.max
    if high is None:
        return f"{'above' if kind.min_open else 'at least'} {low:g}"
    if kind.min_open and kind.max_open:
        return f"between {low:g} and {high:g}"
    return f"above {low:g}, at most {high:g}" if kind.min_open else f"{low:g} to {high:g}"


class Command(click.Command):
    """A command whose options are listed in groups if there are many."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those of a group together."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        groups: dict[str, list[Row]] = {"Options": []}
        if len(options) > FEW + 1:  # with --help
            from actspan.config.base import OptionGroup  # imported late: actspan --help is fast

            groups = {name: [] for name in (*get_args(OptionGroup), _OTHER)}
        only = next(iter(groups)) if len(groups) == 1 else ""
        for option in options:
            if record := option.get_help_record(ctx):
                groups[only or getattr(option, "group", "") or _OTHER].append(record)
        write_sections(formatter, groups.items())


class Group(click.Group):
    """A group of commands, listed in their order."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command; an option of the command is refused with its place.

        Raises click.UsageError.
        """
        words = list(args)  # the parser consumes `args`
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise self._misplaced(ctx, words, error.option_name) or error from None

    def _misplaced(
        self, ctx: click.Context, words: list[str], option: str
    ) -> click.UsageError | None:
        """Return the error of an option before its command; None if no command here has it."""
        start = next(i for i, word in enumerate(words) if word.partition("=")[0] == option)
        for end in range(start + 1, len(words)):
            command = self.get_command(ctx, words[end])
            param = next((p for p in command.params if option in p.opts), None) if command else None
            is_alone = "=" in words[start] or getattr(param, "is_flag", False)
            if command is None or param is None or (not is_alone and end == start + 1):
                continue  # no command, or the value of the option
            inner = click.Context(command, parent=ctx, info_name=words[end])
            line = f"{inner.command_path} {shlex.join(words[start:end])}"
            return click.UsageError(f"{option} belongs after the command: {line}", inner)
        return None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the commands."""
        records = (param.get_help_record(ctx) for param in self.get_params(ctx))
        write_sections(formatter, [("Options", list(filter(None, records)))])
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with the first sentences of their help."""
        rows = [(name, command.get_short_help_str(100)) for name, command in self.commands.items()]
        write_sections(formatter, [("Commands", rows)])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of their definition."""
        return list(self.commands)


def write_sections(
    formatter: click.HelpFormatter, sections: Iterable[tuple[str, Sequence[Row]]]
) -> None:
    """Write lists of names with their help; the columns of all are aligned."""
    filled = [(title, rows) for title, rows in sections if rows]
    lengths = [len(name) for _, rows in filled for name, _ in rows]
    width = max((length for length in lengths if length <= _WIDEST), default=0)
    for title, rows in filled:
        with formatter.section(click.style(title, bold=True)):
            formatter.write_dl(
                [
                    (click.style(name, fg="cyan") + " " * (width - len(name)), text)
                    for name, text in rows
                ],
                col_max=width,
            )


def print_sections(sections: Iterable[tuple[str, Sequence[Row]]]) -> None:
    """Print lists of names with their descriptions, in the layout of `--help`."""
    formatter = click.get_current_context().make_formatter()
    write_sections(formatter, sections)
    click.echo(formatter.getvalue().rstrip("\n"))
