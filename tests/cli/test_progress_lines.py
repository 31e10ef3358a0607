"""Plain lines of progress of commands that run without a terminal."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from actspan.cli import console, main
from actspan.cli.console import progress_line, progress_lines
from tests.examples import write_bundle, write_dataset


@pytest.mark.parametrize(
    ("state", "line"),
    [
        pytest.param(("loading", 0, 0, "", 30.2), "loading: 0:30 passed", id="no-steps"),
        pytest.param(("pack", 0, 9, "", 60), "pack: 0 of 9, 1:00 passed", id="no-note"),
        pytest.param(
            ("training TEM", 450, 3000, "epoch 3/20, loss 0.6100", 90.9),
            "training TEM: 450 of 3,000, epoch 3/20, loss 0.6100, 1:30 passed",
            id="all",
        ),
        pytest.param(("verify", 1, 2, "", 36061), "verify: 1 of 2, 10:01:01 passed", id="hours"),
    ],
)
def test_a_line(state: tuple[Any, ...], line: str) -> None:
    assert progress_line(*state) == line


def wait_for(lines: list[str], start: str) -> None:
    deadline = time.perf_counter() + 20
    while not any(line.startswith(start) for line in lines):
        assert time.perf_counter() < deadline, lines
        time.sleep(0.002)


def test_lines_come_without_reports_and_give_the_last_one() -> None:
    lines: list[str] = []
    with progress_lines(print_line=lines.append, every=0.01) as report:
        wait_for(lines, "loading: 0:00 passed")
        report("pack", 1, 24)
        report("pack", 2, 24)
        wait_for(lines, "pack: 2 of 24, 0:0")
    count = len(lines)
    time.sleep(0.05)
    assert len(lines) == count, "lines after the end"


def test_a_short_command_prints_none() -> None:
    lines: list[str] = []
    with progress_lines(print_line=lines.append) as report:
        report("pack", 1, 24)
    assert lines == []


def test_lines_end_with_a_block_that_fails() -> None:
    with pytest.raises(ZeroDivisionError), progress_lines() as report:
        report("pack", 1 // 0, 24)
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("progress") / "b").path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("progress") / "d", videos=6)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param("propose --model BUNDLE --dataset DATA --out OUT", "loading: ", id="propose"),
        pytest.param("pack DATA --out OUT", "loading: ", id="pack"),
        pytest.param("verify BUNDLE --backends onnxruntime", "checkpoint: ", id="verify"),
        pytest.param("deploy BUNDLE --target openvino --out OUT", "verify: ", id="deploy"),
        pytest.param("evaluate RUN --ground-truth DATA", "evaluate: ", id="evaluate"),
        pytest.param(
            "train --dataset DATA --out OUT --epochs 2 --length 20 --tem-hidden 8 --pem-hidden 8",
            "training BSN: ",
            id="train",
        ),
    ],
)
def test_commands_print_lines(
    words: str,
    line: str,
    bundle: Path,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if words.startswith("train"):
        pytest.importorskip("torch", reason="needs the extra 'train'")
    if words.startswith("deploy"):
        pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    run = tmp_path / "run"
    places = {"BUNDLE": bundle, "DATA": dataset, "OUT": tmp_path / "out", "RUN": run}
    if "RUN" in words:
        made = ["propose", "--model", bundle, "--dataset", dataset, "--out", run]
        assert CliRunner().invoke(main, [str(word) for word in made]).exit_code == 0
    monkeypatch.setattr(console, "LINE_EVERY", 0 if "RUN" in words else 0.0005)
    line_words = [*(str(places.get(word, word)) for word in words.split()), "--json"]
    done = CliRunner().invoke(main, line_words)
    assert done.exit_code == 0, done.output
    json.loads(done.stdout)  # nothing else is on the standard output
    assert [found for found in done.stderr.splitlines() if found.startswith(line)], done.stderr
