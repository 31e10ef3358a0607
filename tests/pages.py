"""Commands of the documentation, run as they are written, on small data."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from click.testing import CliRunner

from actspan.cli import main
from tests.conftest import ROOT

# Small networks and one epoch: the tests check that the commands work.
QUICK = {"train": ["--epochs", "1", "--length", "20", "--tem-hidden", "8", "--pem-hidden", "8"]}


def page(name: str) -> str:
    """Return the text of a page of docs/, such as `how-to/videos.md`."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(*names: str) -> dict[str, str]:
    """Return the blocks of commands that pages mark as `<!-- runs on: NAME -->`, by name."""
    text = "".join(map(page, names))
    return dict(re.findall(r"<!-- runs on: (\S+) -->\n```sh\n(.*?)```", text, re.DOTALL))


def commands(block: str) -> Iterator[list[str]]:
    """Yield the words of each command of a block, without `actspan`."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            assert words[0] == "actspan"
            yield words[1:]


def run(block: str) -> str:
    """Run the commands of a block; return what they printed."""
    printed = ""
    for words in commands(block):
        done = CliRunner().invoke(main, [*words, *QUICK.get(words[0], [])])
        assert done.exit_code == 0, f"{shlex.join(words)}\n{done.output}"
        printed += done.stdout
    return printed
