from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Bundle
from actspan.core.errors import BackendError, ShapeError
from actspan.core.types import Float32
from actspan.model.bsn.forward import pem_forward, tem_forward
from actspan.model.bsn.graph import build_pem, build_tem
from actspan.runtime.opening import open_net, open_session
from actspan.runtime.session import BatchedSession
from tests.examples import CHANNELS, write_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return a bundle with graphs of fixed sizes, like engines, besides the free ones."""
    bundle = write_bundle(tmp_path_factory.mktemp("fixed") / "b")
    tem, pem = bundle.weights("tem"), bundle.weights("pem")
    graphs = {
        "tem.b4.onnx": build_tem(tem, batch=4, length=20),
        "pem.b10.onnx": build_pem(pem, proposals=10),
        "pem.npu.onnx": build_pem(pem, rank=3, batch=1, proposals=10),
        "pem.npu3.onnx": build_pem(pem, rank=3, batch=3, proposals=10),
        "pem.free3.onnx": build_pem(pem, rank=3, batch=3),
        "pem.freefree.onnx": build_pem(pem, rank=3),
        "pem.batches.onnx": build_pem(pem, rank=3, proposals=10),
    }
    for name, graph in graphs.items():
        bundle = bundle.add_file(name, lambda path, graph=graph: onnx.save(graph, path))  # type: ignore[misc]
    return bundle


@given(count=st.integers(0, 13))
def test_tail_batches_are_padded_and_trimmed(bundle: Bundle, count: int) -> None:
    x = np.random.default_rng(count).standard_normal((count, CHANNELS, 20), dtype=np.float32)
    with open_net(bundle, "tem", backend="onnxruntime", variant="b4") as session:
        assert session.batch_range is None
        assert session.input_shapes == {"video": (None, CHANNELS, 20)}
        output = session.run({"video": x})["output"]
    assert output.shape == (count, 3, 20)
    np.testing.assert_allclose(output, tem_forward(bundle.weights("tem"), x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("variant", ["b10", "npu", "npu3", "free3", "freefree", "batches"])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 30, 31, 77])
def test_proposals_over_one_or_two_axes(bundle: Bundle, variant: str, count: int) -> None:
    x = np.random.default_rng(count).random((count, 32), dtype=np.float32)
    with open_net(bundle, "pem", backend="onnxruntime", variant=variant) as session:
        assert session.input_shapes == {"video_feature": (None, 32)}
        output = session.run({"video_feature": x})["output"]
    assert output.shape == (count, 1)
    np.testing.assert_allclose(output, pem_forward(bundle.weights("pem"), x), rtol=0, atol=1e-6)


def test_openvino_sees_few_shapes(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    # OpenVINO keeps memory for every shape, which would grow with the number of videos.
    pytest.importorskip("openvino")
    with open_net(bundle, "pem", backend="openvino") as session:
        assert isinstance(session, BatchedSession)
        seen, run = [], session._inner.run

        def spy(inputs: dict[str, Float32]) -> dict[str, Float32]:
            seen.append(len(inputs["video_feature"]))
            return run(inputs)

        monkeypatch.setattr(session._inner, "run", spy)
        for count in (1, 127, 128, 129, 2047):
            session.run({"video_feature": np.zeros((count, 32), np.float32)})
        assert seen == [128, 128, 128, 256, 2048]


def test_a_free_session_is_not_wrapped(bundle: Bundle) -> None:
    with open_net(bundle, "tem", backend="onnxruntime") as session:
        assert not isinstance(session, BatchedSession)


def test_a_file_alone_is_opened_as_it_is(bundle: Bundle) -> None:
    with open_session(bundle.file("tem.b4.onnx"), backend="onnxruntime") as session:
        assert session.batch_range is None
        with pytest.raises(ShapeError, match=r"the network expects \(4, "):
            session.run({"video": np.zeros((1, CHANNELS, 20), np.float32)})


def test_other_names_become_the_bundles(tmp_path: Path, bundle: Bundle) -> None:
    graph = build_pem(bundle.weights("pem"))
    old, new = {"video_feature": "input.1", "output": "34"}, [*graph.graph.node]
    for node in new:
        node.input[:] = [old.get(name, name) for name in node.input]
        node.output[:] = [old.get(name, name) for name in node.output]
    graph.graph.input[0].name, graph.graph.output[0].name = "input.1", "34"
    named = bundle.add_file("pem.foreign.onnx", lambda path: onnx.save(graph, path))
    x = np.random.default_rng(0).random((3, 32), dtype=np.float32)
    with open_net(named, "pem", backend="onnxruntime", variant="foreign") as session:
        output = session.run({"video_feature": x})["output"]
    np.testing.assert_allclose(output, pem_forward(bundle.weights("pem"), x), rtol=0, atol=1e-6)


def test_half_precision_inputs_are_taken(bundle: Bundle) -> None:
    helper, half = onnx.helper, onnx.TensorProto.FLOAT16
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["video_feature", "axes"], ["output"])],
        "half",
        [helper.make_tensor_value_info("video_feature", half, ["n", 32])],
        [helper.make_tensor_value_info("output", half, ["n", 1])],
        [onnx.numpy_helper.from_array(np.array([1]), "axes")],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    added = bundle.add_file("pem.half.onnx", lambda path: onnx.save(model, path))
    for backend in ("onnxruntime", "openvino"):
        with open_net(added, "pem", backend=backend, variant="half") as session:
            output = session.run({"video_feature": np.ones((5, 32), np.float32)})["output"]
        assert output.dtype == np.float32
        np.testing.assert_array_equal(output, np.full((5, 1), 32.0))


def test_networks_of_another_form_are_refused(bundle: Bundle) -> None:
    graph = build_pem(bundle.weights("pem"))
    added = bundle.add_file("tem.pem.onnx", lambda path: onnx.save(graph, path))
    with pytest.raises(BackendError, match=r"tem\.pem\.onnx: its input has shape \(any, 32\)"):
        open_net(added, "tem", backend="onnxruntime", variant="pem")
