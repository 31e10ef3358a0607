"""Names from files reach a terminal without characters that would control it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import actspan.cli
from actspan import Proposals, Video
from actspan.cli import main
from actspan.cli.tables import print_problem_table, print_segments
from actspan.core.problems import Problem
from actspan.data.annotations.formats import write_annotations
from actspan.data.result_writers import write_result

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
NAMES = ["a\x1b]0;title\x07b", "a\x1b[2Jb", "a\x9b31mb", "a\u202eb", "a\rb", "a\x7fb"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of annotations and a result, whose names control a terminal."""
    segments = [[0.0, 10.0], [0.0, 10.0]]
    videos = [Video(name, 60.0, "validation", segments, (name, name)) for name in NAMES]
    write_annotations(tmp_path / "annotations.json", videos)
    found = Proposals([0.0, 0.0], [10.0, 10.0], [0.9, 0.1], unit="seconds")
    write_result(tmp_path / "result.json", {**dict.fromkeys(NAMES[1:], found), "x\x1by": found})
    return tmp_path


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "line",
    [
        ["evaluate", "{}/result.json", "--ground-truth", "{}"],
        ["evaluate", "{}/result.json", "--ground-truth", "{}", "--labels", "a\x1b*"],
        ["annotate", "convert", "{}/annotations.json", "{}/out.csv"],
        ["annotate", "export", "{}/result.json", "{}/sessions", "--to", "elan"],
        ["label", "{}/result.json", "--labels-from", "{}/none\x1b[2J.json", "--out", "{}/d.json"],
        ["propose", "--dataset", "{}", "--out", "{}/run\x1b[2J"],
        ["no\x1b[2Jcommand"],
    ],
    ids=lambda line: " ".join(line[:2]).encode("ascii", "backslashreplace").decode(),
)
def test_no_name_controls_the_terminal(line: list[str], as_json: bool, folder: Path) -> None:
    words = [word.replace("{}", str(folder)) for word in line]
    done = CliRunner().invoke(main, [*words, "--json"] if as_json else words)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert done.output
    assert not CONTROL.search(done.output.replace("\r\n", "\n"))
    if as_json and done.stdout:
        assert json.loads(done.stdout)


def test_tables_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    found = Proposals([1.0], [2.0], [0.5], unit="seconds")
    print_segments({NAMES[1]: found}, {NAMES[1]: [NAMES[0]]})
    faults = [Problem(name, name, f"{name} {i}{'x' * i}", name) for i, name in enumerate(NAMES * 2)]
    print_problem_table(faults)
    printed = capsys.readouterr()
    assert "a\\u001b[2Jb" in printed.out
    assert "\\u" in printed.err
    assert not CONTROL.search(printed.out + printed.err)


def test_commands_print_through_the_functions_that_escape() -> None:
    plain = {"console.py", "help.py", "completion.py", "compile.py", "propose_output.py"}
    folder = Path(actspan.cli.__file__).parent
    using = {file.name for file in folder.glob("*.py") if "click.echo(" in file.read_text()}
    assert using <= plain
