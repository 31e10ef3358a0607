from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from actspan.cli import main
from actspan.runtime.backends import BACKENDS
from tests.examples import write_bundle, write_dataset


def actspan(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["backends", *arguments])


def test_lists_every_backend() -> None:
    result = actspan()
    assert result.exit_code == 0
    for name in BACKENDS:
        assert name in result.stdout
    assert "verified: run by this project" in result.stdout


def test_answers_as_json() -> None:
    rows = {row["backend"]: row for row in json.loads(actspan("--json").stdout)}
    assert list(rows) == list(BACKENDS)
    core = rows["onnxruntime"]
    assert core["installed"]
    assert core["usable"]
    assert core["verified"]
    assert core["why_not"] is None
    for row in rows.values():
        assert row["usable"] == (row["why_not"] is None)
        assert not row["usable"] or row["version"]
    assert not rows["ascend"]["verified"]
    assert not rows["tensorrt"]["verified"]


def test_propose_says_which_it_took_and_why(tmp_path: Path) -> None:
    bundle, dataset = write_bundle(tmp_path / "b"), write_dataset(tmp_path / "d")
    command = ["propose", "--model", str(bundle.path), "--dataset", str(dataset), "--out"]
    asked = CliRunner().invoke(
        main, [*command, str(tmp_path / "x.json"), "--backend", "onnxruntime"]
    )
    assert asked.exit_code == 0, asked.output
    assert "backend onnxruntime (as requested)" in asked.stderr
    auto = CliRunner().invoke(main, [*command, str(tmp_path / "y.json"), "--json"])
    answer = json.loads(auto.stdout)
    assert answer["backend"] in BACKENDS
    assert "installed and fits this bundle" in answer["backend_reason"]


def test_an_absent_backend_is_one_line(tmp_path: Path) -> None:
    bundle, dataset = write_bundle(tmp_path / "b"), write_dataset(tmp_path / "d")
    command = ["propose", "--model", str(bundle.path), "--dataset", str(dataset)]
    command += ["--out", str(tmp_path / "x.json"), "--backend", "onnxruntime:rknpu"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert "has no rknpuExecutionProvider" in done.stderr
    assert "Traceback" not in done.output
