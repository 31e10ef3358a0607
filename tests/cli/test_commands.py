"""Common behaviour of all commands."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from actspan.cli import COMMANDS, main
from tests.conftest import ROOT
from tests.examples import write_bundle, write_dataset


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(name: str) -> None:
    answer = CliRunner().invoke(main, [name, "--help"])
    assert answer.exit_code == 0
    assert f"actspan {name}" in answer.output.partition("Example:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    commands = command.commands.values() if isinstance(command, click.Group) else [command]
    options = [p for each in commands for p in each.params if isinstance(p, click.Option)]
    assert options or name == "completion"
    assert [option.name for option in options if not option.help] == []


def test_bad_usage_exits_with_2() -> None:
    assert CliRunner().invoke(main, ["propose"]).exit_code == 2
    assert CliRunner().invoke(main, ["fly"]).exit_code == 2


def test_errors_are_one_message_and_exit_code_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "actspan", "propose", "--model", str(tmp_path)]
    command += ["--dataset", str(tmp_path), "--out", str(tmp_path / "x.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "is not a bundle" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "propose --model . --dataset . --out x --scores FILE",
        "propose --model . --dataset . --out x --labels-from FILE",
        "propose --model FILE --dataset . --out x",
        "propose --model . --dataset FILE --out x",
        "train --out x --dataset FILE",
        "train --out x --dataset . --config FILE",
        "deploy FILE --target openvino --out x",
        "deploy . --target openvino --evaluate FILE",
        "verify FILE",
        "verify . --dataset FILE",
        "export FILE",
        "export . --calibrate FILE",
        "compile FILE --target openvino",
        "pack FILE --out x",
        "evaluate FILE --ground-truth .",
        "evaluate . --ground-truth FILE",
        "report FILE --out x.html",
        "label FILE --model . --dataset .",
        "staged run FILE --net tem --model .",
        "staged tem-outputs . --dumps FILE",
        "serve --model FILE",
        "serve --results FILE",
        "extract FILE --out x",
    ],
)
def test_a_missing_input_is_one_line_that_names_its_neighbour(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-videos").mkdir()
    done = CliRunner().invoke(main, words.replace("FILE", "my-vidoes").split())
    line, _, rest = done.stderr.partition("\n")
    assert (done.exit_code, rest) == (1, "")
    assert line.startswith("error: my-vidoes: ")
    assert line.endswith("(did you mean 'my-videos'?)")


def test_help_is_light() -> None:
    code = (
        "import sys; from actspan.cli import main; main(['--help'], standalone_mode=False);"
        "print([m for m in ('numpy', 'numba', 'torch', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("script", "make", "name"),
    [("generate_cli", "reference", "cli.md"), ("generate_settings", "page", "settings.md")],
)
def test_the_references_in_the_docs_are_current(script: str, make: str, name: str) -> None:
    path = ROOT / "docs" / f"{script}.py"
    spec = importlib.util.spec_from_file_location(script, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert getattr(module, make)() == written, "run: make docs"
    assert "|  |" not in written, "a setting has no meaning: add a comment to its field"


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("propose --model BUNDLE --dataset DATA --out OUT.xlsx", "a run"),
        ("train --dataset DATA --out OUT.json", "a bundle"),
        ("convert BUNDLE/tem.safetensors --out OUT.onnx", "a bundle"),
        ("deploy BUNDLE --target ascend --print --out OUT.om", "a bundle"),
        ("pack DATA --out OUT.arrow", "a store"),
        ("staged tem-inputs --model BUNDLE --dataset DATA --out OUT.bin", "a stage"),
        ("extract DATA --out OUT.npy", "a dataset"),
    ],
)
def test_a_folder_named_as_a_file_is_refused_before_work(
    tmp_path: Path, command: str, what: str
) -> None:
    write_bundle(tmp_path / "bundle")
    data = write_dataset(tmp_path / "data")
    (data / "film.mp4").write_bytes(b"no film")
    places = {"BUNDLE": "bundle", "DATA": "data", "OUT": "out"}
    for name, path in places.items():
        command = command.replace(name, str(tmp_path / path))
    out = command.split()[-1]
    done = CliRunner().invoke(main, command.split())
    assert done.exit_code == 1
    suffix = Path(out).suffix
    start = f"error: {out}: {what} is a folder, and {suffix} is the suffix of a file"
    assert done.stderr.splitlines()[-1].startswith(start)
    assert len(done.stderr.splitlines()) == 1
    assert not Path(out).exists()


def test_a_command_leaves_no_files_of_telemetry(tmp_path: Path) -> None:
    """Check that ONNX Runtime writes nothing for its vendor."""
    kept = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "actspan", "backends"], env=kept | home, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*Microsoft*"))
