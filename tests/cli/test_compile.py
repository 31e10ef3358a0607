from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from actspan import Bundle
from actspan.cli import main
from tests.deploy.compilers import atc_on_path, only
from tests.examples import write_bundle


def actspan(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["compile", *map(str, arguments)])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "b").path


def test_openvino(bundle: Path) -> None:
    pytest.importorskip("openvino")
    result = actspan(bundle, "--target", "openvino")
    assert result.exit_code == 0, result.output
    for part in ("tem.xml", "pem.xml", "video:?x6x?", "--backend openvino"):
        assert part in result.stdout
    assert "tem.xml" in Bundle.load(bundle).files


def test_openvino_as_json(bundle: Path) -> None:
    pytest.importorskip("openvino")
    result = actspan(bundle, "--target", "openvino", "--precision", "fp16", "--json")
    answer = json.loads(result.stdout)
    assert (answer["target"], answer["precision"]) == ("openvino", "fp16")
    assert [file["file"] for file in answer["files"]] == ["tem.fp16.xml", "pem.fp16.xml"]
    assert answer["files"][0]["shapes"] == {"video": "?x6x?"}


def test_ascend_with_atc(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atc_on_path(monkeypatch, tmp_path / "bin")
    result = actspan(bundle, "--target", "ascend", "--batch", 4, "--soc", "Ascend310P3")
    assert result.exit_code == 0, result.output
    assert "video:4x6x20" in result.stdout
    assert "ATC start" not in result.output  # quiet in a pipe; the log has it
    assert "--soc_version=Ascend310P3" in (bundle / "tem.fp16.bs4.om").read_text()


def test_ascend_without_atc(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    monkeypatch.setattr("actspan.deploy.atc._SET_ENV", ())
    result = actspan(bundle, "--target", "ascend")
    assert result.exit_code == 1
    assert "atc is not on PATH" in result.stderr
    assert "Traceback" not in result.output
    assert not list(bundle.glob("*ascend*"))  # found before anything was written


def test_print_writes_a_script_and_record_takes_what_it_made(bundle: Path) -> None:
    result = actspan(bundle, "--target", "ascend", "--batch", 1, "--print")
    assert result.exit_code == 0, result.output
    assert result.stdout == (bundle / "compile-ascend.sh").read_text()
    assert '--input_shape="video:1,6,20"' in result.stdout
    lost = actspan(bundle, "--target", "ascend", "--batch", 1, "--record")
    assert lost.exit_code == 1
    assert "tem.fp16.bs1.om, pem.fp16.bs1.om missing" in lost.stderr
    for net in ("tem", "pem"):
        (bundle / f"{net}.fp16.bs1.om").write_bytes(b"om")
    taken = actspan(bundle, "--target", "ascend", "--batch", 1, "--record", "--json")
    assert len(json.loads(taken.stdout)["files"]) == 2
    assert "tem.fp16.bs1.om" in Bundle.load(bundle).files


def test_the_script_as_json(bundle: Path) -> None:
    answer = json.loads(actspan(bundle, "--target", "tensorrt", "--print", "--json").stdout)
    assert answer["script"].endswith("compile-tensorrt.sh")
    assert "trtexec --onnx=tem.scale.fp16.onnx" in answer["text"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--target", "fast"], 2, "'fast' is not one of", id="target"),
        pytest.param(
            ["--target", "ascend", "--batch", 0], 2, "0 is out of range: at least 1", id="batch"
        ),
        pytest.param(
            ["--target", "ascend", "--precision", "int8"], 1, "no precision 'int8'", id="precision"
        ),
        pytest.param(
            ["--target", "openvino", "--precision", "int8"], 1, "--calibrate DATASET", id="int8"
        ),
        pytest.param(
            ["--target", "ascend", "--print", "--record"], 2, "--record comes after", id="both"
        ),
    ],
)
def test_bad_usage(bundle: Path, arguments: list[object], code: int, message: str) -> None:
    result = actspan(bundle, *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.output
