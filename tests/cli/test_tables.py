from __future__ import annotations

import pytest

from actspan.cli.tables import print_figures, print_problem_table, print_table
from actspan.core.problems import Problem


@pytest.mark.parametrize("width", [40, 80])
def test_figures_are_never_cut(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    values = {f"{tiou / 100:.2f}": 100.0 - tiou / 7 for tiou in range(50, 100, 5)}
    values["average"] = 33.21
    print_figures(values, digits=2)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= width
    assert {*values, *(f"{value:.2f}" for value in values.values())} == set(text.split())


def test_wide_tables_become_blocks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("actspan.cli.tables._WIDTH", 80)
    header = ["variant", "net", *(f"column{i}" for i in range(9))]
    figures = [f"{i}.2345e-10" for i in range(9)]
    rows = [["openvino:bf16", net, *figures] for net in ("TEM", "PEM")]
    print_table(header, rows, title="Differences of each variant, in percent")
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "Differences of each variant, in percent"
    words = " ".join(lines).split()
    assert max(map(len, lines)) <= 80
    assert words.count("TEM") == words.count("PEM") == 3  # each block tells which row is which
    assert {*header, *figures} <= set(words)


def test_many_kinds_are_a_table_and_names_are_folded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    alike = [Problem(f"v{i}", f"set/v{i}.npy", "the file is empty", "fix") for i in range(8)]
    name = "a-file-with-a-long-name" * 4
    others = [Problem("other", name, "no features" + "!" * i, "fix") for i in range(9)]
    print_problem_table([*alike, *others])
    text = capsys.readouterr().err
    assert max(map(len, text.splitlines())) <= 80
    assert "8 (v0, v1" in text
    assert text.count("set/v") == 1
    assert text.count(" fix ") == 10
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
def test_one_kind_is_one_line(
    problems: list[Problem], wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_problem_table(problems)
    assert capsys.readouterr().err == wanted + "\n"
