"""The runner of passes checks contracts, compares outputs, and writes no partial files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings

from actspan.core.errors import ExportError, ParityError
from actspan.deploy.optimize import PASSES_KEY, optimize_file, read_model, rewrite_model
from actspan.deploy.passes import DEFAULT, PASSES, contracts, make_passes
from actspan.deploy.passes.contract import Contract, GraphPass, PassSettings
from actspan.deploy.passes.numeric import difference, largest_difference
from tests.deploy.passes.nets import FLOAT, Net, old_tem, random_nets


class Spoil(GraphPass):
    """A pass that violates its contract."""

    contract = Contract("spoil", "bad", "", "", "", tolerance=1e-3)
    factor, lack, fault = 1.0, "", ""

    def missing(self, model: ir.Model) -> str | None:
        return self.lack or None

    def broken(self, model: ir.Model) -> str | None:
        return self.fault or None

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        for value in model.graph.initializers.values():
            value.const_value = ir.tensor(value.const_value.numpy() * np.float32(self.factor))
        return ir.passes.PassResult(model, True)


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> type[Spoil]:
    class Own(Spoil):
        pass

    monkeypatch.setattr("actspan.deploy.optimize.make_passes", lambda names, settings: [Own()])
    return Own


def test_every_pass_has_a_contract_of_its_own() -> None:
    found = contracts()
    assert [contract.name for contract in found] == list(PASSES)
    assert len({contract.tag for contract in found}) == len(found)
    assert all(c.summary and c.needs and c.ensures and c.tolerance > 0 for c in found)
    assert set(DEFAULT) < set(PASSES)


def test_passes_run_in_the_libraries_own_manager() -> None:
    passes = make_passes(["constant-fold", "conv1d-to-conv2d"], PassSettings())
    result = ir.passes.PassManager(passes)(ir.from_proto(old_tem()))
    assert result.modified


def test_default_passes_on_a_file_of_the_old_exporter(tmp_path: Path) -> None:
    onnx.save(old_tem(), tmp_path / "in.onnx")
    done = optimize_file(tmp_path / "in.onnx", tmp_path / "out.onnx")
    assert [r.name for r in done.reports] == list(DEFAULT)
    written = onnx.load(tmp_path / "out.onnx")
    onnx.checker.check_model(written, full_check=True)
    assert largest_difference(old_tem(), written) < 1e-6
    assert {p.key: p.value for p in written.metadata_props} == {
        PASSES_KEY: "fold-scale, conv1d-to-conv2d"
    }
    again = optimize_file(tmp_path / "out.onnx", tmp_path / "out.onnx")
    assert not again.changed
    assert onnx.load(tmp_path / "out.onnx") == written


@settings(max_examples=25)
@given(random_nets())
def test_any_net_through_all_default_passes(model: onnx.ModelProto) -> None:
    done = rewrite_model(model)
    assert largest_difference(model, done.model, seed=1) < 1e-5
    assert not rewrite_model(done.model).changed


def in_branches(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an If with the model in both branches, and its weights in one of them."""
    parts = {}
    for name in ("then", "else"):
        part = onnx.compose.add_prefix_graph(model.graph, f"{name}_", rename_inputs=False)
        del part.input[:]
        parts[f"{name}_branch"] = part
    weights = list(parts["then_branch"].initializer)
    del parts["then_branch"].initializer[:]
    choice = onnx.helper.make_node("If", ["choice"], ["out"], **parts)
    chosen = onnx.helper.make_tensor_value_info("choice", onnx.TensorProto.BOOL, [])
    out = onnx.helper.make_tensor_value_info("out", FLOAT, None)
    graph = onnx.helper.make_graph([choice], "g", [*model.graph.input, chosen], [out], weights)
    return onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )


@settings(max_examples=15)
@given(random_nets())
def test_any_net_in_branches_through_all_default_passes(model: onnx.ModelProto) -> None:
    # Branches are rewritten as the main graph is.
    model = in_branches(model)
    done = rewrite_model(model)
    assert largest_difference(model, done.model, seed=1) < 1e-5
    assert not rewrite_model(done.model).changed
    assert done.reports[-1].left is None


@pytest.mark.parametrize(
    "passes",
    [["conv1d-to-conv2d"], ["fold-scale"], ["fp16"], list(DEFAULT), [*DEFAULT, "fp16"]],
    ids=",".join,
)
def test_rewritten_graphs_run_in_openvino(passes: list[str], tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    model = old_tem()
    done = rewrite_model(model, passes)
    onnx.save(done.model, tmp_path / "m.onnx")
    x = np.random.default_rng(0).standard_normal((1, 8, 100)).astype(np.float32)
    core = openvino.Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(str(tmp_path / "m.onnx"), "CPU", exact)
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = session.run(None, {"video": x})[0]
    found = compiled([x])[0]
    assert difference(expected, found) < (2e-3 if "fp16" in passes else 1e-6)


def test_a_pass_that_changes_the_numbers(spoil: type[Spoil], tmp_path: Path) -> None:
    spoil.factor = 2.0
    onnx.save(old_tem(), tmp_path / "in.onnx")
    with pytest.raises(ParityError, match=r"in.onnx: pass spoil: outputs differ by 0.* nothing is"):
        optimize_file(tmp_path / "in.onnx", tmp_path / "out.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["in.onnx"]


def test_values_that_are_not_numbers(spoil: type[Spoil]) -> None:
    spoil.factor = float("nan")
    with pytest.raises(ParityError, match="outputs differ by nan"):
        rewrite_model(old_tem())


@pytest.mark.parametrize("what", ["lack", "fault"])
def test_a_contract_that_does_not_hold(spoil: type[Spoil], what: str) -> None:
    setattr(spoil, what, "the moon is full")
    with pytest.raises(ExportError, match="model: pass spoil: the moon is full"):
        rewrite_model(old_tem())


def test_a_pass_that_leaves_an_invalid_graph(
    spoil: type[Spoil], monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(_: Any, model: ir.Model) -> ir.passes.PassResult:
        model.graph[0].op_type = "Quark"
        return ir.passes.PassResult(model, True)

    monkeypatch.setattr(spoil, "call", call)
    with pytest.raises(ExportError, match=r"the graph does not pass onnx's check: .*Quark"):
        rewrite_model(old_tem())


@pytest.mark.parametrize("cause", [None, KeyError("no\nsuch value")], ids=["direct", "wrapped"])
def test_any_exception_in_a_pass_is_one_line(
    spoil: type[Spoil], monkeypatch: pytest.MonkeyPatch, cause: Exception | None
) -> None:
    def call(_: Any, model: ir.Model) -> ir.passes.PassResult:
        raise ir.passes.PassError("An error occurred at step 0") from cause

    monkeypatch.setattr(spoil, "call", call)
    with pytest.raises(ExportError) as caught:
        rewrite_model(old_tem())
    wanted = "PassError: An error" if cause is None else "KeyError: 'no"
    assert str(caught.value).startswith(f"model: pass spoil fails: {wanted}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be read: No such file", id="missing"),
        pytest.param(b"", "not an ONNX file: it contains no graph", id="empty"),
        pytest.param(b"not a model at all", "not an ONNX file", id="text"),
        pytest.param(bytes(range(256)) * 9, "not an ONNX file", id="bytes"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "in.onnx").write_bytes(content)
    with pytest.raises(ExportError, match=message) as caught:
        optimize_file(tmp_path / "in.onnx", tmp_path / "out.onnx")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.onnx").exists()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is a folder; no"):
        read_model(tmp_path)


def test_a_target_without_its_folder(tmp_path: Path) -> None:
    onnx.save(old_tem(), tmp_path / "in.onnx")
    with pytest.raises(ExportError, match=r"the folder .* does not exist"):
        optimize_file(tmp_path / "in.onnx", tmp_path / "no" / "out.onnx")


def test_names_that_are_no_passes() -> None:
    with pytest.raises(ExportError, match="no pass 'conv2d'; available: opset, fix-dims"):
        rewrite_model(old_tem(), ["conv2d"])


def test_weights_in_a_file_beside_it(tmp_path: Path) -> None:
    model = old_tem(64, 64)
    onnx.save(
        model, tmp_path / "in.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    done = optimize_file(tmp_path / "in.onnx", tmp_path / "out.onnx", ["conv1d-to-conv2d"])
    assert done.changed
    assert largest_difference(old_tem(64, 64), onnx.load(tmp_path / "out.onnx")) < 1e-6


def test_nodes_without_names_and_unknown_output_shapes() -> None:
    net = Net()
    model = net.model(net.op("Sigmoid", net.conv("x", 6, 4, 3)))
    for node in model.graph.node:
        node.name = ""
    assert rewrite_model(model).changed


def test_operators_of_another_domain_stay() -> None:
    net = Net()
    x = net.conv("x", 6, 4, 3)
    net.nodes.append(onnx.helper.make_node("FastGelu", [x], ["y"], domain="com.microsoft"))
    model = net.model(net.conv("y", 4, 3, 1))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    model.graph.value_info.append(
        onnx.helper.make_tensor_value_info("y", FLOAT, ("batch", 4, "inner"))
    )
    done = rewrite_model(model, ["conv1d-to-conv2d"])
    count = [node.op_type for node in done.model.graph.node].count
    assert (count("Unsqueeze"), count("FastGelu")) == (2, 1)
    assert rewrite_model(model, ["fp16"]).changed


def test_several_inputs_of_several_types() -> None:
    net = Net()
    taken = net.op("Gather", net.conv("x", 6, 4, 3), "index", axis=1)
    model = net.model(taken)
    model.graph.input.append(
        onnx.helper.make_tensor_value_info("index", onnx.TensorProto.INT64, ("k",))
    )
    assert rewrite_model(model).changed


def test_sparse_tensors_are_refused_in_one_line() -> None:
    values = onnx.numpy_helper.from_array(np.float32([1, 2]), "weights")
    places = onnx.numpy_helper.from_array(np.array([0, 3]), "places")
    sparse = onnx.helper.make_sparse_tensor(values, places, [1, 6, 1])
    net = Net()
    model = net.model(net.op("Add", "x", "weights"))
    model.graph.sparse_initializer.append(sparse)
    with pytest.raises(ExportError, match="model: weights: sparse tensors cannot be rewritten"):
        rewrite_model(model)
    net = Net()
    constant = onnx.helper.make_node("Constant", [], ["held"], sparse_value=sparse)
    net.nodes.append(constant)
    with pytest.raises(ExportError, match="model: held: sparse tensors cannot be rewritten"):
        rewrite_model(net.model(net.op("Add", "x", "held")))


def test_training_info_is_left_out_with_a_note() -> None:
    model = old_tem()
    assert rewrite_model(model).notes == ()
    model.training_info.add()
    done = rewrite_model(model)
    assert not done.model.training_info
    assert done.notes == ("training_info is left out: it belongs to the graph as it was",)


def test_libraries_log_nothing_of_their_own(tmp_path: Path) -> None:
    # A constant Split causes a warning of onnxscript.
    net = Net(18)
    x = net.op("Split", net.random(1, 6, 1), outputs=2, axis=1, num_outputs=2)
    onnx.save(net.model(net.op("Add", "x", net.op("Concat", x, f"{x}_1", axis=1))), tmp_path / "m")
    code = "import sys; from actspan.deploy.optimize import optimize_file as f; f(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(tmp_path / "m"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_difference() -> None:
    a = np.array([1.0, np.nan, np.inf, 100.0])
    assert difference(a, a) == 0
    assert difference(a, a + np.array([0, 0, 0, 1])) == pytest.approx(0.01)
    assert np.isnan(difference(a, np.array([1.0, 1.0, np.inf, 100.0])))
    assert np.isnan(difference(a, a[:3]))
    assert difference([a, None], [a, None]) == 0
    assert np.isnan(difference([a, None], [a, a]))
    assert np.isnan(difference([a], [a, a]))
    assert difference([], []) == 0
    words = np.array(["a", "b"], dtype=object)
    assert difference(words, words.copy()) == 0
    assert np.isnan(difference(words, words[::-1]))


@pytest.mark.parametrize(
    ("scale", "steps", "equal"),
    [
        pytest.param(1.0, 4, True, id="four-steps"),
        pytest.param(1.0, 5, False, id="five-steps"),
        pytest.param(1024.0, 4, True, id="large"),
        pytest.param(1024.0, 5, False, id="large-five"),
        pytest.param(2.0**-12, 5, False, id="small"),
        pytest.param(2.0**-24, 4, True, id="denormal"),
    ],
)
def test_half_precision_is_equal_within_rounding(scale: float, steps: int, equal: bool) -> None:
    a = np.array([1.0, 0.5], np.float16) * np.float16(scale)
    b = a + np.float16(steps) * np.spacing(a[:1])
    assert b.dtype == np.float16
    assert (difference(a, b) == 0) == equal
    assert difference(a.astype(np.float32), b.astype(np.float32)) > 0


def test_half_precision_that_overflows_differs() -> None:
    a = np.array([65504, 1], np.float16)
    assert difference(a, a) == 0
    assert difference(a, np.array([np.inf, 1], np.float16)) == np.inf
    assert np.isnan(difference(a, np.array([np.nan, 1], np.float16)))


def test_an_output_that_is_no_number_counts_among_others() -> None:
    def shifted(by: float) -> onnx.ModelProto:
        net = Net()
        return net.model(["Relu_0", net.op("Add", net.op("Relu", "x"), net.const(np.float32(by)))])

    assert np.isnan(largest_difference(shifted(0), shifted(np.nan)))


def test_list_and_absent_outputs() -> None:
    net = Net()
    parts = net.op("SequenceConstruct", net.op("Relu", net.op("Identity", "x")), "x")
    model = net.model(parts)
    model.graph.output[0].CopyFrom(
        onnx.helper.make_tensor_sequence_value_info(parts, FLOAT, ("batch", 6, "length"))
    )
    tensor = onnx.helper.make_tensor_type_proto(FLOAT, None)
    none = onnx.helper.make_optional_type_proto(tensor)
    model.graph.node.append(onnx.helper.make_node("Optional", [], ["none"], type=tensor))
    model.graph.output.append(onnx.helper.make_value_info("none", none))
    done = rewrite_model(model)
    assert done.changed
    assert [value.name for value in done.model.graph.output] == [parts, "none"]


def test_looking_at_the_passes_imports_no_torch() -> None:
    code = (
        "import sys; from actspan.deploy.passes import contracts; contracts();"
        "print([m for m in ('torch', 'pandas', 'onnxruntime.quantization') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
