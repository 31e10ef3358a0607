"""The commands and options in the documentation exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from actspan.cli import main
from tests.conftest import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"```(?:sh|bash|console)?\n(.*?)```", flags=re.DOTALL)
_INLINE = re.compile(r"(?<!`)`(actspan [^`\\]+)`(?!`)")  # no magic bytes of a file (`\n`)


def documented(text: str) -> Iterator[str]:
    """Yield the commands in blocks and within sentences."""
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            yield from re.findall(r"(?:^|[|;&$] *|sudo )(actspan .+)", line.split(" #")[0])
    for found in _INLINE.findall(_BLOCK.sub("", text)):
        yield " ".join(found.split())


def unknown_words(line: str) -> list[str]:
    """Return the words of a documented command that do not exist."""
    try:
        words = shlex.split(line, comments=True)[1:]
    except ValueError:  # a sentence's quotation mark: not a whole command
        words = line.split()[1:]
    command: click.Command = main
    while isinstance(command, click.Group) and words and re.fullmatch("[a-z][a-z-]*", words[0]):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return [words[0]]
        command, words = found, words[1:]
    known = {"--help"} | {name for param in command.params for name in param.opts}
    options = [word.split("=")[0].rstrip(".,:;)]") for word in words if word.startswith("--")]
    return [option for option in options if option.lstrip("-") and option not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_documented_options_exist(page: Path) -> None:
    wrong = {
        line: unknown
        for line in documented(page.read_text(encoding="utf-8"))
        if (unknown := unknown_words(line))
    }
    assert wrong == {}


def test_wrong_options_are_found() -> None:
    text = "`actspan train --preset x`\n```sh\nactspan propose \\\n  --modle b\nactspan fly\n```\n"
    lines = list(documented(text))
    assert [unknown_words(line) for line in lines] == [["--modle"], ["fly"], []]


def test_there_are_commands() -> None:
    found = [line for page in PAGES for line in documented(page.read_text(encoding="utf-8"))]
    assert len(found) > 200
