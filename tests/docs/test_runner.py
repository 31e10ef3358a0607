"""Wrong commands, code, output and marks of a page are found, with their line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.conftest import ROOT
from tests.docs.fixtures import material, reader  # noqa: F401  fixtures
from tests.docs.pages import blocks, check_reason
from tests.docs.runner import Reader

PAGE = ROOT / "docs" / "made-up.md"


def follow(reader: Reader, text: str) -> None:  # noqa: F811
    for block in blocks(PAGE, text):
        reader.follow(block)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("\n```sh\nactspan fly\n```\n", "made-up.md:2: .*fly", id="command"),
        pytest.param("```sh\nactspan evaluate no/ --json\n```", "made-up.md:1", id="files"),
        pytest.param("```sh\nfalse | cat\n```", "made-up.md:1", id="shell"),
        pytest.param("```sh\nmake no-target\n```", "made-up.md:1", id="make"),
        pytest.param("```python\nx = 1\n```\n\n```python\nassert x == 2\n```", ":5", id="python"),
        pytest.param("```json\n{]\n```", "made-up.md:1", id="json"),
        pytest.param("```console\n$ echo 1\n2\n```", "shows\n2\n", id="session"),
        pytest.param(
            "```sh\necho a 1\n```\n<!-- output: numbers vary -->\n```\nb 2\n```", ":5", id="output"
        ),
        pytest.param("<!-- runs on: nothing x -->\n```sh\n```", "nothing", id="material"),
        pytest.param("```sh\nactspan serve --results none/\n```", "none", id="service"),
    ],
)
def test_what_is_wrong_is_found(text: str, problem: str, reader: Reader) -> None:  # noqa: F811
    with pytest.raises(AssertionError, match=f"(?s){problem}"):
        follow(reader, text)


def test_what_is_right_passes(reader: Reader) -> None:  # noqa: F811
    follow(reader, "<!-- runs on: features a/ -->\n```sh\nX=a\nls $X\n```\n")
    follow(reader, "<!-- output -->\n```\nannotations.json ... features\n```\n")
    follow(reader, "```sh\ncat $X/dataset.toml > b\n```\n")
    follow(reader, "```python\nfrom pathlib import Path\n```\n")
    follow(reader, "```python\nprint(Path('b').read_text())\n```\n")
    follow(reader, "<!-- output: numbers vary -->\n```\n[features] channels = 1 ...\n```\n")
    follow(reader, "<!-- not run: needs a person; instead: actspan --version -->\n```sh\nx\n```\n")
    follow(reader, "<!-- file: c.json -->\n```json\n{}\n```\n")
    assert Path("c.json").read_text() == "{}\n"


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        pytest.param("", "none", id="no reason"),
        pytest.param("needs patience", "needs patience", id="unknown"),
        pytest.param("needs the package pytest", "could be", id="package"),
        pytest.param(f"needs the program {sys.executable}", "could", id="program"),
    ],
)
def test_marks_without_a_good_reason_are_refused(reason: str, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        check_reason(reason)
    check_reason("needs the program no-such-program")
    check_reason(f"needs the program {sys.executable}; instead: true")


def test_commands_cannot_hide_in_a_block_without_a_language() -> None:
    with pytest.raises(AssertionError, match=r"made-up.md:3: a block of commands"):
        blocks(PAGE, "text\n\n```\nactspan demo\n```\n")
