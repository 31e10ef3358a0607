"""Help of every command: groups of options, 80 columns, colours on a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

import click
import pytest
from click.testing import CliRunner

from actspan.cli import main
from actspan.cli.help import FEW, Option, range_text
from actspan.config.base import OptionGroup


def contexts(
    command: click.Command = main, parent: click.Context | None = None, name: str = "actspan"
) -> Iterator[click.Context]:
    """Yield a context of every command."""
    context = click.Context(command, parent, name, help_option_names=["-h", "--help"])
    yield context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from contexts(found, context, child)


EVERY = {context.command_path: context for context in contexts()}


def help_of(path: str) -> str:
    done = CliRunner().invoke(main, [*path.split()[1:], "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0
    return done.output


@pytest.mark.parametrize("path", EVERY)
def test_help_fits_80_columns_and_is_complete(path: str) -> None:
    text = help_of(path)
    assert [line for line in text.splitlines() if len(line) > 80] == []
    command = EVERY[path].command
    for option in (param for param in command.params if isinstance(param, click.Option)):
        assert f"\n  {option.opts[0]}" in text
        assert (option.help or "").partition(" [default")[0].split()[0] in text
    if isinstance(command, click.Group) and command is not main:
        for child in command.commands.values():
            sentence = " ".join((child.help or "").partition("\n\n")[0].split())
            assert sentence in " ".join(text.split())


@pytest.mark.parametrize("path", EVERY)
def test_many_options_are_in_groups(path: str) -> None:
    options = [param for param in EVERY[path].command.params if isinstance(param, click.Option)]
    headings = {*re.findall(r"^(\w[\w, ]*):$", help_of(path), re.MULTILINE)} - {"Commands"}
    if len(options) > FEW:
        groups = {option.group for option in options if isinstance(option, Option)}
        assert groups <= {*get_args(OptionGroup)}
        assert headings == {*groups, "Other"}
    else:
        assert headings == {"Options"}


def test_groups_of_propose_have_their_order_and_options() -> None:
    text = help_of("actspan propose")
    places = [
        text.index(f"\n{name}:\n") for name in ("Input", "Model", "Output", "Resume", "Speed")
    ]
    assert places == sorted(places)
    resume = text[places[3] : places[4]]
    assert [word for word in resume.split() if word.startswith("--")] == [
        "--resume",
        "--shard-size",
        "--shards",
    ]


def test_defaults_ranges_and_choices_are_in_words() -> None:
    text = " ".join(help_of("actspan propose").split())
    assert "--timeout SECONDS Time without data" in text
    assert "has failed. [default: 10]" in text
    assert "INTEGER" not in text
    convert = " ".join(help_of("actspan annotate convert").split())
    assert "--from FORMAT Format of SOURCE. One of activitynet, authors," in convert
    assert "[default: 100; at least 2]" in " ".join(help_of("actspan convert").split())


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (click.IntRange(1), "at least 1"),
        (click.FloatRange(0, min_open=True), "above 0"),
        (click.FloatRange(0, 1, min_open=True, max_open=True), "between 0 and 1"),
        (click.FloatRange(0, 1, min_open=True), "above 0, at most 1"),
        (click.IntRange(0, 65535), "0 to 65535"),
    ],
)
def test_ranges(kind: click.IntRange | click.FloatRange, text: str) -> None:
    assert range_text(kind) == text


@pytest.mark.parametrize("path", ["actspan", "actspan propose", "actspan staged"])
def test_colours_only_on_a_terminal_that_wants_them(path: str) -> None:
    words = [*path.split()[1:], "--help"]
    plain = CliRunner().invoke(main, words).output
    coloured = CliRunner().invoke(main, words, color=True).output
    assert "\x1b[" not in plain
    assert "\x1b[36m" in coloured
    assert click.unstyle(coloured) == plain
    assert CliRunner().invoke(main, words, color=True, env={"NO_COLOR": "1"}).output == plain
