from __future__ import annotations

import dataclasses
import math
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Bundle, Proposals
from actspan.core.errors import BackendError, ShapeError
from actspan.core.problems import skipped_line
from actspan.deploy.accuracy_report import to_dict, to_markdown
from actspan.deploy.reference import (
    Call,
    CheckpointSession,
    compare_outputs,
    compare_proposals,
    synthetic_videos,
)
from actspan.deploy.variants import (
    LIMITS,
    Variant,
    export_variants,
    find_variants,
    limits_of,
    precision_of,
)
from actspan.deploy.verification import verify_bundle
from actspan.model.bsn.forward import pem_forward, tem_forward
from actspan.model.bsn.graph import build_pem, build_tem
from actspan.model.nets import BSN
from actspan.runtime.opening import open_net
from tests.examples import CHANNELS, write_bmn_bundle, write_bundle, write_dataset


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("verify") / "b")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("verify-data") / "d", videos=8)


def spoilt(bundle: Bundle, name: str, by: float) -> Bundle:
    """Return a bundle with a variant of TEM whose last bias is slightly wrong."""
    weights = bundle.weights("tem")
    weights["conv3.bias"] = weights["conv3.bias"] + np.float32(by)
    graph = build_tem(weights)
    return bundle.add_file(name, lambda path: onnx.save(graph, path))


def test_an_ensemble_is_verified_as_well(tmp_path: Path) -> None:
    ensemble = write_bundle(tmp_path / "b", hidden=12, members=3, dilated=2)
    found = verify_bundle(ensemble, backends=["onnxruntime", "torch"])
    assert [result.status for result in found.results] == ["ok", "ok"]
    x = np.random.default_rng(0).standard_normal((2, CHANNELS, 20), dtype=np.float32)
    with CheckpointSession(ensemble, "tem") as session:
        output = session.run({"video": x})["output"]
    np.testing.assert_allclose(output, tem_forward(ensemble.weights("tem"), x), rtol=0, atol=1e-6)


def test_a_model_with_learnt_curves_is_verified_with_all_its_variants(
    tmp_path: Path, dataset: Path
) -> None:
    bundle = write_bundle(tmp_path / "b", curves=3)
    bundle = export_variants(bundle, ["fp16"]).bundle
    bundle = export_variants(bundle, ["int8"], calibrate=dataset).bundle
    assert {"tem.fp16.onnx", "pem.fp16.onnx", "tem.int8.onnx"} <= bundle.files.keys()
    for videos in ({"dataset": dataset, "subset": "validation"}, {}):
        found = verify_bundle(bundle, **videos)  # type: ignore[arg-type]
        full = [r for r in found.results if r.variant.precision == "float32"]
        assert {"onnxruntime", "torch"} <= {result.variant.backend for result in full}
        assert [result.status for result in full] == ["ok"] * len(full), found.results
        assert all(result.agreement is not None for result in found.results)


def test_ends_within_the_slack_are_the_same() -> None:
    ours, theirs = proposals((0, 1), (2, 3)), proposals((0.004, 1), (2.02, 3))
    assert compare_proposals({"a": ours}, {"a": theirs}).same == 0
    found = compare_proposals({"a": ours}, {"a": theirs}, {"a": 0.01})
    assert (found.same, found.kept) == (0.5, 0.5)


@pytest.mark.parametrize("net", sorted(BSN))
def test_the_checkpoint_is_the_network(bundle: Bundle, net: Any) -> None:
    shape = (3, CHANNELS, 20) if net == "tem" else (3, 32)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    forward = tem_forward if net == "tem" else pem_forward
    with CheckpointSession(bundle, net, remember=4) as session:
        (name,) = session.input_shapes
        output = session.run({name: x})["output"]
        for _ in range(3):
            session.run({name: x})
        assert sum(len(call.input) for call in session.calls) == 6  # whole calls, from 4 rows on
    np.testing.assert_allclose(output, forward(bundle.weights(net), x), rtol=0, atol=1e-6)


def test_the_checkpoint_standardises_its_input(tmp_path: Path) -> None:
    plain = write_bundle(tmp_path / "a")
    weights = plain.weights("tem")
    weights["input.mean"] = np.full(CHANNELS, 2.0, np.float32)
    weights["input.scale"] = np.full(CHANNELS, 0.5, np.float32)
    scaled = Bundle.create(
        tmp_path / "b",
        config=plain.config,
        features=plain.features,
        source=plain.source,
        weights={"tem": weights},
    )
    x = np.random.default_rng(0).standard_normal((2, CHANNELS, 20), dtype=np.float32)
    output = CheckpointSession(scaled, "tem").run({"video": x})["output"]
    np.testing.assert_allclose(output, tem_forward(weights, x), rtol=0, atol=1e-6)
    features = next(synthetic_videos(scaled).jobs()).open()
    assert abs(float(np.mean(features.values)) - 2) < 1  # type: ignore[union-attr]


def test_every_verified_backend_agrees(bundle: Bundle, dataset: Path) -> None:
    found = verify_bundle(bundle, dataset=dataset, subset="validation")
    assert found.passed
    assert found.videos == 4
    assert {"onnxruntime"} <= {result.variant.backend for result in found.results}
    assert found.recall is not None
    for result in found.results:
        assert result.agreement is not None
        assert result.agreement.same >= 0.999
        assert result.recall == pytest.approx(dict(found.recall), abs=0.01)
        assert 0 <= result.outputs["tem"].mean <= result.outputs["tem"].max < 1e-5
        assert result.outputs["tem"].logit_max < 1e-3


def test_videos_that_cannot_be_used_are_one_line(bundle: Bundle, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", videos=8)
    for name in ("video0", "video2", "video4", "video6"):
        (dataset / "features" / f"{name}.npy").write_bytes(b"cut")
    found = verify_bundle(bundle, dataset=dataset, backends=["onnxruntime"])
    assert found.videos == 4
    what = "skipped: 4 videos (video0, video2, video4 and 1 more)"
    assert skipped_line(found.problems) == what
    assert f"* {what}" in to_markdown(found, "x").splitlines()


def test_without_a_dataset_there_is_no_recall(bundle: Bundle) -> None:
    found = verify_bundle(bundle, backends=["onnxruntime"])
    assert found.passed
    assert found.recall is None
    assert found.proposals > 0
    assert "AR@100" not in to_markdown(found, "x").partition("Outputs are compared with")[0]


def test_a_bundle_of_one_network(tmp_path: Path) -> None:
    found = verify_bundle(write_bundle(tmp_path / "b", tem=False), backends=["onnxruntime"])
    assert found.passed
    assert set(found.results[0].outputs) == {"pem"}


def test_missing_graphs_are_written(tmp_path: Path) -> None:
    whole = write_bundle(tmp_path / "b")
    bare = dataclasses.replace(
        whole, files={k: v for k, v in whole.files.items() if not k.endswith(".onnx")}
    )
    assert verify_bundle(bare, backends=["onnxruntime"]).passed


def test_a_wrong_variant_is_caught(tmp_path: Path, dataset: Path) -> None:
    wrong = spoilt(write_bundle(tmp_path / "b"), "tem.wrong.onnx", 5.0)
    found = verify_bundle(wrong, dataset=dataset, backends=["onnxruntime"])
    plain, other = found.results
    assert (plain.status, other.status) == ("ok", "broken")
    assert other.variant.name == "onnxruntime, wrong"
    assert any(reason.startswith("TEM differs by 0.0") for reason in other.broken)
    assert other.outputs["pem"].max < 1e-5  # it has no variant, so the plain one ran
    assert other.outputs["tem"].logit_max == pytest.approx(0.05, rel=1e-3)
    assert not found.passed
    assert "**onnxruntime, wrong**: TEM differs by" in to_markdown(found, "x")


def test_limits_follow_the_precision(tmp_path: Path) -> None:
    rough = spoilt(write_bundle(tmp_path / "b"), "tem.fp16.onnx", 0.01)
    _, result = verify_bundle(rough, backends=["onnxruntime"]).results
    assert result.variant.precision == "float16"
    assert 1e-5 < result.outputs["tem"].max < LIMITS["float16"].output
    assert not any("TEM differs" in reason for reason in result.broken)


def test_half_precision_of_bmn_is_judged_by_segments_at_any_rank(tmp_path: Path) -> None:
    bundle = export_variants(write_bmn_bundle(tmp_path / "b"), ["fp16"]).bundle
    plain, half = verify_bundle(bundle, backends=["onnxruntime"]).results
    assert (plain.variant.graph, half.variant.graph) == ("", "fp16")
    assert (plain.status, half.status) == ("ok", "ok")
    assert half.agreement is not None
    assert half.agreement.same < LIMITS["float16"].same < half.agreement.kept  # type: ignore[operator]
    limits = limits_of("float16", ["bmn"])
    assert list(limits.broken({"bmn": 1e-3}, 0.5, 0.9)) == [
        "90.00% of proposals are kept, at least 95.0%"
    ]
    assert limits_of("float32", ["bmn"]) == LIMITS["float32"]


@pytest.mark.parametrize(
    ("graph", "backend", "precision"),
    [
        ("", "float32", "float32"),
        ("conv2d", "float32", "float32"),
        ("conv2d.fp16", "float32", "float16"),
        ("fp16-io", "float32", "float16"),
        ("conv2d.int8", "bfloat16", "int8"),
        ("fp16", "bfloat16", "bfloat16"),
        ("half-way-house", "float32", "float16"),
        ("profpint8s", "float32", "float32"),
    ],
)
def test_precision_is_read_off_the_name(graph: str, backend: str, precision: str) -> None:
    assert precision_of(graph, backend) == precision


def test_variants_are_all_graphs_on_all_backends(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    graph = build_pem(bundle.weights("pem"))
    more = bundle.add_file("pem.fp16.onnx", lambda path: onnx.save(graph, path))
    more = more.add_file("pem.bs1.om", lambda path: path.touch())
    found = find_variants(more, ["onnxruntime", "openvino:bf16", "torch", "ascend:1"])
    assert {v.name for v in found} >= {
        "onnxruntime",
        "onnxruntime, fp16",
        "openvino:bf16, fp16",
        "torch",
        "ascend:1, bs1",
    }
    assert {v.backend for v in find_variants(more)} == {
        "openvino",
        "onnxruntime",
        "torch",
        "ascend",
    }
    with pytest.raises(BackendError, match="'fast' is not known"):
        find_variants(bundle, ["fast"])


def test_what_was_asked_for_and_is_absent_is_a_failure(tmp_path: Path) -> None:
    compiled = write_bundle(tmp_path / "b").add_file("tem.om", lambda path: path.touch())
    compiled = compiled.add_file("pem.om", lambda path: path.touch())
    asked = verify_bundle(compiled, backends=["ascend"])
    assert [r.status for r in asked.results] == ["not run"]
    assert not asked.passed
    assert to_dict(asked)["variants"][0]["problem"]
    usual = verify_bundle(compiled)
    assert usual.passed
    assert any(note.startswith("ascend left out: ") for note in usual.notes)


def test_differences_before_and_after_the_sigmoid(bundle: Bundle) -> None:
    x = np.random.default_rng(0).random((50, 32), dtype=np.float32)
    with open_net(bundle, "pem", backend="onnxruntime") as session:
        output = session.run({"video_feature": x})["output"]
        moved = output.copy()
        moved[0] += 0.01
        difference = compare_outputs([Call(x, [moved])], session)
        p = float(output[0, 0])
        with pytest.raises(ShapeError, match="the checkpoint's is"):
            compare_outputs([Call(x, [output.ravel()])], session)
        saturated = compare_outputs([Call(x, [np.full_like(output, 1.0)])], session)
    assert difference.max == pytest.approx(0.01, rel=1e-4)
    assert difference.mean == pytest.approx(0.01 / 50, rel=1e-4)
    expected = math.log((p + 0.01) / (1 - p - 0.01)) - math.log(p / (1 - p))
    assert difference.logit_max == pytest.approx(expected, rel=1e-3)
    assert math.isnan(saturated.logit_max)


def proposals(*segments: tuple[float, float]) -> Proposals:
    start, end = np.array(segments).reshape(-1, 2).T
    return Proposals(start, end, np.linspace(1, 0.1, len(segments)), unit="seconds")


@pytest.mark.parametrize(
    ("other", "same", "kept"),
    [
        pytest.param([(0, 1), (2, 3), (4, 5)], 1, 1, id="equal"),
        pytest.param([(2, 3), (0, 1), (4, 5)], 1 / 3, 1, id="swapped"),
        pytest.param([(0, 1), (2, 3)], 2 / 3, 2 / 3, id="lost-at-the-end"),
        pytest.param([(2, 3), (4, 5)], 0, 2 / 3, id="lost-at-the-start"),
        pytest.param([], 0, 0, id="none"),
    ],
)
def test_proposals_that_stay(other: list[tuple[float, float]], same: float, kept: float) -> None:
    ours = {"a": proposals((0, 1), (2, 3), (4, 5))}
    found = compare_proposals(ours, {"a": proposals(*other)})
    assert (found.same, found.kept) == pytest.approx((same, kept))
    assert compare_proposals(ours, {}).same == 0
    assert compare_proposals({}, {}).same == 1


@given(st.permutations(range(6)))
def test_same_never_exceeds_kept(order: list[int]) -> None:
    segments = [(float(i // 2), i // 2 + 1.0 + (i > 3) * i) for i in range(6)]  # some twice
    ours, theirs = proposals(*segments), proposals(*(segments[i] for i in order))
    found = compare_proposals({"a": ours}, {"a": theirs})
    assert found.same <= found.kept == 1
    assert (found.same == 1) == ([segments[i] for i in order] == segments)


def test_synthetic_features_are_the_same_every_time(bundle: Bundle) -> None:
    material = synthetic_videos(bundle, videos=2)
    first, again = ([job.open() for job in material.jobs()] for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.values, b.values)  # type: ignore[union-attr]
    assert not np.array_equal(first[0].values, first[1].values)  # type: ignore[union-attr]


def test_the_page_names_what_it_was_made_of(bundle: Bundle, dataset: Path) -> None:
    found = verify_bundle(bundle, dataset=dataset, backends=["onnxruntime"])
    page = to_markdown(found, "actspan verify b/")
    for part in ("`actspan verify b/`", "synthetic, for tests", "AR@100", "8 videos", "int8"):
        assert part in page
    assert str(bundle.path.parent) not in page


def test_real_features_and_published_weights(data: Path, tmp_path: Path) -> None:
    # The target: outputs within 1e-5, 99.9 % the same, recall within 0.01 points.
    pytest.importorskip("torch")
    from click.testing import CliRunner

    from actspan.cli import main

    checkpoints = [data / "golden" / "tem_made_up.pth.tar", data / "weights" / "pem_best.pth.tar"]
    out = tmp_path / "bsn"
    done = CliRunner().invoke(main, ["convert", *map(str, checkpoints), "--out", str(out)])
    assert done.exit_code == 0, done.output
    found = verify_bundle(out, dataset=data / "ucf-spliced", subset="validation")
    assert found.videos == 120
    assert found.passed, [result.broken for result in found.results]


def test_variants_have_names() -> None:
    assert Variant("torch").name == "torch"
    assert Variant("openvino", "conv2d.fp16").name == "openvino, conv2d.fp16"


def test_ties_do_not_count_against_recall(
    bundle: Bundle, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("actspan.deploy.verification")
    propose = module._propose
    steps = iter([1, -1])  # of equal scores either order is right

    def tied(*args: Any) -> Any:
        found, *others = propose(*args)
        step = next(steps)
        return {n: p.with_score(np.full(len(p), 0.5))[::step] for n, p in found.items()}, *others

    monkeypatch.setattr(module, "_propose", tied)
    found = verify_bundle(bundle, dataset=dataset, backends=["onnxruntime"])
    (result,) = found.results
    assert result.recall != found.recall
    assert result.broken == ()
    assert any("in 8 videos two proposals of equal score changed" in note for note in found.notes)


def test_flat_scores_are_noted(dataset: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    tem = bundle.weights("tem")
    flat = bundle.add_networks({"tem": tem | {"conv3.weight": 0 * tem["conv3.weight"]}})
    found = verify_bundle(flat, dataset=dataset, backends=["onnxruntime"])
    assert any(note.startswith("scores are flat in 8 of 8 videos") for note in found.notes)
    assert found.passed


def test_a_stride_that_does_not_fit_is_noted(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    spec = "[features]\nchannels = 6\nstride_seconds = 0.05\n"
    folder = write_dataset(tmp_path / "set", spec=spec)
    found = verify_bundle(bundle.path, dataset=folder, backends=["onnxruntime"])
    (note,) = [note for note in found.notes if "would fit" in note]
    assert note.endswith("; stride_seconds = 0.5 in dataset.toml would fit")
