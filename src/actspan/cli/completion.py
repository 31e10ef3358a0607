"""`actspan completion`: the script that lets a shell complete commands, options and paths."""

from __future__ import annotations

from typing import Literal

import click
from click.shell_completion import get_completion_class

from actspan.cli.options import command


@command()
def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print the script that lets a shell complete commands, options and paths.

    Add one of these lines to the file that your shell reads when it starts (~/.bashrc, ~/.zshrc,
    ~/.config/fish/config.fish). bash 4.4 or later is needed.

    \b
    Example:
      eval "$(actspan completion bash)"
      eval "$(actspan completion zsh)"
      actspan completion fish | source
    """
    kind = get_completion_class(shell)
    assert kind is not None
    program = click.get_current_context().find_root().command
    click.echo(kind(program, {}, "actspan", "_ACTSPAN_COMPLETE").source())
