"""Wrong usage: one line, the nearest name, exit code 2."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from actspan.cli import COMMANDS, main
from actspan.cli.options import command as make_command


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with what the commands name."""
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
            "invalid value for '--preset': 'publishd' is not one of 'published', 'default', "
            "'jjboy2020', 'jjboy2019', 'mmaction2', 'paddle' (did you mean 'published'?)",
            id="choice",
        ),
        pytest.param("pack", "missing argument 'DATASET'", id="missing"),
        pytest.param("train --dataset", "option '--dataset' requires an argument", id="no-value"),
        pytest.param("verify b --subset s", "--subset needs --dataset", id="without-effect"),
        pytest.param(
            "deploy b", "missing option '--target'. Choose from: ascend, tensorrt, openvino",
            id="missing-choice",
        ),
        pytest.param(
            "staged run s --net tme --model m",
            "invalid value for '--net': 'tme' is not one of 'tem', 'pem', 'bmn' (did you mean "
            "'tem'?)",
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
    command = words.split()[0] if words.split()[0] in COMMANDS else ""
    assert help_command.startswith(f"actspan {command}".rstrip())
    assert help_command.endswith(" --help")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--model x propose v.mp4", "--model belongs after the command: actspan propose --model x"),
        ("--model=x propose v", "--model belongs after the command: actspan propose --model=x"),
        ("--json doctor", "--json belongs after the command: actspan doctor --json"),
        ("--out report propose v", "--out belongs after the command: actspan propose --out report"),
        ("staged --net tem run s", "--net belongs after the command: actspan staged run --net tem"),
    ],
)
def test_an_option_before_its_command(words: str, line: str) -> None:
    done = CliRunner().invoke(main, shlex.split(words))
    command = line.partition(": ")[2].partition(" --")[0]
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"error: {line}; see {command} --help\n"


def test_an_option_that_no_command_has() -> None:
    done = CliRunner().invoke(main, ["--nope", "doctor"])
    assert done.stderr.startswith("error: no such option '--nope'")


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
        pytest.param(
            "deploy b --target openvino --length 50",
            "--length: no effect on a bundle, which has both a preset and a length",
            id="deploy-length",
        ),
        pytest.param(
            "deploy b --target openvino --preset paddle",
            "--preset: no effect on a bundle, which has both a preset and a length",
            id="deploy-preset",
        ),
        pytest.param(
            "propose --model m --dataset d --out o --top-labels 3",
            "--top-labels: no effect without --labels-from or --detections",
            id="propose-labels",
        ),
        pytest.param(
            "propose --model m --dataset d --out o --backbone onnx:x --idle 3",
            "--backbone, --idle: no effect with --dataset",
            id="propose-dataset",
        ),
        pytest.param(
            "evaluate d --ground-truth d --task detection --max-proposals 9 --plot x.png",
            "--max-proposals, --plot: no effect with --task detection",
            id="evaluate-detection",
        ),
        pytest.param(
            "pack d --verify --length 10 --force",
            "--length, --force: no effect with --verify",
            id="pack-verify",
        ),
        pytest.param(
            "compile b --target openvino --soc Ascend310",
            "--soc: no effect on openvino",
            id="compile-soc",
        ),
        pytest.param(
            "compile b --target ascend --calibrate d",
            "--calibrate: no effect without --precision int8",
            id="compile-calibrate",
        ),
        pytest.param("export b --io fp16", "--io: no effect without --passes fp16", id="export-io"),
        pytest.param(
            "export b --passes fold-scale --calibrate d",
            "--calibrate: no effect without --passes int8",
            id="export-calibrate",
        ),
        pytest.param(
            "compare x --rounds 9", "--rounds: no effect without --run-a and --run-b", id="compare"
        ),
        pytest.param(
            "compare --run-a a --run-b b --chips 2",
            "--chips: no effect with --run-a and --run-b",
            id="compare-commands",
        ),
        pytest.param(
            "serve --results d --hours 3 --batch 4",
            "--hours, --batch: no effect without --model",
            id="serve",
        ),
        pytest.param(
            "demo --training-set 4 --videos 9",
            "--videos: no effect with --training-set",
            id="demo",
        ),
    ],
)  # fmt: skip
def test_options_without_effect_are_refused(words: str, line: str, place: Path) -> None:
    done = CliRunner().invoke(main, shlex.split(words))
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {line}; see ")


@pytest.mark.parametrize(
    "words",
    [
        "train --dataset d --out -",
        "propose --model b --dataset d --out -",
        "report d --out -",
        "extract d --out -",
        "pack d --out -",
        "annotate convert d -",
        "bench --csv -",
    ],
)
def test_a_dash_is_no_path(words: str, place: Path) -> None:
    done = CliRunner().invoke(main, shlex.split(words))
    assert done.exit_code == 2
    assert "'-' (standard input or output) is not accepted here: give a path; see " in done.stderr
    assert not Path("-").exists()


def test_a_thread_that_cannot_start_is_one_line() -> None:
    @make_command()
    def command() -> None:
        raise RuntimeError("can't start new thread")

    done = CliRunner().invoke(command)
    assert done.exit_code == 1
    assert done.stderr == "error: out of memory: can't start new thread\n"
