"""Commands that write a folder refuse to start while another process writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from actspan.cli import main
from tests.examples import write_inputs
from tests.locks import locked_elsewhere


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a dataset, a model and a recording."""
    folder = write_inputs(tmp_path_factory.mktemp("inputs"))
    (folder / "a.mp4").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("line", "lock"),
    [
        ("train --dataset set --out OUT --epochs 1", "OUT"),
        ("pack set --out OUT", "OUT"),
        ("extract a.csv --out OUT", "OUT/"),
        ("propose --model model --dataset set --out OUT", "OUT.partial/"),
        ("propose a.mp4 --clips OUT", "OUT/"),
        ("convert model/tem.safetensors --out OUT", "OUT"),
        ("staged tem-inputs --model model --dataset set --out OUT", "OUT"),
        ("deploy model --target openvino --out OUT", "OUT"),
    ],
)
def test_the_second_command_is_refused_at_once(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, lock: str
) -> None:
    if line.startswith("train"):
        pytest.importorskip("torch", reason="needs the extra 'train'")
    monkeypatch.chdir(inputs)
    target = Path(lock.replace("OUT", str(tmp_path / "out")))
    words = [str(tmp_path / "out") if word == "OUT" else word for word in line.split()]
    with locked_elsewhere(target, inside=lock.endswith("/")) as other:
        done = CliRunner().invoke(main, words)
        wanted = f"{target}: process {other.pid} on "
        assert (done.exit_code, wanted in done.stderr) == (1, True), done.output
        assert "wait until that ends" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_settings_are_tuned_into_one_file_at_a_time(inputs: Path, tmp_path: Path) -> None:
    line = ["--model", inputs / "model", "--dataset", inputs / "set", "--out", tmp_path / "run"]
    assert CliRunner().invoke(main, ["propose", *map(str, line)]).exit_code == 0
    file = tmp_path / "settings.toml"
    line = [tmp_path / "run", "--ground-truth", inputs / "set", "--out", file]
    with locked_elsewhere(file):
        done = CliRunner().invoke(main, ["tune", *map(str, line)])
    assert (done.exit_code, "settings.toml: process" in done.stderr) == (1, True), done.output
