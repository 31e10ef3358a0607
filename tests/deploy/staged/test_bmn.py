"""The staged path of BMN: one network with three outputs."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actspan import Dataset
from actspan.core.errors import BundleError, DatasetError, StageError
from actspan.data.cells import fit_to_cells
from actspan.deploy.deploy_requests import StagedNet
from actspan.deploy.staged.dumps import RECORD, Dumps
from actspan.deploy.staged.host_steps import write_pem_inputs, write_tem_results
from actspan.deploy.staged.results import write_results
from actspan.deploy.staged.runner import write_list
from actspan.deploy.staged.stage import Stage
from actspan.proposals.matching import match_boundaries
from tests.deploy.staged.steps import StagedExample, make_bmn_example, make_example
from tests.examples import write_bmn_bundle, write_bundle

MAP, SCORES = 4 * 2 * 20 * 20, 4 * 20  # bytes of the outputs


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("staged")
    make_bmn_example(folder, videos=4).run_all_of_bmn()
    return folder


@pytest.fixture
def example(finished: Path, tmp_path: Path) -> StagedExample:
    shutil.copytree(finished, tmp_path / "x")
    folder = tmp_path / "x"
    return StagedExample(folder / "bundle", folder / "set", folder / "stage")


@pytest.fixture
def stage(example: StagedExample) -> Stage:
    return Stage.load(example.stage)


def values(path: Path) -> np.ndarray:
    return np.frombuffer(path.read_bytes(), dtype=np.float32)


@pytest.mark.parametrize("label_free", [0.0, 1.0], ids=["", "label-free"])
@pytest.mark.parametrize("mode", ["rescale", "window"])
@pytest.mark.parametrize(
    ("axes", "durations"), [("start-end", None), ("duration-start", None), ("duration-start", 9)]
)
def test_the_result_is_that_of_the_main_job(
    tmp_path: Path, axes: Any, durations: int | None, mode: Any, label_free: float
) -> None:
    length = 30 if mode == "window" else 20  # some recordings are shorter than a window
    settings: Any = {"axes": axes, "durations": durations, "mode": mode, "length": length}
    example = make_bmn_example(tmp_path, label_free=label_free, **settings)
    staged = example.run_all_of_bmn()
    assert staged == example.proposed(tmp_path / "x.json")
    found = json.loads(staged)["results"]
    assert len(found) == 5
    assert all(found.values())
    items = Stage.load(example.stage).table("bmn").items
    windows = [item.window for item in items]
    assert len(windows) > 5 if mode == "window" else windows == [None] * 5
    if mode == "window":
        assert min(item.rows for item in items) < 30  # a window with padded cells


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "torch"])
def test_backends(tmp_path: Path, backend: str) -> None:
    pytest.importorskip(backend)
    made = make_bmn_example(tmp_path, videos=3)
    example = StagedExample(made.model, made.dataset, made.stage, backend=backend)
    assert example.run_all_of_bmn() == example.proposed(tmp_path / "x.json")


def test_files(example: StagedExample, stage: Stage, tmp_path: Path) -> None:
    assert sorted(p.name for p in (stage.path / "bmn").iterdir()) == ["input", "inputs.jsonl"]
    features = Dataset.load(example.dataset).read("video0")
    found = values(stage.path / "bmn" / "input" / "video0.bin").reshape(6, 20)
    np.testing.assert_array_equal(found, fit_to_cells(features, 20, "clamp").T)
    path, count = write_list(stage, "bmn", tmp_path / "x.info", "/data")
    assert (count, path.read_text().splitlines()[1]) == (4, "1 /data/video1.bin 6 20")
    sizes = [p.stat().st_size for p in sorted(stage.outputs("bmn").glob("video0_*"))]
    assert sizes == [MAP, SCORES, SCORES]


def test_the_table_of_candidates_has_the_published_columns(stage: Stage) -> None:
    dumps = [values(stage.outputs("bmn") / f"video0_{k}.bin") for k in (1, 2, 3)]
    grid = dumps[0].reshape(2, 20, 20)
    expected = match_boundaries(grid, dumps[1], dumps[2])
    with (stage.path / "bmn-result" / "video0.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = ["xmin", "xmax", "xmin_score", "xmax_score", "clr_score", "reg_socre", "score"]
    assert list(rows[0]) == names
    assert len(rows) == len(expected) > 10
    columns = {name: np.array([float(row[name]) for row in rows]) for name in names}
    np.testing.assert_array_equal(columns["xmin"], expected.start)
    np.testing.assert_array_equal(columns["score"], expected.score)
    for row, start, end in zip(rows, expected.start, expected.end, strict=True):
        first, last = round(20 * start), round(20 * end) - 1
        cell = grid[:, last - first, first]
        assert [np.float32(row["reg_socre"]), np.float32(row["clr_score"])] == cell.tolist()


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    path.write_bytes(np.asarray(change(values(path).copy())).tobytes())


def with_nan(array: np.ndarray) -> np.ndarray:
    array[3] = np.nan
    return array


@pytest.mark.parametrize("output", [1, 2, 3])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:-1], "{less} bytes, {size} expected"),
        (lambda a: a.astype(np.float16), r"{half} bytes, {size} expected: float16\?"),
        (with_nan, "1 value NaN or infinite"),
        (lambda a: 5 * a - 9, "values from .*: no probabilities"),
        (None, "missing"),
    ],
    ids=["short", "half", "nan", "raw", "missing"],
)
def test_every_output_is_checked(stage: Stage, output: int, change: Any, message: str) -> None:
    dumps = Dumps(stage.outputs("bmn"))
    path = dumps.folder / f"video1_{output}.bin"
    path.unlink() if change is None else rewrite(path, change)
    size = MAP if output == 1 else SCORES
    message = message.format(size=size, less=size - 4, half=size // 2)
    before = (stage.path / "result.json").read_bytes()
    with pytest.raises(DatasetError, match=f"video1: {message}") as caught:
        write_results(stage, "bmn", dumps)
    assert [p.file for p in caught.value.problems] == [str(path)]
    assert (stage.path / "result.json").read_bytes() == before
    done = write_results(stage, "bmn", dumps, on_error="skip")
    assert (done.videos, len(done.problems)) == (3, 1)


def test_one_stale_output_of_three(stage: Stage) -> None:
    folder = stage.outputs("bmn")
    (folder / RECORD).unlink()  # vendors' tools write none
    os.utime(folder / "video2_3.bin", (0, 0))
    with pytest.raises(DatasetError, match="video2: stale: older than its input"):
        write_results(stage, "bmn", Dumps(folder))


def test_dumps_of_another_dataset_are_named_once(stage: Stage) -> None:
    folder = stage.outputs("bmn")
    for k in (1, 2, 3):
        shutil.copy(folder / f"video0_{k}.bin", folder / f"stranger_{k}.bin")
    with pytest.raises(DatasetError, match="stranger: dump of no input") as caught:
        write_results(stage, "bmn", Dumps(folder))
    assert len(caught.value.problems) == 1


def test_outputs_that_are_counted_from_zero(stage: Stage) -> None:
    folder = stage.outputs("bmn")
    for k in (1, 2, 3):
        for file in folder.glob(f"*_{k}.bin"):
            file.rename(file.with_name(file.name.replace(f"_{k}.bin", f"_{k - 1}.bin")))
    expected = rf"{SCORES} bytes, {MAP} expected: output 'start'\?"
    with pytest.raises(DatasetError, match=expected) as caught:
        write_results(stage, "bmn", Dumps(folder))
    assert "(--suffix, now _1.bin)" in caught.value.problems[0].remedy
    assert write_results(stage, "bmn", Dumps(folder, "_0.bin")).videos == 4
    with pytest.raises(StageError, match=r"suffix '\.out': .* which a number counts"):
        write_results(stage, "bmn", Dumps(folder, ".out"))


def test_numbers_of_two_digits_are_counted_on() -> None:
    dumps = Dumps(Path(), "_out9.bin")
    assert [dumps.suffix_of(k) for k in range(3)] == ["_out9.bin", "_out10.bin", "_out11.bin"]


def test_steps_of_the_other_kind_of_model(example: StagedExample, stage: Stage) -> None:
    dumps = Dumps(stage.outputs("bmn"))
    for call in (
        lambda: write_tem_results(stage, dumps),
        lambda: write_pem_inputs(stage),
        lambda: write_results(stage, "pem", dumps),
        lambda: write_list(stage, "tem"),
        lambda: example.run("pem"),
    ):
        with pytest.raises(StageError, match=r"a stage of BMN has no steps of (TEM|PEM)"):
            call()


@pytest.mark.parametrize("net", ["tem", "bmn"])
def test_a_stage_is_begun_with_the_network_of_the_model(tmp_path: Path, net: StagedNet) -> None:
    make: Any = make_example if net == "bmn" else make_bmn_example
    with pytest.raises(BundleError, match=f"not {net.upper()}; .* actspan staged (tem|bmn)-inputs"):
        make(tmp_path).start(net)
    assert not (tmp_path / "stage").exists()


def test_another_model_is_refused(example: StagedExample, tmp_path: Path) -> None:
    for other in (
        write_bmn_bundle(tmp_path / "a", durations=9),
        write_bundle(tmp_path / "b"),
    ):
        with pytest.raises(StageError, match="its weights are not those"):
            StagedExample(other.path, example.dataset, example.stage).run("bmn", overwrite=True)


def test_a_model_without_its_network(tmp_path: Path) -> None:
    example = make_bmn_example(tmp_path, videos=1)
    manifest = example.model / "model.toml"
    parts = manifest.read_text().split("\n\n")
    manifest.write_text("\n\n".join(part for part in parts if "bmn.safetensors" not in part))
    with pytest.raises(BundleError, match=r"contains no BMN; the staged path needs it: .*convert"):
        example.start("bmn")


def test_label_free_proposals_are_beside_the_inputs(tmp_path: Path) -> None:
    example = make_bmn_example(tmp_path, label_free=1.0, videos=2)
    example.run_all_of_bmn()
    (first, *_) = sorted((example.stage / "bmn" / "label-free").iterdir())
    first.unlink()
    stage = Stage.load(example.stage)
    with pytest.raises(DatasetError, match="start again: actspan staged bmn-inputs"):
        write_results(stage, "bmn", Dumps(stage.outputs("bmn")))
