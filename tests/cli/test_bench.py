from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from actspan.cli import main
from tests.bench.small import lower_the_roof, with_wrong_graph
from tests.examples import write_bundle

QUICK = ("--videos", 6, "--batch", 2, "--seconds", 0.01, "--backend", "onnxruntime")
SYNTHETIC = (*QUICK, "--channels", 8, "--length", 20)


@pytest.fixture(autouse=True)
def _low(monkeypatch: pytest.MonkeyPatch) -> None:
    lower_the_roof(monkeypatch)


def actspan(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_prints_tables_and_writes_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = actspan(
        *("bench", *SYNTHETIC),
        *("--json", tmp_path / "r.json", "--csv", tmp_path / "r.csv"),
        *("--markdown", tmp_path / "r.md", "--summary", tmp_path / "logs"),
        *("--roofline", tmp_path / "r.png"),
    )
    assert done.exit_code == 0, done.output
    for words in (
        "SYNTHETIC networks",
        "x of one by one: ",
        "latency at batch 1",
        "noise: a fixed",
    ):
        assert words in done.stdout
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["format"] == "actspan-bench-1"
    assert "--json r.json" in result["command"]
    assert str(tmp_path) not in result["command"]
    assert (tmp_path / "r.png").stat().st_size > 0
    assert (tmp_path / "r.csv").read_text().startswith("name,scope,batch,")
    assert "do not edit it" in (tmp_path / "r.md").read_text()
    assert (tmp_path / "logs" / "pem" / "perf_vision_batchsize_2_device_0.txt").is_file()
    assert all(line.startswith("written: ") for line in done.stderr.splitlines())

    again = actspan("bench", *SYNTHETIC, "--json", tmp_path / "again.json")
    assert again.exit_code == 0
    assert again.stderr.splitlines() == [f"written: {tmp_path / 'again.json'}"]
    compared = actspan("compare", tmp_path / "r.json", tmp_path / "again.json")
    assert compared.exit_code == 0
    assert "again / r" in compared.stdout


def test_a_wrong_answer_exits_with_1(tmp_path: Path) -> None:
    model = with_wrong_graph(tmp_path / "b")
    done = actspan("bench", "--model", model, *QUICK, "--variant", "wrong")
    assert done.exit_code == 1
    assert "WRONG: all, end to end, batch 2" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--subset", "x"], 2, "--subset needs --dataset", id="subset"),
        pytest.param(["--model", ".", "--length", 5], 2, "of synthetic networks", id="length"),
        pytest.param(["--dataset", ".", "--snippets", 5], 2, "of synthetic videos", id="snippets"),
        pytest.param(["--batch", 0], 2, "at least 1", id="batch"),
        pytest.param(["--roofline", "r.doc"], 1, "must end in one of", id="picture"),
        pytest.param(["--json", "none/r.json"], 1, "does not exist", id="folder"),
        pytest.param(["--model", "."], 1, "not a bundle", id="model"),
    ],
)
def test_bad_usage(
    arguments: list[object],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    done = actspan("bench", *arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.output


def test_a_batch_that_is_too_large(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    done = actspan("bench", "--model", bundle.path, "--videos", 3, "--batch", 4)
    assert done.exit_code == 1
    assert "take a smaller --batch, or more --videos" in done.stderr
