"""The staged path gives the same bytes as the main job."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Literal

import pytest

from actspan.core.errors import DatasetError
from actspan.deploy.staged.dumps import Dumps
from actspan.deploy.staged.host_steps import write_pem_inputs, write_tem_results
from actspan.deploy.staged.results import write_results
from actspan.deploy.staged.stage import Stage
from tests.deploy.staged.steps import StagedExample, make_example
from tests.examples import write_bundle
from tests.jobs.test_main_job import authors_folder, run


@pytest.mark.parametrize("curves", [0, 3])
@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_synthetic(tmp_path: Path, mode: Literal["rescale", "window"], curves: int) -> None:
    example = make_example(tmp_path, mode=mode, curves=curves)
    staged = example.run_all()
    assert staged == example.proposed(tmp_path / "x.json")
    assert len(json.loads(staged)["results"]) == 5
    windows = [item.window for item in Stage.load(example.stage).table("tem").items]
    assert len(windows) > 5 if mode == "window" else windows == [None] * 5


@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_label_free_proposals_are_kept_for_the_last_step(
    tmp_path: Path, mode: Literal["rescale", "window"]
) -> None:
    example = make_example(tmp_path, mode=mode, label_free=1.0)
    assert example.run_all() == example.proposed(tmp_path / "x.json")
    stage = Stage.load(example.stage)
    (first, *_) = sorted((stage.path / "tem" / "label-free").iterdir())
    content = first.read_bytes()
    for damaged, what in (
        (content[:-8], "damaged: .* bytes"),
        (content[:-24], "damaged: values that are not"),
        (None, "cannot be read: No such file"),
    ):
        first.unlink() if damaged is None else first.write_bytes(damaged)
        with pytest.raises(DatasetError, match=rf"{what}.*{first.name}\): start again"):
            write_results(stage, "pem", Dumps(stage.outputs("pem")))


def test_lean_changes_only_what_is_left_out(tmp_path: Path) -> None:
    example = make_example(tmp_path)
    stage = example.start(anchors=False)
    assert sorted(p.name for p in (stage.path / "tem").iterdir()) == ["input", "inputs.jsonl"]
    example.run("tem")
    shutil.rmtree(stage.path / "tem" / "input")  # docs/deploy/staged.md says when what can go
    write_tem_results(stage, Dumps(stage.outputs("tem")))
    write_pem_inputs(stage, lean=True)
    assert not (stage.path / "pem" / "bsp").exists()
    shutil.rmtree(stage.outputs("tem"))
    for file in (stage.path / "tem-result").glob("*.csv"):
        file.unlink()
    example.run("pem")
    shutil.rmtree(stage.path / "pem" / "input")
    write_results(stage, "pem", Dumps(stage.outputs("pem")))
    write_results(stage, "pem", Dumps(stage.outputs("pem")), lean=True)
    assert not (stage.path / "pem-result").exists()
    assert (stage.path / "result.json").read_bytes() == example.proposed(tmp_path / "x.json")


@pytest.fixture(scope="module")
def bundle(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle with a synthetic TEM and the published PEM."""
    pytest.importorskip("torch", reason="checkpoints are read by the extra 'train'")
    out = tmp_path_factory.mktemp("models") / "bsn"
    checkpoints = [data / "golden" / "tem_made_up.pth.tar", data / "weights" / "pem_best.pth.tar"]
    run("convert", *checkpoints, "--out", out, "--json")
    run("export", out, "--json")
    return out


def test_ucf_spliced_validation(bundle: Path, data: Path, tmp_path: Path) -> None:
    example = StagedExample(bundle, data / "ucf-spliced", tmp_path / "stage", "validation", "auto")
    staged = example.run_all()
    assert staged == example.proposed(tmp_path / "x.json")
    assert len(json.loads(staged)["results"]) == 120


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "torch"])
def test_the_authors_layout_with_its_second_span(
    bundle: Path, golden: Path, tmp_path: Path, backend: str
) -> None:
    pytest.importorskip(backend)
    authors_folder(tmp_path / "set", golden)
    example = StagedExample(bundle, tmp_path / "set", tmp_path / "stage", backend=backend)
    assert example.run_all() == example.proposed(tmp_path / "x.json")


def test_hapt_in_windows(data: Path, tmp_path: Path) -> None:
    # Real recordings of many windows, with random networks.
    write_bundle(tmp_path / "b", channels=72, length=100, mode="window")
    example = StagedExample(tmp_path / "b", data / "hapt", tmp_path / "stage", "validation")
    assert example.run_all() == example.proposed(tmp_path / "x.json")
