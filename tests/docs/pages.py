"""Read the pages of the documentation: their blocks, with the marks in comments before them.

A mark is an HTML comment, which readers of the site do not see, directly before a block:

- `<!-- runs on: KIND PATH, KIND PATH -->`: the block and those after it run in a new folder, which
  contains these files (tests/docs/material.py).
- `<!-- not run: needs the program atc -->`: the block does not run; `; instead: COMMAND` runs
  another command in its place.
- `<!-- output -->`: the block shows the output of the block before, where `...` stands for any
  text; with `<!-- output: numbers vary -->` other numbers are accepted.
- `<!-- file: PATH -->`: the block is the content of this file.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from markdown_it import MarkdownIt

from tests.conftest import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
KINDS = {"runs on", "not run", "output", "file"}
# what a mark may say, and what would show that the block could run here
NEEDS = {
    "an NPU": lambda: shutil.which("npu-smi"),
    "a GPU": lambda: shutil.which("nvidia-smi"),
    "a package index": lambda: None,
    "a second machine": lambda: None,
    "a person": lambda: None,
    "minutes": lambda: None,
}
_COMMANDS = re.compile(r"^(\$ )?(actspan|python3?|pip|make|curl) ", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, text: str | None = None) -> list[Block]:
    """Return the blocks of a page, or of a text in its place, in order."""
    found, marks = list[Block](), dict[str, str]()
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8") if text is None else text):
        if token.type == "html_block" and (comment := re.match("<!-- (.*?) -->", token.content)):
            kind, _, value = comment[1].partition(":")
            marks |= {kind: value.strip()} if kind in KINDS else {}
        elif token.type == "fence":
            assert token.map is not None
            block = Block(page, token.map[0] + 1, token.info.strip(), token.content, marks)
            assert block.language or marks or not _COMMANDS.search(block.text), (
                f"{block}: a block of commands without a language is not run: name sh or console"
            )
            found.append(block)
            marks = {}
        else:
            marks = {}
    return found


def check_reason(reason: str) -> None:
    """Raise AssertionError if a block is left out without a reason, or could run here.

    A block with a command in its place may stay as it is where the reason does not hold.
    """
    need, _, instead = reason.removeprefix("needs ").partition("; instead: ")
    kind, _, name = need.removeprefix("the ").partition(" ")
    if need.startswith("the ") and kind == "program":
        found = shutil.which(name)
    elif need.startswith("the ") and kind == "package":
        found = find_spec(name)
    else:
        assert need in NEEDS, f"not run without a known reason: {reason or 'none'}"
        found = NEEDS[need]()
    assert instead or not found, f"is not run, but could be: {need} is here"
