"""The commands of docs/deploy/, run on small synthetic data as far as no device is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples import write_bundle, write_dataset
from tests.pages import blocks, page, run


@pytest.fixture(autouse=True)
def _material(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_bundle(Path("bsn"))
    write_dataset(Path("my-videos"), videos=6)


def test_openvino() -> None:
    pytest.importorskip("nncf", reason="needs the extra 'openvino'")
    commands = blocks("deploy/openvino.md")
    assert commands.keys() == {"deploy", "precisions"}
    run(commands["deploy"])
    run(commands["precisions"])


def test_tensorrt() -> None:
    commands = blocks("deploy/tensorrt.md")
    assert commands.keys() == {"script"}
    run(commands["script"])
    text = Path("bsn/compile-tensorrt.sh").read_text()
    assert "--onnx=tem.scale.fp16.onnx --saveEngine=tem.fp16.engine --minShapes=video:1x" in text


def test_ascend() -> None:
    # `staged run` replaces the NPU's host.
    commands = blocks("targets/ascend.md")
    assert list(commands) == ["deploy", "record", "inputs", "between", "result"]
    run(commands["deploy"])
    assert "--output=tem.fp16.bs16" in Path("npu/compile-ascend.sh").read_text()
    for net in ("tem", "pem"):
        for batch in (1, 16):
            Path(f"npu/{net}.fp16.bs{batch}.om").write_bytes(b"what atc would have made")
    run(commands["record"])
    run(commands["inputs"])
    net = "actspan staged run stage/ --model npu/ --backend onnxruntime --net"
    run(f"{net} tem")
    run(commands["between"])
    run(f"{net} pem")
    run(commands["result"])


def test_the_pages_show_what_is_written() -> None:
    # Command lines of other programs on the pages equal those that are written.
    ascend = page("targets/ascend.md")
    for net, shape in (("tem", "video:16,400,100"), ("pem", "video_feature:16,1000,32")):
        line = (
            f"atc --framework=5 --model={net}.ascend.bs16.onnx --output={net}.fp16.bs16 "
            f'--input_format=ND --input_shape="{shape}" --log=debug --soc_version=Ascend310\n'
        )
        assert line in ascend
