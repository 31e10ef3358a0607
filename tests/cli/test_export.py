from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from actspan import Bundle, PemConfig, PipelineConfig, TemConfig
from actspan.cli import main
from actspan.config.stages import FeatureSpec
from actspan.model.manifest import Source
from actspan.model.weights import weight_shapes

TEM, PEM = TemConfig(channels=5, hidden=4, length=20), PemConfig(hidden=6)


def actspan(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    tem, pem = (
        {name: np.full(shape, 0.1, np.float32) for name, shape in weight_shapes(config).items()}
        for config in (TEM, PEM)
    )
    return Bundle.create(
        tmp_path / "b",
        config=PipelineConfig(tem=TEM, pem=PEM),
        features=FeatureSpec(),
        source=Source(),
        weights={"tem": tem, "pem": pem},
    )


def test_prints_a_table(bundle: Bundle) -> None:
    pytest.importorskip("onnx")
    result = actspan(bundle.path)
    assert result.exit_code == 0
    for word in ("TEM", "tem.onnx", "PEM", "pem.onnx", "17", "NumPy", "torch"):
        assert word in result.stdout
    assert {"tem.onnx", "pem.onnx"} <= Bundle.load(bundle.path).files.keys()


def test_says_where_torch_is_absent(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert actspan(bundle.path).stdout.count("not installed") == 2


def test_answers_as_json(bundle: Bundle) -> None:
    pytest.importorskip("onnx")
    answer = json.loads(actspan(bundle.path, "--json", "--batch", 2, "--length", 30).stdout)
    assert [f["net"] for f in answer["files"]] == ["tem", "pem"]
    assert all(f["numpy_difference"] < 1e-5 for f in answer["files"])
    assert all(f["opset"] == 17 and f["size"] > 0 for f in answer["files"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("tem.safetensors", "tem.safetensors: damaged", id="damaged"),
        pytest.param("model.toml", "model.toml", id="settings"),
    ],
)
def test_failures_are_one_line(bundle: Bundle, name: str, message: str) -> None:
    (bundle.path / name).write_bytes(b"x")
    result = actspan(bundle.path)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_bad_usage(bundle: Bundle) -> None:
    assert actspan().exit_code == 2
    assert actspan(bundle.path, "--batch", 0).exit_code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--io", "fp16"], "--io: no effect without --passes fp16", id="io"),
        pytest.param(
            ["--calibrate", ".", "--passes", "fp16"],
            "--calibrate: no effect without --passes int8",
            id="calibrate",
        ),
        pytest.param(["--passes", " , "], "--passes names no pass", id="no-names"),
    ],
)
def test_options_without_effect_are_refused(
    bundle: Bundle, options: list[str], message: str
) -> None:
    result = actspan(bundle.path, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "tem.onnx" not in Bundle.load(bundle.path).files


def test_sizes_need_a_tem(bundle: Bundle, tmp_path: Path) -> None:
    pem = Bundle.create(
        tmp_path / "pem",
        config=bundle.config,
        features=FeatureSpec(),
        source=Source(),
        weights={"pem": bundle.weights("pem")},
    )
    result = actspan(pem.path, "--batch", 2)
    assert result.exit_code == 2
    assert "--batch: no effect without a TEM or BMN in" in " ".join(result.stderr.split())
