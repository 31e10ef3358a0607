"""The commands of docs/targets/, run on small made-up data as far as they run without a device."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from actspan.cli import main
from tests.conftest import ROOT
from tests.made_up import write_bundle, write_dataset

BLOCK = re.compile(r"<!-- runs on: (\S+) -->\n```sh\n(.*?)```", flags=re.DOTALL)


def blocks(page: str) -> dict[str, str]:
    return dict(BLOCK.findall((ROOT / "docs" / "targets" / page).read_text(encoding="utf-8")))


def run(block: str) -> None:
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            actspan(*words)


def actspan(*words: str) -> None:
    assert words[0] == "actspan"
    done = CliRunner().invoke(main, list(words[1:]))
    assert done.exit_code == 0, f"{shlex.join(words)}\n{done.output}"


@pytest.fixture(autouse=True)
def _material(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_bundle(Path("bsn"))
    write_dataset(Path("my-videos"), videos=6)


def test_openvino() -> None:
    pytest.importorskip("nncf", reason="needs the extra 'openvino'")
    page = blocks("openvino.md")
    assert page.keys() == {"deploy", "precisions"}
    run(page["deploy"])
    run(page["precisions"])


def test_tensorrt() -> None:
    page = blocks("tensorrt.md")
    assert page.keys() == {"script"}
    run(page["script"])
    text = Path("bsn/compile-tensorrt.sh").read_text()
    assert "--onnx=tem.scale.fp16.onnx --saveEngine=tem.fp16.engine --minShapes=video:1x" in text


def test_ascend() -> None:
    """Where the NPU's host would run the networks, `staged run` does."""
    page = blocks("ascend.md")
    assert list(page) == ["deploy", "record", "inputs", "between", "result"]
    run(page["deploy"])
    assert "--output=tem.fp16.bs16" in Path("npu/compile-ascend.sh").read_text()
    for net in ("tem", "pem"):
        for batch in (1, 16):
            Path(f"npu/{net}.fp16.bs{batch}.om").write_bytes(b"what atc would have made")
    run(page["record"])
    run(page["inputs"])
    here = ("--model", "npu/", "--backend", "onnxruntime")
    actspan("actspan", "staged", "run", "stage/", "--net", "tem", *here)
    run(page["between"])
    actspan("actspan", "staged", "run", "stage/", "--net", "pem", *here)
    run(page["result"])


def test_the_pages_show_what_is_written() -> None:
    """Each command line of another program on the pages has the words of ours."""
    ascend = (ROOT / "docs" / "targets" / "ascend.md").read_text(encoding="utf-8")
    for net, shape in (("tem", "video:16,400,100"), ("pem", "video_feature:16,1000,32")):
        line = (
            f"atc --framework=5 --model={net}.ascend.bs16.onnx --output={net}.fp16.bs16 "
            f'--input_format=ND --input_shape="{shape}" --log=debug --soc_version=Ascend310\n'
        )
        assert line in ascend
