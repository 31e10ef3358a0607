from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

from actspan import Bundle
from actspan.cli import main
from actspan.model.bsn.graph import build_pem
from actspan.runtime.opening import check_backend
from tests.examples import write_bundle, write_dataset


def actspan(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("verify") / "small")


def test_prints_tables(bundle: Bundle, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d")
    result = actspan(
        bundle.path, "--dataset", dataset, "--subset", "validation", "--backends", "onnxruntime"
    )
    assert result.exit_code == 0, result.output
    for word in (
        "checkpoint",
        "onnxruntime",
        "logit max",
        "AR@100",
        "every variant is within the limits",
    ):
        assert word in result.stdout


def test_answers_as_json(bundle: Bundle) -> None:
    answer = json.loads(actspan(bundle.path, "--backends", " onnxruntime,", "--json").stdout)
    assert answer["holds"]
    assert answer["bundle"] == "small"
    (variant,) = answer["variants"]
    assert variant["outputs"]["tem"]["max"] < 1e-5
    assert variant["proposals"]["same"] >= 0.999
    assert variant["recall"] is None
    assert answer["limits"]["float32"]["output"] == 1e-5


def test_writes_a_page(bundle: Bundle, tmp_path: Path) -> None:
    page = tmp_path / "accuracy.md"
    assert actspan(bundle.path, "--backends", "onnxruntime", "--markdown", page).exit_code == 0
    text = page.read_text()
    assert "`actspan verify small/ --backends onnxruntime --markdown accuracy.md`" in text
    assert "| onnxruntime |" in text


def test_nothing_that_runs_is_no_table(bundle: Bundle) -> None:
    if check_backend("tensorrt").installed:
        pytest.skip("TensorRT is here")
    result = actspan(bundle.path, "--backends", "tensorrt")
    assert result.exit_code == 1
    assert "not installed: pip install tensorrt" in result.stderr
    assert "error: nothing could be run" in result.stderr
    assert "variant" not in result.stdout


def test_a_broken_variant_exits_with_1(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    weights = bundle.weights("pem")
    weights["fc2.bias"] = weights["fc2.bias"] + 1
    wrong = build_pem(weights)
    bundle.add_file("pem.wrong.onnx", lambda path: onnx.save(wrong, path))
    result = actspan(bundle.path, "--backends", "onnxruntime")
    assert result.exit_code == 1
    assert "onnxruntime, wrong: PEM differs by" in result.stderr
    assert "error: 1 variant did not run, or differed by more than" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--backends", "fast"], 1, "backend 'fast' is not known", id="unknown"),
        pytest.param(["--subset", "validation"], 2, "--subset needs --dataset", id="subset"),
    ],
)
def test_bad_usage(bundle: Bundle, arguments: list[str], code: int, message: str) -> None:
    result = actspan(bundle.path, *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.output
