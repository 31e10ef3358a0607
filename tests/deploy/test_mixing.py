"""int8 of a TEM: layers are left out until the proposals of annotated videos stay the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actspan import Bundle, Pipeline
from actspan.core.errors import BackendError, ConfigError
from actspan.data.dataset import Dataset
from actspan.deploy.compilation import compile_plan, find_compiler, prepare_plan
from actspan.deploy.deploy_requests import CompileRequest
from actspan.deploy.mixing import mix_layers
from actspan.deploy.verification import verify_bundle
from actspan.jobs.propose import propose
from actspan.runtime.opening import check_backend
from actspan.runtime.precision import backend_for
from tests.examples import write_annotations, write_bundle, write_dataset

openvino = pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("mixing") / "d", videos=8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("mixing") / "b", dilated=2)


def reversed_in_time(model: Any) -> Any:
    """Return a model whose scores are those of other cells, so that proposals are wrong."""
    ops = openvino.opset13
    (result,) = model.get_results()
    backwards = ops.gather(result.input_value(0), np.arange(19, -1, -1), np.int64(2))
    return openvino.Model([backwards], model.get_parameters(), "wrong")


def test_the_first_mix_that_leaves_the_proposals_is_taken(bundle: Bundle, dataset: Path) -> None:
    exact = openvino.Core().read_model(str(bundle.file("tem.onnx")))
    asked: list[int] = []

    def without(count: int) -> Any:
        asked.append(count)
        model = exact.clone()
        return model if count >= 2 else reversed_in_time(model)

    model, line = mix_layers(without, 4, bundle, dataset)
    assert asked == [0, 1, 2]
    assert "Gather" not in {op.get_type_name() for op in model.get_ops()}
    assert line.startswith("TEM: int8 in the last 2 of 4 layers before the last one: AR@1 ")
    assert line.endswith("on 4 videos of d, validation")
    assert "more than" not in line


def test_if_none_does_the_closest_is_taken_and_the_line_says_so(
    bundle: Bundle, dataset: Path
) -> None:
    exact = openvino.Core().read_model(str(bundle.file("tem.onnx")))
    _, line = mix_layers(lambda _: reversed_in_time(exact.clone()), 1, bundle, dataset)
    assert "points, more than 0.1, on" in line


def test_without_annotations_nothing_is_claimed(bundle: Bundle, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d", videos=2)
    entries = {f"video{i}": {"subset": "training", "annotations": []} for i in range(2)}
    write_annotations(folder, entries)
    exact = openvino.Core().read_model(str(bundle.file("tem.onnx")))
    _, line = mix_layers(lambda _: exact, 4, bundle, folder)
    assert "no video is annotated: actspan verify" in line


@pytest.mark.parametrize("curves", [0, 4])
def test_int8_from_compile_to_proposals(tmp_path: Path, dataset: Path, curves: int) -> None:
    pytest.importorskip("nncf")
    bundle = write_bundle(tmp_path / "b", hidden=32, dilated=1, curves=curves)
    request = CompileRequest("openvino", precision="int8", calibrate=dataset)
    compiler = find_compiler(request)
    bundle, (tem, pem) = compile_plan(prepare_plan(bundle, request, compiler), compiler)
    assert any(note.startswith("TEM: int8 in ") for note in tem.notes)
    assert not pem.notes
    assert "FakeQuantize" not in bundle.file("pem.int8.xml").read_text()
    (result,) = verify_bundle(bundle, dataset=dataset, backends=["openvino:int8"]).results
    assert result.variant.precision == "mixed"
    assert result.agreement is not None
    assert {"AR@100", "AUC"} <= (result.recall or {}).keys()

    try:
        backend_for("int8")
    except BackendError as error:
        pytest.skip(str(error))
    exact = propose(dataset=dataset, model=bundle.path, out=tmp_path / "exact")
    fast = propose(dataset=dataset, model=bundle.path, out=tmp_path / "fast", precision="int8")
    assert fast.info["precision"] == "int8"
    assert "openvino:int8" in fast.info["versions"]
    assert "precision" not in exact.info
    features = Dataset.load(dataset).read("video1")
    with Pipeline.load(bundle, precision="int8", threads=1) as pipeline:
        np.testing.assert_allclose(
            pipeline.propose(features).start, fast.proposals()["video1"].start, atol=1e-5
        )


def test_bfloat16_needs_no_file_and_changes_scores_a_little(bundle: Bundle, dataset: Path) -> None:
    support = check_backend("openvino:bf16")
    if not support.usable:
        pytest.skip(support.problem)
    features = Dataset.load(dataset).read("video0")
    found = []
    for precision in ("fp32", "bf16"):
        with Pipeline.load(bundle, precision=precision, threads=1) as pipeline:
            found.append(pipeline.propose(features).score[:5])
    assert not np.array_equal(*found)
    np.testing.assert_allclose(*found, rtol=0.1)


def test_a_label_free_model_has_no_precision() -> None:
    from actspan.model import LABEL_FREE

    with pytest.raises(ConfigError, match="a label-free model has no networks"):
        Pipeline.load(LABEL_FREE, precision="bf16")
