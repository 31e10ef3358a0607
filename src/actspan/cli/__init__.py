"""The `actspan` command: a thin layer over the library, with one file per group of commands."""

from __future__ import annotations

import importlib
import os
import re
from typing import IO, TYPE_CHECKING, Any

import click

from actspan import __version__
from actspan.cli.help import Group, range_text, write_sections
from actspan.core.wording import suggestion

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# The module of each command, and its line in --help, in the order in which a user meets them.
COMMANDS = {
    "doctor": ("doctor", "Check what is installed, what works, and what is slow."),
    "demo": ("results", "Run the main steps on a small synthetic dataset."),
    "extract": ("datasets", "Extract snippet features from videos into a dataset."),
    "train": ("train", "Train TEM and PEM on a dataset folder into a bundle."),
    "convert": ("models", "Convert published checkpoints into a bundle."),
    "export": ("export", "Write a bundle's networks as ONNX files, and check them."),
    "optimize": ("optimize", "Rewrite any ONNX file with graph passes, and check it."),
    "compile": ("compile", "Compile a bundle's networks for a device."),
    "verify": ("models", "Compare every variant of a model with its checkpoint."),
    "deploy": ("deploy", "Convert, compile and verify a model for a device."),
    "backends": ("models", "List the inference runtimes, and which are usable here."),
    "pack": ("datasets", "Pack a dataset's features for fast reading."),
    "propose": ("propose", "Find scored segments in videos or in a dataset."),
    "staged": ("staged", "Propose step by step through files, for a device's tool."),
    "label": ("results", "Label proposals, which makes them detections."),
    "annotate": ("annotate", "Convert annotations, and exchange them with tools."),
    "evaluate": ("evaluate", "Compute average recall of proposals, or mAP of detections."),
    "tune": ("tune", "Find better settings of the ranking of a run."),
    "report": ("results", "Write a page about one or more runs."),
    "serve": ("serve", "Serve proposals over HTTP, with a viewer of runs."),
    "push": ("hub", "Push a bundle to a hub, with a model card."),
    "pull": ("hub", "Download a bundle from a hub."),
    "bench": ("bench", "Measure how fast a model runs here, and check its output."),
    "compare": ("compare", "Compare speeds from results, logs or two commands."),
    "completion": ("completion", "Print the script that lets a shell complete commands."),
}


class LazyGroup(Group):
    """A group whose commands are imported when they are used, so that `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return the command with this name."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"actspan.cli.{COMMANDS[name][0]}")
        command: click.Command = (
            getattr(module, f"{name}_", None) or getattr(module, name, None) or module.command
        )
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command; colours are off if $NO_COLOR is set."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise one_line(error, ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and report wrong usage in one line."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise one_line(error, ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        rows = [(name, line) for name, (_, line) in COMMANDS.items()]
        write_sections(formatter, [("Commands", rows)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the commands from the table, without importing them, and the options."""
        from click.shell_completion import CompletionItem

        rows = [(name, line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]
        return [
            *(CompletionItem(name, help=line) for name, line in rows),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]


class UsageLine(click.UsageError):
    """A usage error that is shown in one line."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line on the standard error stream."""
        from actspan.cli.console import print_error  # imported late: --help does not need it

        print_error(self.message)


def one_line(error: click.UsageError, group: click.Context) -> click.UsageError:
    """Return a usage error of click as one line: what is wrong, the nearest name, the help command.

    Help instead of missing arguments stays as it is.

    Parameters
    ----------
    group : click.Context
        Context of the group that ran the command.
    """
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    message = " ".join(error.format_message().split()).removesuffix(".")
    kind = error.param.type if isinstance(error, click.BadParameter) and error.param else None
    if isinstance(kind, click.IntRange | click.FloatRange):
        message = re.sub(
            r" is not in the range .*", f" is out of range: {range_text(kind)}", message
        )
    message = message.replace(" is a directory", " is a folder")
    message = re.sub(r"[.:]? \(?Did you mean (.*?)\?\)?$", r" (did you mean \1?)", message)
    choice = re.search(r"'([^']*)' is not (?:one of )?('.*')$", message)
    command = re.fullmatch(r"No such command '(.*)'", message)
    if choice:
        message += suggestion(choice[1], re.findall(r"'([^']*)'", choice[2]))
    elif command:
        message += suggestion(command[1], COMMANDS)
    words = [group.command_path, group.invoked_subcommand or ""]
    command_path = error.ctx.command_path if error.ctx else " ".join(filter(None, words))
    return UsageLine(f"{message[:1].lower()}{message[1:]}; see {command_path} --help", error.ctx)


main = LazyGroup(
    "actspan",
    help="""Find when actions happen in long videos, as scored segments (BSN).

    \b
    Example:
      actspan demo
      actspan propose match.mp4 --top 3
      actspan train --dataset my-videos/ --out model/
      actspan propose --model model/ --dataset my-videos/ --out run/
      actspan evaluate run/ --ground-truth my-videos/
    """,
    context_settings={"help_option_names": ["-h", "--help"]},
)
click.version_option(__version__, prog_name="actspan")(main)
