"""No pass merges the names of two outputs, in the main graph or in branches and bodies."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from actspan.core.errors import ExportError
from actspan.deploy.optimize import rewrite_model
from actspan.deploy.passes import DEFAULT
from actspan.deploy.passes.model_form import graphs_in, interface_change
from actspan.deploy.passes.numeric import largest_difference
from tests.deploy.passes.control_flow import BOOL, FLOAT, INT64, branches, graph, model, node

ROW = [5]
X, C = ("x", FLOAT, ROW), ("c", BOOL, [])
ZERO = np.zeros(5, np.float32)


def main(
    nodes: Sequence[onnx.NodeProto], outputs: Sequence[str], **constants: Any
) -> onnx.ModelProto:
    return model(graph(nodes, [X], [(name, FLOAT, ROW) for name in outputs], constants))


def twins(operator: str, *more: str, **attributes: Any) -> Callable[[], onnx.ModelProto]:
    """Return a graph with an operator without effect between its two outputs."""

    def make() -> onnx.ModelProto:
        idle = node(operator, ["a", *more], ["b"], **attributes)
        constants = {"shape": np.array(ROW)} if more else {}
        return main([node("Relu", ["x"], ["a"]), idle], ["a", "b"], **constants)

    return make


def scan() -> onnx.ModelProto:
    body = graph(
        [node("Add", ["s", "e"], ["t"]), node("Identity", ["t"], ["o"])],
        [("s", FLOAT, ROW), ("e", FLOAT, ROW)],
        [("t", FLOAT, ROW), ("o", FLOAT, ROW)],
    )
    step = node("Scan", ["zero", "x"], ["last", "all"], body=body, num_scan_inputs=1)
    outputs = [("last", FLOAT, ROW), ("all", FLOAT, [7, 5])]
    return model(graph([step], [("x", FLOAT, [7, 5])], outputs, {"zero": ZERO}))


def loop(*, outer: bool) -> onnx.ModelProto:
    """Return a Loop whose body outputs its state twice, or a value of the outer graph."""
    body = graph(
        [
            node("Identity", ["go"], ["more"]),
            node("Add", ["s", "x"], ["t"]),
            node("Identity", ["r" if outer else "t"], ["o"]),
        ],
        [("i", INT64, []), ("go", BOOL, []), ("s", FLOAT, ROW)],
        [("more", BOOL, []), ("t", FLOAT, ROW), ("o", FLOAT, ROW)],
    )
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("Loop", ["n", "", "zero"], ["last", "all"], body=body),
    ]
    outputs = [("last", FLOAT, ROW), ("all", FLOAT, [3, 5])]
    return model(graph(nodes, [X], outputs, {"n": np.array(3), "zero": ZERO}))


def if_twins() -> onnx.ModelProto:
    parts = {}
    for name, operator in (("then_branch", "Relu"), ("else_branch", "Neg")):
        a, b = f"{name}_a", f"{name}_b"
        nodes = [node(operator, ["x"], [a]), node("Identity", [a], [b])]
        parts[name] = graph(nodes, outputs=[(a, FLOAT, ROW), (b, FLOAT, ROW)])
    choice = node("If", ["c"], ["y", "z"], **parts)
    return model(graph([choice], [X, C], [("y", FLOAT, ROW), ("z", FLOAT, ROW)]))


def outer(*, given: bool) -> onnx.ModelProto:
    """Return an If whose branch outputs a value of the outer graph, maybe an output of that too."""
    return branches(
        [node("Identity", ["r"], ["a"])],
        [node("Neg", ["r"], ["b"])],
        ROW,
        before=[node("Relu", ["x"], ["r"])],
        inputs=[X],
        outputs=[("r", FLOAT, ROW)] if given else (),
    )


def constant_condition() -> onnx.ModelProto:
    """Return an If that is folded away, whose branch outputs a value that is an output already."""
    made = outer(given=True)
    made.graph.input.pop()
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "c"))
    return made


MODELS = {
    "identity": twins("Identity"),
    "dropout": twins("Dropout"),
    "cast": twins("Cast", to=FLOAT),
    "reshape": twins("Reshape", "shape"),
    "two-of-one-inner": lambda: main(
        [
            node("Relu", ["x"], ["r"]),
            node("Identity", ["r"], ["a"]),
            node("Identity", ["r"], ["b"]),
        ],
        ["a", "b"],
    ),
    "read-on": lambda: main(
        [
            node("Relu", ["x"], ["a"]),
            node("Identity", ["a"], ["b"]),
            node("Neg", ["b"], ["z"]),
        ],
        ["b", "z", "a"],
    ),
    "input-as-output": lambda: main([node("Identity", ["x"], ["a"])], ["a"]),
    "constant": lambda: main(
        [node("Add", ["k", "k"], ["a"]), node("Add", ["a", "x"], ["b"])], ["b", "a"], k=ZERO + 1
    ),
    "scale": lambda: main(
        [
            node("MatMul", ["x", "w"], ["a"]),
            node("Mul", ["a", "one"], ["b"]),
        ],
        ["a", "b"],
        w=np.eye(5, dtype=np.float32),
        one=np.float32(1),
    ),
    "scan": scan,
    "loop": lambda: loop(outer=False),
    "loop-outer": lambda: loop(outer=True),
    "if": if_twins,
    "branch-outer": lambda: outer(given=False),
    "branch-outer-output": lambda: outer(given=True),
    "constant-condition": constant_condition,
}  # fmt: skip


def names(made: onnx.ModelProto) -> list[list[str]]:
    return [[value.name for value in part.output] for part in graphs_in(made.graph)]


@pytest.mark.parametrize("passes", [DEFAULT, *((name,) for name in DEFAULT)], ids=",".join)
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_outputs_stay(make: Callable[[], onnx.ModelProto], passes: Sequence[str]) -> None:
    before = make()
    done = rewrite_model(before, passes)
    after = done.model
    assert names(after)[0] == names(before)[0]
    assert all(len(set(part)) == len(part) for part in names(after))
    inputs: dict[str, Any] = {
        value.name: np.array(True) if value.name == "c" else np.ones(
            [dim.dim_value for dim in value.type.tensor_type.shape.dim], np.float32
        )
        for value in before.graph.input
    }  # fmt: skip
    wanted = names(before)[0]
    sessions = [onnxruntime.InferenceSession(m.SerializeToString()) for m in (before, after)]
    for expected, found in zip(*(s.run(wanted, inputs) for s in sessions), strict=True):
        np.testing.assert_array_equal(found, expected)
    written = after.SerializeToString(deterministic=True)
    again = rewrite_model(onnx.load_from_string(written), passes)
    assert not again.changed
    assert again.model.SerializeToString(deterministic=True) == written


def test_what_need_not_stay_goes() -> None:
    idle = [node("Identity", ["x"], ["a"]), node("Relu", ["a"], ["b"])]
    done = rewrite_model(main([*idle, node("Identity", ["b"], ["z"])], ["z"]), ["constant-fold"])
    assert [n.op_type for n in done.model.graph.node] == ["Relu"]
    assert names(done.model) == [["z"]]


def test_nodes_of_branches_and_bodies_are_counted() -> None:
    (report,) = rewrite_model(if_twins(), ["constant-fold"]).reports
    assert (report.nodes_before, report.nodes_after) == (5, 5)


def declared(*outputs: tuple[str, int, Sequence[int | str] | None]) -> onnx.ModelProto:
    values = [onnx.helper.make_tensor_value_info(*value) for value in outputs]
    nodes = [node("Relu", ["x"], [value.name]) for value in values]
    return onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], values))


A, B, HALF = ("a", FLOAT, [2, 3]), ("b", FLOAT, [2, 3]), onnx.TensorProto.FLOAT16


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        pytest.param([A], [A], None, id="same"),
        pytest.param([A, B], [B, A], "the outputs a, b become b, a", id="order"),
        pytest.param([A, B], [A], "the outputs a, b become a", id="one-less"),
        pytest.param([A], [("a", INT64, [2, 3])], "its type from FLOAT to INT64", id="type"),
        pytest.param([A], [("a", FLOAT, [2, 4])], r"shape from \[2, 3\] to \[2, 4\]", id="size"),
        pytest.param([A], [("a", FLOAT, [6])], r"shape from \[2, 3\] to \[6\]", id="rank"),
        pytest.param([A], [("a", FLOAT, None)], "a changes its shape", id="no-shape"),
        pytest.param([("a", FLOAT, ["n", 3])], [A], None, id="size-is-known-now"),
        pytest.param([("a", FLOAT, ["n"])], [("a", FLOAT, ["m"])], "shape", id="other-name"),
        pytest.param([("a", FLOAT, None)], [A], None, id="shape-is-known-now"),
        pytest.param([A, B], [A, A], "the outputs a, b become a, a", id="one-name"),
    ],
)  # fmt: skip
def test_interface(before: list[Any], after: list[Any], change: str | None) -> None:
    found = interface_change(declared(*before), declared(*after))
    assert found is None if change is None else re.search(change, str(found))


def test_half_precision_counts_as_the_same_only_where_a_pass_says_so() -> None:
    before, after = declared(A), declared(("a", HALF, [2, 3]))
    assert interface_change(before, after) is not None
    assert interface_change(before, after, retyped=True) is None


def test_outputs_of_one_name_inside_a_body() -> None:
    before, after = scan(), scan()
    after.graph.node[0].attribute[0].g.output[1].name = "t"
    assert interface_change(before, after) == "two outputs of one graph are both t"
    assert interface_change(after, after) is None


def test_a_pass_that_renames_an_output_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx_ir as ir

    from actspan.deploy.passes.fold_layers import FoldScale

    def call(_: Any, made: ir.Model) -> ir.passes.PassResult:
        made.graph.outputs[0].name = "other"
        return ir.passes.PassResult(made, True)

    monkeypatch.setattr(FoldScale, "call", call)
    with pytest.raises(ExportError, match="fold-scale: the outputs a, b become other, b; nothing"):
        rewrite_model(twins("Neg")(), ["fold-scale"])


def test_both_branches_are_compared() -> None:
    before, after = if_twins(), if_twins()
    for number in range(2):
        after.CopyFrom(before)
        after.graph.node[0].attribute[number].g.node[0].op_type = "Abs"
        assert largest_difference(before, after) > 0.1


def test_outputs_that_no_two_runs_share_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    # Such as memory that is never written; here the check itself always differs.
    monkeypatch.setattr(
        "actspan.deploy.passes.numeric.largest_difference", lambda *_, **__: 1.11e28
    )
    with pytest.raises(ExportError, match="two runs of the graph before it give different outputs"):
        rewrite_model(twins("Cast", to=FLOAT)(), ["constant-fold"])
