from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from actspan.cli.tables import print_problems, print_table, problem_table, row_table
from actspan.core.problems import Problem


def shown(what: RenderableType, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(what)
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 80])
def test_figures_are_never_cut(width: int) -> None:
    values = {f"{tiou / 100:.2f}": 100.0 - tiou / 7 for tiou in range(50, 100, 5)}
    values["average"] = 33.21
    text = shown(row_table(values, digits=2), width)
    assert max(map(len, text.splitlines())) <= width
    assert {*values, *(f"{value:.2f}" for value in values.values())} == set(text.split())


def test_wide_tables_become_blocks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("actspan.cli.tables._WIDTH", 80)
    header = ["variant", "net", *(f"column{i}" for i in range(9))]
    figures = [f"{i}.2345e-10" for i in range(9)]
    print_table(header, [["openvino:bf16", net, *figures] for net in ("TEM", "PEM")])
    lines = capsys.readouterr().out.splitlines()
    words = " ".join(lines).split()
    assert max(map(len, lines)) <= 80
    assert words.count("TEM") == words.count("PEM") == 3  # each block tells which row is which
    assert {*header, *figures} <= set(words)


def test_many_alike_are_one_row_and_names_are_folded() -> None:
    alike = [Problem(f"v{i}", f"set/v{i}.npy", "the file is empty", "mend") for i in range(8)]
    name = "a-file-with-a-long-name" * 4
    text = shown(problem_table([*alike, Problem("other", name, "no features", "mend")]))
    assert "8 (v0, v1" in text
    assert text.count("set/v") == 1
    assert text.count("mend") == 2
    assert "\u2026" not in text


@pytest.mark.parametrize(
    ("problems", "wanted"),
    [
        pytest.param(
            [Problem(v, f"{v}.pkl", ".pkl is not read", "write .npy") for v in ("one", "two")],
            ".pkl is not read (one.pkl and 1 more): write .npy; videos: 2 (one, two)",
            id="two of one kind",
        ),
        pytest.param(
            [Problem("", f"{f}.npy", "no video", f"rename '{f}.npy'") for f in "ab"],
            "no video (a.npy and 1 more): rename 'a.npy', for example",
            id="remedies that name files, no videos",
        ),
        pytest.param(
            [Problem("one", f"f.csv:{i}", f"segment [{i}, 1]", "fix it") for i in (2, 3)],
            "segment [2, 1], for example (f.csv:2 and 1 more): fix it; videos: 2 in 1 (one)",
            id="two in one video",
        ),
        pytest.param(
            [Problem("one", "f.csv", "empty", "fill it")],
            "one: empty (f.csv): fill it",
            id="one",
        ),
    ],
)
def test_one_kind_is_one_line(problems: list[Problem], wanted: str) -> None:
    stream = io.StringIO()
    print_problems(Console(file=stream, width=200), problems)
    assert stream.getvalue() == wanted + "\n"
    table = shown(problem_table([*problems, Problem("other", "x.npy", "bad", "replace it")]), 200)
    assert table.count("│") == 2 * 5  # two rows of four columns
