"""Options made from a signature and from structs; their defaults are those of the requests."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import click
import msgspec
import pytest
from click.testing import CliRunner

from actspan.cli import COMMANDS, main
from actspan.cli.options import Output, Positive, Text, command, request_from_options


@dataclasses.dataclass(frozen=True)
class Request:
    source: str
    out: Path
    top: int | None = None
    overwrite: bool = False


class Workers(msgspec.Struct, kw_only=True):
    count: Annotated[int, msgspec.Meta(ge=1, description="Number of workers.")] = 1


@command(top="Keep N.", kind="Kind of answer.", size="Size of a file.")
def try_out(
    source: str,
    *,
    out: Output,
    top: Positive | None = None,
    kind: tuple[Literal["a", "b"], ...] = (),
    size: Annotated[int, Text("SIZE", int)] = 3,
    force: bool = False,
    workers: Workers,
) -> None:
    """Try out."""
    click.echo(f"{request_from_options(Request)} {kind} {size} {workers.count}")


def test_a_signature_becomes_options() -> None:
    text = CliRunner().invoke(try_out, ["--help"]).output
    assert text.startswith("Usage: try-out [OPTIONS] SOURCE\n\n  Try out.\n")
    for words in ("--out PATH  Folder to write. [required]", "--top INTEGER RANGE Keep N. [x>=1]",
                  "--kind [a|b] Kind of answer.", "--size SIZE Size of a file. [default: 3]",
                  "--force Replace existing files.",
                  "--count INTEGER RANGE Number of workers. [default: 1; x>=1]"):  # fmt: skip
        assert " ".join(words.split()) in " ".join(text.split())


def test_a_command_gets_a_ready_request() -> None:
    words = [
        "s",
        "--out",
        "o",
        "--top",
        "2",
        "--force",
        "--kind",
        "a",
        "--kind",
        "b",
        "--count",
        "4",
    ]
    done = CliRunner().invoke(try_out, words)
    request = Request("s", Path("o"), top=2, overwrite=True)
    assert done.output == f"{request} ('a', 'b') 3 4\n"


@pytest.mark.parametrize("words", ["s", "s --out -", "s --out o --size x", "s --out o --count 0"])
def test_wrong_values_are_usage_errors(words: str) -> None:
    assert CliRunner().invoke(try_out, words.split()).exit_code == 2


def test_help_of_an_option_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(TypeError, match="no option depth"):

        @command(depth="Depth.")
        def wrong(*, force: bool = False) -> None:
            """Be wrong."""


def found_command(path: str) -> click.Command:
    made: click.Command = main
    for name in path.split():
        assert isinstance(made, click.Group)
        made = made.get_command(click.Context(made), name) or made
    return made


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("annotate convert", "data.annotations.convert.Conversion"),
        ("compile", "deploy.compile.plan.CompileRequest"),
        ("deploy", "deploy.deploy.DeployRequest"),
        ("extract", "streams.extraction.ExtractRequest"),
        ("label", "pipeline.labels.LabelRequest"),
        ("optimize", "deploy.passes.contract.PassSettings"),
        ("pack", "data.store.pack.PackRequest"),
        ("propose", "jobs.propose_request.ProposeRequest"),
        ("serve", "server.settings.ServeSettings"),
        ("staged run", "deploy.staged.runner.RunRequest"),
        ("staged tem-inputs", "deploy.staged.tem_steps.TemRequest"),
    ],
)
def test_defaults_are_those_of_the_request(path: str, kind: str) -> None:
    module, _, name = f"actspan.{kind}".rpartition(".")
    fields: Any = dataclasses.fields(getattr(importlib.import_module(module), name))
    params = found_command(path).params
    options = {param.name: param for param in params if isinstance(param, click.Option)}
    compared = 0
    for field in fields:
        option = options.get("force" if field.name == "overwrite" else field.name)
        if option is None or option.required or field.default is dataclasses.MISSING:
            continue
        context = click.Context(found_command(path))
        default = option.type_cast_value(context, option.get_default(context))
        assert (default or None) == (field.default or None), field.name
        compared += 1
    assert compared > 0


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
