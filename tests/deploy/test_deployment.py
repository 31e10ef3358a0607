from __future__ import annotations

import math
from pathlib import Path

import pytest
from msgspec.structs import replace

from actspan import Bundle
from actspan.core.errors import BundleError, CheckpointError, ConfigError
from actspan.deploy.deploy_requests import DeployRequest
from actspan.deploy.deployment import deploy, evaluate_deployed
from tests.deploy.compilers import atc_on_path, only
from tests.examples import write_bundle, write_dataset

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("deploying") / "b")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("deploying") / "d", videos=6)


def names(done: object) -> list[str]:
    return [step.name for step in done.steps]  # type: ignore[attr-defined]


def test_a_bundle_to_openvino(bundle: Bundle, dataset: Path, tmp_path: Path) -> None:
    told: list[str] = []
    request = DeployRequest(
        "openvino", sources=(bundle.path,), out=tmp_path / "out", dataset=dataset
    )
    done = deploy(request, told.append)
    assert [step for step in dict.fromkeys(names(done)) if step != "passes"] == [
        "copy", "export", "compile", "verify",
    ]  # fmt: skip
    assert done.verification.passed
    assert not done.left
    assert [r.variant.name for r in done.verification.results] == ["onnxruntime", "openvino (.xml)"]
    assert done.verification.videos == 3
    assert told[0] == "copy"
    assert done.bundle.path == tmp_path / "out"
    assert "tem.xml" not in Bundle.load(bundle.path).files
    assert all(step.seconds >= 0 or math.isnan(step.seconds) for step in done.steps)
    with pytest.raises(BundleError, match="a bundle already exists"):
        deploy(request)


def test_an_ensemble_to_openvino(dataset: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", members=2, dilated=2)
    request = DeployRequest("openvino", sources=(bundle.path,), out=None, dataset=dataset)
    done = deploy(request)
    assert [r.status for r in done.verification.results] == ["ok", "ok"]
    request = replace(request, batches=(1,), subset=None)
    found = evaluate_deployed(done.bundle, request, dataset, tmp_path / "run")
    assert found.videos == 6
    assert found.untimed == ()


def test_checkpoints_replace_a_bundle_as_a_whole_and_only_when_asked(
    bundle: Bundle, tmp_path: Path
) -> None:
    pem, out = bundle.path / "pem.safetensors", write_bundle(tmp_path / "out").path
    before = (out / "model.toml").read_bytes()
    request = DeployRequest("openvino", sources=(pem,), out=out)
    with pytest.raises(BundleError, match="--force"):
        deploy(request)
    with pytest.raises(BundleError, match="--force"):  # the network that it lacks is not added
        deploy(replace(request, out=write_bundle(tmp_path / "half", tem=False).path))
    with pytest.raises(CheckpointError):
        deploy(replace(request, sources=(tmp_path / "none.pth",), overwrite=True))
    assert (out / "model.toml").read_bytes() == before
    done = deploy(replace(request, overwrite=True))
    assert done.verification.passed
    assert Bundle.load(out).nets == {"pem"}
    assert {file.name for file in tmp_path.iterdir()} == {"out", "half"}


def test_a_bundle_is_deployed_in_place(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    done = deploy(DeployRequest("openvino", sources=(bundle.path,), out=None))
    assert done.bundle.path == bundle.path
    assert "tem.xml" in Bundle.load(bundle.path).files


def test_without_the_compiler_a_script_is_left(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch)
    monkeypatch.setattr("actspan.deploy.atc._SET_ENV", ())
    done = deploy(DeployRequest("ascend", sources=(bundle.path,), out=tmp_path / "out"))
    assert (tmp_path / "out" / "compile-ascend.sh").is_file()
    assert "atc is not on PATH" in done.left[0]
    assert "compile-ascend.sh" in done.left[1]
    assert done.unverified.startswith("not verified on ascend here: ")
    assert done.verification.passed
    graphs = {result.variant.graph for result in done.verification.results}
    assert graphs == {"", "ascend.bs1", "ascend.bs16"}


def test_with_the_compiler_the_guides_files_appear(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atc_on_path(monkeypatch, tmp_path / "bin")
    done = deploy(DeployRequest("ascend", sources=(bundle.path,), out=tmp_path / "out"))
    made = [step.file for step in done.steps if step.name == "compile"]
    assert made == ["tem.fp16.bs1.om", "tem.fp16.bs16.om", "pem.fp16.bs1.om", "pem.fp16.bs16.om"]
    assert not done.left
    assert done.unverified.startswith("not verified on ascend here: ")


def test_checkpoints_need_a_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--out"):
        deploy(DeployRequest("openvino", sources=(tmp_path / "tem.pth",), out=None))


@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_evaluation(mode: str, dataset: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", mode=mode)  # type: ignore[arg-type]
    request = DeployRequest("openvino", batches=(1, 2), sources=(bundle.path,))
    found = evaluate_deployed(bundle, request, dataset, tmp_path / "run")
    assert found.videos == 3
    assert set(found.times) == {("tem", 1), ("pem", 1), ("tem", 2), ("pem", 2)}
    times = found.times["tem", 1]
    assert times.samples == found.times["pem", 1].samples >= 3
    assert times.calls == times.samples
    assert found.times["tem", 2].calls < times.calls
    assert times.total == pytest.approx(
        times.read + times.preprocess + times.inference + times.postprocess
    )
    assert 0 <= found.recall["AR@100"] <= 100
    text = (tmp_path / "run" / "tem_bs2.txt").read_text()
    assert "[inference] throughputRate: " in text
    assert (tmp_path / "run" / "result.json").is_file()


def test_only_whole_batches_are_timed(bundle: Bundle, dataset: Path, tmp_path: Path) -> None:
    request = DeployRequest("openvino", batches=(2, 16), sources=(bundle.path,))
    found = evaluate_deployed(bundle, request, dataset, tmp_path / "run")
    assert (found.times["tem", 2].samples, found.times["tem", 2].calls) == (2, 1)  # of 3
    assert found.untimed == (16,)
    assert not list((tmp_path / "run").glob("*_bs16.txt"))


def test_the_published_pem_to_openvino(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    checkpoints = (data / "weights" / "pem_best.pth.tar", data / "golden" / "tem_made_up.pth.tar")
    done = deploy(DeployRequest("openvino", sources=checkpoints, out=tmp_path / "out"))
    assert done.verification.passed, [result.broken for result in done.verification.results]
    assert [step.file for step in done.steps if step.name == "convert"] == [
        "pem.safetensors",
        "tem.safetensors",
    ]
