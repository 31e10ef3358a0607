"""Options made from a signature and from structs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import click
import pytest
from click.testing import CliRunner

from actspan import Bundle
from actspan.cli import COMMANDS
from actspan.cli.help import Text
from actspan.cli.options import command
from actspan.config.base import Bounds, Config, ExistingBundle, Positive, doc
from actspan.core.errors import ConfigError
from tests.examples import write_bundle


class Choice(Config, frozen=True):
    top: Annotated[Positive | None, doc("Keep N.")] = None


class Request(Config, frozen=True):
    source: str
    out: Annotated[Path, doc("Folder to write.")]
    choice: Choice
    kinds: Annotated[tuple[Literal["a", "b"], ...], doc("Kind of answer.")] = ()
    workers: Annotated[int, Bounds(2, 9), doc("Number of workers.")] = 2
    overwrite: Annotated[bool, doc("Replace existing files.")] = False
    live: Any = None


@command(
    arguments=["source"],
    names={"kinds": "kind", "workers": "count"},
    without=["live"],
    size="Size of a file.",
)
def try_out(request: Request, *, size: Annotated[int, Text("SIZE", int)] = 3) -> None:
    """Try out."""
    click.echo(f"{request} {size}")


def test_a_signature_becomes_options() -> None:
    text = CliRunner().invoke(try_out, ["--help"]).output
    assert text.startswith("Usage: try-out [OPTIONS] SOURCE\n\n  Try out.\n")
    for words in ("--out PATH  Folder to write. [required]", "--top N Keep N.\n",
                  "--kind [a|b] Kind of answer.", "--size SIZE Size of a file. [default: 3]",
                  "--force Replace existing files.",
                  "--count N Number of workers. [default: 2; 2 to 9]"):  # fmt: skip
        assert " ".join(words.split()) in " ".join(text.split())


@command()
def try_bundle(bundle: ExistingBundle) -> None:
    """Try out a bundle."""
    click.echo(Bundle.load(bundle).nets)


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_a_bundle_may_be_an_archive(suffix: str, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "small")
    shutil.make_archive(str(bundle.path), "zip", bundle.path)
    done = CliRunner().invoke(try_bundle, [f"{bundle.path}{suffix}"])
    assert done.output == f"{bundle.nets}\n"


def test_a_command_gets_a_ready_request() -> None:
    words = "s --out o --top 2 --force --kind a --kind b --count 4"
    done = CliRunner().invoke(try_out, words.split())
    request = Request("s", Path("o"), Choice(2), ("a", "b"), 4, overwrite=True)
    assert done.output == f"{request} 3\n"


@pytest.mark.parametrize("words", ["s", "s --out -", "s --out o --size x", "s --out o --count 0"])
def test_wrong_values_are_usage_errors(words: str) -> None:
    assert CliRunner().invoke(try_out, words.split()).exit_code == 2


def test_help_of_an_option_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(TypeError, match="no option depth"):

        @command(depth="Depth.")
        def wrong(*, force: bool = False) -> None:
            """Be wrong."""


def test_bounds_are_checked_without_a_command_too() -> None:
    with pytest.raises(ConfigError, match="choice: top must be at least 1, not 0"):
        Choice(0)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_heavy(name: str) -> None:
    code = (
        "import sys; from actspan.cli import main\n"
        f"main(['{name}', '--help'], standalone_mode=False)\n"
        "heavy = ('numpy', 'numba', 'torch', 'pyarrow', 'rich')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
