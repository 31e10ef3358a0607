"""The `actspan` command: a thin layer over the library, one file a group of commands."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import click

from actspan import __version__
from actspan.cli.usage import one_line


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, so that `--help` stays fast."""

    # command: (module, one line for --help)
    table: ClassVar[dict[str, tuple[str, str]]] = {
        "demo": ("actspan.cli.demo", "See the main job on a small made-up dataset."),
        "extract": ("actspan.cli.extract", "Turn videos into a dataset of snippet features."),
        "train": ("actspan.cli.train", "Train TEM and PEM on a dataset folder into a bundle."),
        "convert": ("actspan.cli.convert", "Turn published checkpoints into a bundle."),
        "export": ("actspan.cli.export", "Write a bundle's networks as ONNX, checked numerically."),
        "optimize": ("actspan.cli.optimize", "Rewrite any ONNX file by graph passes, checked."),
        "compile": ("actspan.cli.compile", "Compile a bundle's networks for a device."),
        "verify": ("actspan.cli.verify", "Hold every way to run a model against its checkpoint."),
        "deploy": ("actspan.cli.deploy", "Checkpoints to a device in one go, with proof."),
        "backends": ("actspan.cli.backends", "List the inference runtimes that are usable here."),
        "pack": ("actspan.cli.pack", "Pack a dataset's features for quick reading."),
        "propose": ("actspan.cli.propose", "Find scored segments in videos, or in a dataset."),
        "staged": ("actspan.cli.staged", "The same through files, around a device's own runner."),
        "label": ("actspan.cli.label", "Turn proposals into detections: give them labels."),
        "annotate": ("actspan.cli.annotate", "Annotations to other forms and tools, and back."),
        "evaluate": ("actspan.cli.evaluate", "Average recall (AR@AN, AUC) of proposals."),
        "report": ("actspan.cli.report", "What there is to see of runs, as one page."),
        "serve": ("actspan.cli.serve", "Proposals over HTTP, and a viewer of runs."),
        "bench": ("actspan.cli.bench", "How fast a model runs here, and whether it is right."),
        "compare": ("actspan.cli.compare", "Speeds beside each other: results, logs, commands."),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order in which a user meets them."""
        return list(self.table)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the one command that was asked for."""
        if name not in self.table:
            return None
        command: click.Command = importlib.import_module(self.table[name][0]).command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; wrong usage is one line."""
        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise one_line(error, ctx, self.table) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])


@click.group("actspan", cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="actspan")
def main() -> None:
    """When do actions happen in a long video? Scored segments, from BSN.

    \b
    Example:
      actspan demo
      actspan convert tem_best.pth.tar pem_best.pth.tar --out bsn/
      actspan propose --model bsn/ --dataset my-videos/ --out run/
      actspan evaluate run/ --ground-truth my-videos/
    """
