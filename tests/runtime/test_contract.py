"""Requirements of every verified backend, tested on the same two networks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Bundle
from actspan.core.errors import BackendError, ShapeError
from actspan.core.types import Float32
from actspan.model.bsn.forward import pem_forward, tem_forward
from actspan.model.nets import BSN, Net
from actspan.runtime.backends import BACKENDS
from actspan.runtime.opening import check_backend, open_net, open_session
from actspan.runtime.session import Session
from tests.examples import CHANNELS, write_bundle

EXACT = [name for name, row in BACKENDS.items() if row.verified and row.precision == "float32"]
INPUT = {"tem": "video", "pem": "video_feature"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="module", params=EXACT)
def backend(request: pytest.FixtureRequest) -> str:
    support = check_backend(request.param)
    if not support.usable:
        pytest.skip(support.problem)
    return str(request.param)


@pytest.fixture(scope="module")
def sessions(bundle: Bundle, backend: str) -> Iterator[dict[Net, Session]]:
    opened: dict[Net, Session] = {
        net: open_net(bundle, net, backend=backend, streams=2) for net in sorted(BSN)
    }
    yield opened
    for session in opened.values():
        session.close()


def rows(net: Net, count: int, seed: int = 0) -> Float32:
    shape = (count, CHANNELS, 20) if net == "tem" else (count, 32)
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def expected(bundle: Bundle, net: Net, x: Float32) -> Float32:
    forward = tem_forward if net == "tem" else pem_forward
    return forward(bundle.weights(net), x)


@pytest.mark.parametrize("net", sorted(BSN))
def test_names_and_shapes_of_inputs_and_outputs(
    sessions: dict[Net, Session], net: Net, backend: str
) -> None:
    session = sessions[net]
    assert session.backend == backend
    assert [*session.input_shapes] == [INPUT[net]]
    assert session.input_shapes[INPUT[net]][0] is None
    assert [*session.output_names] == ["output"]
    assert session.batch_range is None


@pytest.mark.parametrize("net", sorted(BSN))
@pytest.mark.parametrize("count", [1, 3, 129, 500])
def test_computes_the_network(
    sessions: dict[Net, Session], bundle: Bundle, net: Net, count: int
) -> None:
    x = rows(net, count)
    output = sessions[net].run({INPUT[net]: x})["output"]
    assert output.dtype == np.float32
    np.testing.assert_allclose(output, expected(bundle, net, x), rtol=0, atol=1e-5)


def test_no_proposals_are_no_error(sessions: dict[Net, Session]) -> None:
    assert sessions["pem"].run({"video_feature": rows("pem", 0)})["output"].shape == (0, 1)


@pytest.mark.parametrize("net", sorted(BSN))
def test_one_session_serves_many_threads(
    sessions: dict[Net, Session], bundle: Bundle, net: Net
) -> None:
    inputs = [rows(net, count, seed=count) for count in [1, 5, 16, 40] * 6]
    with ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(lambda x: sessions[net].run({INPUT[net]: x})["output"], inputs))
    for x, output in zip(inputs, outputs, strict=True):
        np.testing.assert_allclose(output, expected(bundle, net, x), rtol=0, atol=1e-5)


@given(count=st.integers(1, 15))
def test_a_video_does_not_depend_on_its_neighbours(
    sessions: dict[Net, Session], backend: str, count: int
) -> None:
    # Bit for bit, except PyTorch, which chooses other kernels for other batches.
    x = rows("tem", 16)
    alone = sessions["tem"].run({"video": x[:count]})["output"]
    among = sessions["tem"].run({"video": x})["output"][:count]
    np.testing.assert_allclose(alone, among, rtol=0, atol=1e-6 if backend == "torch" else 0)


def test_results_belong_to_the_caller(sessions: dict[Net, Session]) -> None:
    first = sessions["pem"].run({"video_feature": rows("pem", 7)})["output"]
    before = first.copy()
    sessions["pem"].run({"video_feature": rows("pem", 7, seed=1)})
    np.testing.assert_array_equal(first, before)


def test_a_closed_session_raises(bundle: Bundle, backend: str) -> None:
    session = open_net(bundle, "pem", backend=backend)
    session.close()
    session.close()
    with pytest.raises(BackendError, match="the session is closed; open it again"):
        session.run({"video_feature": rows("pem", 1)})


@pytest.mark.parametrize("net", sorted(BSN))
def test_wrong_inputs_are_named(sessions: dict[Net, Session], net: Net) -> None:
    with pytest.raises(ShapeError, match=f"{INPUT[net]} has shape"):
        sessions[net].run({INPUT[net]: np.zeros((3, 31), np.float32)[..., :5]})
    with pytest.raises(ShapeError, match="inputs are x"):
        sessions[net].run({"x": np.zeros((3, 31), np.float32)})


def test_a_damaged_file_is_named(bundle: Bundle, backend: str, tmp_path: Path) -> None:
    file = tmp_path / f"pem{BACKENDS[backend].suffix}"
    file.write_bytes(bundle.file(f"pem{BACKENDS[backend].suffix}").read_bytes()[:100])
    with pytest.raises(BackendError, match=rf"pem{BACKENDS[backend].suffix}: "):
        open_session(file, backend=backend)


def test_a_bundle_without_the_file_says_how_to_write_it(bundle: Bundle) -> None:
    from actspan.core.errors import BundleError

    with pytest.raises(BundleError, match=r"has no tem\.x\.onnx; write it: actspan export"):
        open_net(bundle, "tem", backend="onnxruntime", variant="x")
