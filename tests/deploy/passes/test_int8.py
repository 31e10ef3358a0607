from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from actspan import Bundle
from actspan.core.errors import ExportError, ParityError
from actspan.deploy.optimize import read_model, rewrite_model
from actspan.deploy.passes.calibration import DatasetCalibration
from actspan.deploy.passes.contract import Inputs, PassSettings, Sample, Shapes
from actspan.model.weights import Net as Network
from tests.deploy.passes.control_flow import branches, node
from tests.deploy.passes.nets import FLOAT, Net, old_tem
from tests.examples import CHANNELS, write_bundle, write_dataset


class Made:
    """Calibration on features whose channels differ in range by orders of magnitude."""

    def __init__(self, name: str, *shape: int, spread: float = 0.0) -> None:
        rng = np.random.default_rng(0)
        scale = np.exp(-spread * np.arange(shape[1]))[:, None]
        self.inputs: list[Inputs] = [
            {name: (scale * rng.standard_normal(shape)).astype(np.float32)} for _ in range(20)
        ]
        self.shapes: Shapes = {}

    def sample(self, shapes: Shapes) -> Sample:
        self.shapes = shapes
        return Sample(self.inputs)


def run(model: onnx.ModelProto, inputs: Inputs) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    output: np.ndarray = session.run(None, dict(inputs))[0]
    return output


def layers(model: onnx.ModelProto) -> list[str]:
    """Return Conv and Gemm nodes, and whether each reads dequantised values."""
    maker = {output: node.op_type for node in model.graph.node for output in node.output}
    return [
        f"{node.op_type} {maker.get(node.input[0], '-')} {maker.get(node.input[1], '-')}"
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm")
    ]


def test_every_layer_but_the_last_is_quantised() -> None:
    made = Made("video", 1, 8, 100)
    passes = ["opset", "fold-scale", "int8"]
    done = rewrite_model(old_tem(), passes, PassSettings(opset=13, calibration=made))
    both = "Conv DequantizeLinear DequantizeLinear"
    assert layers(done.model) == [both, both, "Conv DequantizeLinear -"]
    assert made.shapes == {"video": (1, 8, 100)}
    assert done.tags == ("opset13", "scale", "int8")
    assert not any(p.key.startswith("onnx.") for p in done.model.metadata_props)
    again = rewrite_model(done.model, ["int8"], PassSettings(calibration=made))
    assert not again.changed


def test_channels_of_any_range_keep_their_share() -> None:
    # Equalisation keeps the precision of channels with small values.
    net = Net()
    weight = np.random.default_rng(1).standard_normal((4, 8, 3)) * np.exp(np.arange(8))[:, None]
    x = net.op("Conv", "x", net.const(weight.astype(np.float32)), pads=[1, 1])
    model = net.model(net.conv(net.op("Relu", x), 4, 2, 1), (1, 8, 60))
    made = Made("x", 1, 8, 60, spread=1.0)
    done = rewrite_model(model, ["int8"], PassSettings(calibration=made))
    before, after = run(model, made.inputs[0]), run(done.model, made.inputs[0])
    assert np.abs(before - after).max() < 0.02 * np.abs(before).max()


def test_quantised_layers_become_two_dimensional_too() -> None:
    made = Made("video", 1, 8, 100)
    passes = ["opset", "fold-scale", "int8", "conv1d-to-conv2d"]
    done = rewrite_model(old_tem(), passes, PassSettings(opset=17, calibration=made))
    assert [report.left for report in done.reports] == [None] * 4
    kernels = [node.attribute for node in done.model.graph.node if node.op_type == "Conv"]
    sizes = [list(a.ints) for attributes in kernels for a in attributes if a.name == "kernel_shape"]
    assert sizes == [[1, 3], [1, 3], [1, 1]]
    both = "Conv DequantizeLinear DequantizeLinear"
    assert layers(done.model) == [both, both, "Conv DequantizeLinear -"]


def test_layers_in_branches_are_named() -> None:
    weights = {name: np.full((4, 4, 1), 0.1, np.float32) for name in "VWZ"}
    model = branches(
        [node("Conv", ["h", "V"], ["a"], "inner")],
        [node("Relu", ["h"], ["b"])],
        [1, 4, 50],
        before=[node("Conv", ["x", "W"], ["g"], "first"), node("Conv", ["g", "Z"], ["h"], "last")],
        inputs=[("x", FLOAT, [1, 4, 50])],
        **weights,
    )
    model.graph.input.pop()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "c"))
    made = Made("x", 1, 4, 50)
    (report,) = rewrite_model(model, ["int8"], PassSettings(calibration=made)).reports
    assert report.changed
    assert report.missed
    assert report.left == (
        "1 of 3 layers before the last left: in branches of If: Conv 'inner' (ONNX Runtime "
        "quantises the main graph alone)"
    )


def test_one_region_from_end_to_end_in_two_dimensions() -> None:
    made = Made("video", 1, 8, 100)
    passes = ["opset", "fold-scale", "conv1d-to-conv2d", "int8"]
    done = rewrite_model(old_tem(), passes, PassSettings(opset=17, calibration=made))
    count = [node.op_type for node in done.model.graph.node].count
    assert (count("Unsqueeze"), count("Squeeze")) == (1, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param(PassSettings(), "a dataset is needed for calibration", id="no-data"),
        pytest.param(
            PassSettings(calibration=Made("video", 1, 8, 100)), "run the pass opset first", id="old"
        ),
    ],
)
def test_needs(settings: PassSettings, message: str) -> None:
    with pytest.raises(ExportError, match=f"pass int8: .*{message}"):
        rewrite_model(old_tem(), ["int8"], settings)


def test_a_net_that_is_quantised_in_part_is_refused() -> None:
    net = Net()
    scale = net.const(np.float32(0.1)), net.const(np.uint8(128))
    x = net.op("DequantizeLinear", net.op("QuantizeLinear", "x", *scale), *scale)
    model = net.model(net.conv(net.op("Relu", net.conv(x, 6, 4, 1)), 4, 3, 1))
    settings = PassSettings(calibration=Made("x", 2, 6, 30))
    with pytest.raises(ExportError, match="Conv 'Conv_2' is not quantised, but other nodes are; "):
        rewrite_model(model, ["int8"], settings)


def test_a_net_in_which_nothing_is_quantised_misses_the_goal() -> None:
    net = Net()
    settings = PassSettings(calibration=Made("x", 2, 6, 30))
    model = net.model(net.op("Relu", net.conv("x", 6, 4, 3)))
    (report,) = rewrite_model(model, ["int8"], settings).reports
    assert (report.changed, report.missed) == (False, True)
    wanted = "nothing is quantised: the last layers stay in float32 (Conv 'Conv_0')"
    assert report.left == wanted
    net = Net()
    (report,) = rewrite_model(net.model(net.op("Relu", "x")), ["int8"], settings).reports
    assert report.left == "nothing is quantised: there is no Conv, Gemm or MatMul"


def test_data_that_8_bits_cannot_represent() -> None:
    net = Net()
    x = net.op("Mul", net.conv("x", 6, 6, 1), net.const(np.float32(1e4)))
    x = net.op("Sin", net.conv(net.op("Relu", x), 6, 6, 1))
    settings = PassSettings(calibration=Made("x", 2, 6, 30))
    with pytest.raises(ParityError, match=r"outputs differ by .* where 0\.1 is allowed"):
        rewrite_model(net.model(x, (2, 6, 30)), ["int8"], settings)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", videos=6)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle")


def test_tem_learns_from_the_training_videos(dataset: Path) -> None:
    inputs = DatasetCalibration(dataset, "tem").sample({"video": (None, CHANNELS, 20)}).inputs
    assert [x["video"].shape for x in inputs] == [(16, CHANNELS, 20)]
    fixed = (
        DatasetCalibration(dataset, "tem", videos=3).sample({"video": (2, CHANNELS, None)}).inputs
    )
    assert [x["video"].shape for x in fixed] == [(2, CHANNELS, 100)] * 2


@pytest.mark.parametrize("net", ["tem", "pem"])
def test_videos_that_cannot_be_used_are_named(dataset: Path, bundle: Bundle, net: Network) -> None:
    for video in ("video0", "video2", "video5"):  # the last one is no training video
        (dataset / "features" / f"{video}.npy").write_bytes(b"")
    calibration = DatasetCalibration(dataset, net, bundle)
    model = read_model(bundle.file(f"{net}.onnx"))
    done = rewrite_model(model, ["int8"], PassSettings(calibration=calibration))
    assert done.notes == (f"{dataset}: skipped: 2 videos (video0, video2): the file is empty",)


def test_pem_learns_from_proposals(dataset: Path, bundle: Bundle) -> None:
    calibration = DatasetCalibration(dataset, "pem", bundle, videos=3)
    free = calibration.sample({"video_feature": (None, 32)}).inputs
    assert len(free) == 3
    assert all(x["video_feature"].shape[1] == 32 for x in free)
    fixed = calibration.sample({"video_feature": (1, 1000, 32)}).inputs
    assert [x["video_feature"].shape for x in fixed] == [(1, 1000, 32)] * 3
    np.testing.assert_array_equal(
        fixed[0]["video_feature"][0, : len(free[0]["video_feature"])], free[0]["video_feature"]
    )


def test_pem_needs_a_bundle(dataset: Path, tmp_path: Path) -> None:
    for bundle in (None, write_bundle(tmp_path / "half", tem=False)):
        with pytest.raises(ExportError, match="PEM is calibrated on proposals"):
            DatasetCalibration(dataset, "pem", bundle)


def test_networks_of_another_form(dataset: Path) -> None:
    for shapes in ({"a": (1, 2, 3), "b": (1, 2, 3)}, {"x": (1, 2)}):
        with pytest.raises(ExportError, match="calibration supports networks with one input"):
            DatasetCalibration(dataset, "tem").sample(shapes)  # type: ignore[arg-type]


@pytest.mark.parametrize("net", ["tem", "pem"])
def test_a_bundle_from_a_dataset(dataset: Path, bundle: Bundle, net: str) -> None:
    calibration = DatasetCalibration(dataset, net, bundle)  # type: ignore[arg-type]
    model = read_model(bundle.file(f"{net}.onnx"))
    done = rewrite_model(model, ["fold-scale", "int8"], PassSettings(calibration=calibration))
    assert done.tags == ("scale", "int8")


def test_runs_in_openvino(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    made = Made("video", 1, 8, 100)
    passes = ["opset", "fold-scale", "conv1d-to-conv2d", "int8"]
    done = rewrite_model(old_tem(), passes, PassSettings(opset=17, calibration=made))
    onnx.save(done.model, tmp_path / "m.onnx")
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(tmp_path / "m.onnx"), "CPU", exact)
    found = compiled([made.inputs[0]["video"]])[0]
    np.testing.assert_allclose(found, run(done.model, made.inputs[0]), rtol=0, atol=1e-5)
