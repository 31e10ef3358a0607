from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from actspan.cli.tables import print_table, problem_table, row_table
from actspan.data.problems import Problem


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
