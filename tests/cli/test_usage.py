"""Wrong usage: one line, the nearest name, exit code 2."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from actspan.cli import main


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the commands name."""
    monkeypatch.chdir(tmp_path)
    for name in ("d", "b", "s", "m"):
        (tmp_path / name).mkdir()
    (tmp_path / "b.pth").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param("trian", "no such command 'trian' (did you mean 'train'?)", id="command"),
        pytest.param(
            "train --dataset d --out o --preset publishd",
            "invalid value for '--preset': 'publishd' is not one of 'published', 'default' "
            "(did you mean 'published'?)",
            id="choice",
        ),
        pytest.param("propose", "missing option '--model'", id="missing"),
        pytest.param("verify b --subset s", "--subset needs --dataset", id="without-effect"),
        pytest.param(
            "deploy b", "missing option '--target'. Choose from: ascend, tensorrt, openvino",
            id="missing-choice",
        ),
        pytest.param(
            "staged run s --net tme --model m",
            "invalid value for '--net': 'tme' is not one of 'tem', 'pem' (did you mean 'tem'?)",
            id="in-a-group",
        ),
    ],
)  # fmt: skip
def test_one_line(words: str, line: str, place: Path) -> None:
    done = CliRunner().invoke(main, shlex.split(words))
    assert done.exit_code == 2
    assert done.stdout == ""
    message, _, help_command = done.stderr.removesuffix("\n").rpartition("; see ")
    assert message == f"error: {line}"
    assert help_command.startswith("actspan")
    assert help_command.endswith("--help")


def test_a_group_without_a_command_shows_its_help() -> None:
    done = CliRunner().invoke(main, ["staged"])
    assert "tem-inputs" in done.output


@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param(
            "deploy b.pth --target openvino --out o --soc Ascend310",
            "--soc: no effect on openvino",
            id="deploy-soc",
        ),
        pytest.param(
            "deploy b.pth --target openvino --out o --calibrate d --run r",
            "--calibrate: no effect without --precision int8",
            id="deploy-calibrate",
        ),
        pytest.param(
            "deploy b.pth --target openvino --out o --run r", "--run: no effect without --evaluate",
            id="deploy-run",
        ),
        pytest.param(
            "deploy b.pth --target openvino --out o --subset all",
            "--subset: no effect without --dataset or --evaluate",
            id="deploy-subset",
        ),
    ],
)  # fmt: skip
def test_options_without_effect_are_refused(words: str, line: str, place: Path) -> None:
    done = CliRunner().invoke(main, shlex.split(words))
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {line}; see ")
