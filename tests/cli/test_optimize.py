from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

from actspan import Bundle
from actspan.cli import main
from actspan.deploy.passes import DEFAULT, PASSES
from tests.deploy.passes.nets import FLOAT, Net, old_tem
from tests.examples import CHANNELS, write_bundle, write_dataset


def actspan(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.onnx"
    onnx.save(old_tem(), path)
    return path


def test_prints_a_table(source: Path, tmp_path: Path) -> None:
    result = actspan("optimize", source, tmp_path / "out.onnx")
    assert result.exit_code == 0
    for word in (*DEFAULT, "nodes", "allowed", "out.onnx"):
        assert word in result.stdout
    assert "Conv_0" in [node.name for node in onnx.load(tmp_path / "out.onnx").graph.node]


def test_answers_as_json(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    options = ["--passes", "fold-scale, fp16", "--opset", 17, "--io", "fp16", "--json"]
    answer = json.loads(actspan("optimize", source, target, *options).stdout)
    assert [p["name"] for p in answer["passes"]] == ["opset", "fold-scale", "fp16"]
    assert answer["tags"] == ["opset17", "scale", "fp16-io"]
    assert answer["size"] == target.stat().st_size
    assert all(p["difference"] <= p["tolerance"] for p in answer["passes"])


def test_lists_the_passes() -> None:
    text = actspan("optimize", "--list").stdout
    assert all(f"\n{name}" in f"\n{text}" for name in PASSES)
    found = json.loads(actspan("optimize", "--list", "--json").stdout)
    assert [p["name"] for p in found] == list(PASSES)
    assert {p["name"] for p in found if p["default"]} == set(DEFAULT)


def test_calibrates_on_a_dataset(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    dataset = write_dataset(tmp_path / "data", videos=6)
    shared = ["--passes", "int8", "--calibrate", dataset, "--bundle", bundle.path, "--json"]
    for net in ("tem", "pem"):
        source, target = bundle.path / f"{net}.onnx", tmp_path / f"{net}8.onnx"
        result = actspan("optimize", source, target, "--model-kind", net, *shared)
        assert json.loads(result.stdout)["tags"] == ["int8"]
        assert target.is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--passes", "magic"], "no pass 'magic'", id="unknown-pass"),
        pytest.param(["--passes", "fold-scal"], "(did you mean 'fold-scale'?)", id="near-name"),
        pytest.param(["--dim", "batch=2"], "no free axis is called 'batch'", id="unknown-axis"),
        pytest.param(["--batch", 3], "the batch of video (axis 0) is 1 already", id="need"),
        pytest.param(["--passes", "int8"], "a dataset is needed for calibration", id="no-data"),
        pytest.param(["--passes", "int8", "--calibrate", "nowhere"], "nowhere", id="no-folder"),
    ],
)
def test_failures_are_one_line(
    source: Path, tmp_path: Path, options: list[object], message: str
) -> None:
    result = actspan("optimize", source, tmp_path / "out.onnx", "--opset", 17, *options)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--io", "fp16"], "--io: no effect without --passes fp16", id="io"),
        pytest.param(["--bundle", "b"], "--bundle: no effect without --calibrate", id="bundle"),
        pytest.param(["--model-kind", "pem"], "--model-kind: no effect", id="kind"),
        pytest.param(["--list"], "--list accepts no file", id="list"),
        pytest.param(["--dim", "batch"], "'batch' is not AXIS=N, such as batch=1", id="no-size"),
        pytest.param(["--dim", "batch=0"], "'batch=0' is not AXIS=N", id="zero"),
        pytest.param(["--dim", "=3"], "'=3' is not AXIS=N", id="no-name"),
        pytest.param(["--dim", "t=1", "--dim", "t=2"], "t cannot be 1 and 2", id="two-sizes"),
    ],
)
def test_options_without_effect_are_refused(
    source: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    result = actspan("optimize", source, tmp_path / "out.onnx", *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "out.onnx").exists()


def test_sizes_by_the_names_of_axes(tmp_path: Path) -> None:
    net = Net()
    onnx.save(net.model(net.op("Relu", "x"), ("batch", "a=b", "n")), tmp_path / "in.onnx")
    options = ["--dim", "batch=2", "--dim", "a=b=3", "--dim", "n=4", "--passes", "fix-dims"]
    assert actspan("optimize", tmp_path / "in.onnx", tmp_path / "out.onnx", *options).exit_code == 0
    written = onnx.load(tmp_path / "out.onnx").graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in written] == [2, 3, 4]


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    """Return a network with a convolution that conv1d-to-conv2d does not know."""
    net = Net()
    x = net.conv("x", 6, 4, 3)
    attributes = {"domain": "com.microsoft", "activation": "Relu", "kernel_shape": [1]}
    net.op("FusedConv", x, net.random(4, 4, 1), **attributes)
    model = net.model(net.nodes[-1].output[0], (2, 6, 20))
    model.graph.output[0].CopyFrom(
        onnx.helper.make_tensor_value_info(net.nodes[-1].output[0], FLOAT, (2, 4, 18))
    )
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, tmp_path / "fused.onnx")
    return tmp_path / "fused.onnx"


LEFT = "1 of 2 one-dimensional convolutions left: FusedConv 'FusedConv_1' (an operator of com"


def test_a_pass_that_was_asked_for_and_leaves_something_fails(
    unfinished: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.onnx"
    result = actspan("optimize", unfinished, target, "--passes", "conv1d-to-conv2d")
    assert result.exit_code == 1
    wanted = f"error: {target} is written, but is incomplete. conv1d-to-conv2d: {LEFT}"
    assert result.stderr.startswith(wanted)
    assert len(result.stderr.splitlines()) == 1
    assert "Squeeze" in [node.op_type for node in onnx.load(target).graph.node]


def test_a_default_pass_that_leaves_something_says_so(unfinished: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    result = actspan("optimize", unfinished, target)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"note: conv1d-to-conv2d: {LEFT}" in result.stdout
    result = actspan("optimize", unfinished, target, "--json")
    report = json.loads(result.stdout)["passes"][-1]
    assert (report["missed"], report["left"][:30]) == (True, LEFT[:30])


def test_int8_that_finds_nothing_to_quantise_fails(tmp_path: Path) -> None:
    net = Net()
    onnx.save(net.model(net.conv("x", CHANNELS, 3, 1)), tmp_path / "in.onnx")
    dataset, target = write_dataset(tmp_path / "data", videos=6), tmp_path / "out.onnx"
    result = actspan("optimize", tmp_path / "in.onnx", target, "--calibrate", dataset)
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: {target} is written, but is incomplete. int8: nothing is quantised: the last "
        "layers stay in float32 (Conv 'Conv_0')\n"
    )


def test_videos_without_use_for_calibration_are_named(tmp_path: Path) -> None:
    bundle, dataset = write_bundle(tmp_path / "b"), write_dataset(tmp_path / "data", videos=6)
    broken = min((dataset / "features").iterdir())
    broken.write_bytes(b"")
    note = f"note: {dataset}: skipped: 1 video ({broken.stem}): the file is empty"
    shared = ["--passes", "int8", "--calibrate", dataset]
    result = actspan("optimize", bundle.path / "tem.onnx", tmp_path / "out.onnx", *shared)
    assert result.exit_code == 0
    assert note in result.stdout
    result = actspan("export", bundle.path, *shared)
    assert result.exit_code == 0
    assert result.stdout.count(note) == 1
    result = actspan("export", bundle.path, *shared, "--json")
    notes = [variant["notes"] for variant in json.loads(result.stdout)["variants"]]
    assert [len(lines) for lines in notes] == [1, 1]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        pytest.param(["--passes", "conv1d-to-conv2d"], 1, id="asked-for"),
        pytest.param(["--passes", "fold-scale"], 0, id="another"),
    ],
)
def test_export_fails_where_a_pass_misses_its_goal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], code: int
) -> None:
    bundle = write_bundle(tmp_path / "b")
    for name in ("conv2d.Conv1dToConv2d", "fold_layers.FoldScale"):
        monkeypatch.setattr(f"actspan.deploy.passes.{name}.left", lambda *_: "1 of 2 left")
    result = actspan("export", bundle.path, *options)
    assert result.exit_code == code
    if code:
        assert result.stderr.splitlines()[-1] == (
            f"error: {bundle.path} is written, but is incomplete. tem.conv2d.onnx: "
            "conv1d-to-conv2d: 1 of 2 left; pem.onnx: conv1d-to-conv2d: 1 of 2 left"
        )
    else:
        assert "note: tem.scale.onnx: fold-scale: 1 of 2 left" in result.stdout
    answer = json.loads(actspan("export", bundle.path, *options, "--json").stdout)
    assert [variant["passes"][0]["left"] for variant in answer["variants"]] == ["1 of 2 left"] * 2


def test_a_folder_as_the_source_lists_its_graphs(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b").path
    result = actspan("optimize", bundle, tmp_path / "out.onnx")
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: {bundle}: is a folder (a bundle); give a file in it: {bundle / 'pem.onnx'}, "
        f"{bundle / 'tem.onnx'}\n"
    )
    result = actspan("optimize", tmp_path, tmp_path / "out.onnx")
    assert result.stderr == f"error: {tmp_path}: is a folder; no *.onnx file is in it\n"


def test_bad_usage(source: Path) -> None:
    assert actspan("optimize").exit_code == 2
    assert actspan("optimize", source).exit_code == 2
    assert actspan("optimize", source, "x", "--passes", " ,").exit_code == 2
    assert actspan("optimize", source, "x", "--batch", 0).exit_code == 2


def test_export_writes_variants(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    dataset = write_dataset(tmp_path / "data", videos=6)
    variants = ["--passes", "conv1d-to-conv2d", "--passes", "fix-dims,fp16"]
    variants += ["--passes", "fold-scale,int8", "--calibrate", dataset]
    result = actspan("export", bundle.path, *variants, "--batch", 2, "--json")
    answer = json.loads(result.stdout)
    assert [f["file"] for f in answer["files"]] == [
        *("tem.onnx", "pem.onnx", "tem.conv2d.onnx", "tem.b2.fp16.onnx", "pem.b2.fp16.onnx"),
        *("tem.scale.int8.onnx", "pem.scale.int8.onnx"),
    ]
    assert "pem.onnx is not changed by conv1d-to-conv2d" in result.stderr
    loaded = Bundle.load(bundle.path)
    assert {f["file"] for f in answer["files"]} < loaded.files.keys()
    shape = onnx.load(loaded.file("tem.onnx")).graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in shape] == ["batch", CHANNELS, "length"]


def test_export_prints_variants(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    result = actspan("export", bundle.path, "--opset", 11)
    assert result.exit_code == 0
    for word in ("tem.opset11.onnx", "pem.opset11.onnx", "17", "11"):
        assert word in result.stdout
    result = actspan("export", bundle.path, "--passes", "magic")
    assert (result.exit_code, result.stdout) == (1, "")
