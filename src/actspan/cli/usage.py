"""Usage errors in one line: what is wrong, the nearest name, and the help command."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import IO, Any

import click

from actspan.core.wording import suggestion


class UsageLine(click.UsageError):
    """A usage error that is shown in one line."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line on the standard error stream."""
        click.echo(f"error: {self.message}", file=file, err=file is None)


def one_line(error: click.UsageError, group: click.Context, commands: Iterable[str]) -> UsageLine:
    """Return a usage error of click as one line, with a suggestion for a misspelled name.

    Parameters
    ----------
    group : click.Context
        Context of the group that ran the command.
    commands : iterable of str
        Known commands, of which one is suggested.
    """
    message = " ".join(error.format_message().split()).removesuffix(".")
    choice = re.search(r"'([^']*)' is not (?:one of )?('.*')$", message)
    command = re.fullmatch(r"No such command '(.*)'", message)
    if choice:
        message += suggestion(choice[1], re.findall(r"'([^']*)'", choice[2]))
    elif command:
        message += suggestion(command[1], commands)
    words = [group.command_path, group.invoked_subcommand or ""]
    command_path = error.ctx.command_path if error.ctx else " ".join(filter(None, words))
    return UsageLine(f"{message[:1].lower()}{message[1:]}; see {command_path} --help", error.ctx)
