"""The `actspan` command: a thin layer over the library, with one file per group of commands."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import click

from actspan import __version__
from actspan.cli.usage import one_line


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, so that `--help` stays fast."""

    # Maps each command to its module and its line in --help.
    table: ClassVar[dict[str, tuple[str, str]]] = {
        "demo": ("actspan.cli.demo", "Run the main steps on a small made-up dataset."),
        "extract": ("actspan.cli.extract", "Extract snippet features from videos into a dataset."),
        "train": ("actspan.cli.train", "Train TEM and PEM on a dataset folder into a bundle."),
        "convert": ("actspan.cli.convert", "Convert published checkpoints into a bundle."),
        "export": (
            "actspan.cli.export",
            "Write a bundle's networks as ONNX files, and check them.",
        ),
        "optimize": (
            "actspan.cli.optimize",
            "Rewrite any ONNX file with graph passes, and check it.",
        ),
        "compile": ("actspan.cli.compile", "Compile a bundle's networks for a device."),
        "verify": ("actspan.cli.verify", "Compare every variant of a model with its checkpoint."),
        "deploy": ("actspan.cli.deploy", "Convert, compile and verify a model for a device."),
        "backends": (
            "actspan.cli.backends",
            "List the inference runtimes, and which are usable here.",
        ),
        "pack": ("actspan.cli.pack", "Pack a dataset's features for fast reading."),
        "propose": ("actspan.cli.propose", "Find scored segments in videos or in a dataset."),
        "staged": (
            "actspan.cli.staged",
            "Propose step by step through files, for a device's tool.",
        ),
        "label": ("actspan.cli.label", "Label proposals, which makes them detections."),
        "annotate": ("actspan.cli.annotate", "Convert annotations, and exchange them with tools."),
        "evaluate": (
            "actspan.cli.evaluate",
            "Compute average recall of proposals, or mAP of detections.",
        ),
        "report": ("actspan.cli.report", "Write a page about one or more runs."),
        "serve": ("actspan.cli.serve", "Serve proposals over HTTP, with a viewer of runs."),
        "bench": ("actspan.cli.bench", "Measure how fast a model runs here, and check its output."),
        "compare": ("actspan.cli.compare", "Compare speeds from results, logs or two commands."),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a user meets them."""
        return list(self.table)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return the command with this name."""
        if name not in self.table:
            return None
        command: click.Command = importlib.import_module(self.table[name][0]).command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and report wrong usage in one line."""
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
    """Find when actions happen in long videos, as scored segments (BSN).

    \b
    Example:
      actspan demo
      actspan convert tem_best.pth.tar pem_best.pth.tar --out bsn/
      actspan propose --model bsn/ --dataset my-videos/ --out run/
      actspan evaluate run/ --ground-truth my-videos/
    """
