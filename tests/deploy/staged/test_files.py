"""The exchange files: names, types, order of values, and exact numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from actspan import Dataset
from actspan.core.errors import DatasetError, StageError
from actspan.data.cells import Window, fit_to_cells
from actspan.data.scores import read_scores_csv
from actspan.deploy.staged.runner import write_list
from actspan.deploy.staged.stage import Stage, input_name
from actspan.deploy.staged.step_files import write_csv
from actspan.proposals.bsp import bsp_features
from actspan.proposals.candidates import generate_proposals
from tests.deploy.staged.steps import StagedExample, make_example
from tests.examples import write_annotations


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> StagedExample:
    example = make_example(tmp_path_factory.mktemp("staged"))
    example.run_all()
    return example


@pytest.fixture
def stage(example: StagedExample) -> Stage:
    return Stage.load(example.stage)


def values(path: Path, kind: type = np.float64) -> np.ndarray:
    return np.frombuffer(path.read_bytes(), dtype=kind)


def test_tem_input_is_channels_by_cells(example: StagedExample, stage: Stage) -> None:
    features = Dataset.load(example.dataset).read("video0")
    found = values(stage.path / "tem" / "input" / "video0.bin", np.float32).reshape(6, 20)
    np.testing.assert_array_equal(found, fit_to_cells(features, 20, "clamp").T)
    for side, first in (("xmin", 0), ("xmax", 1)):
        anchors = values(stage.path / "tem" / side / "video0.bin")
        assert anchors.tolist() == [(1 / 20) * t for t in range(first, first + 20)]


def test_tem_result(stage: Stage) -> None:
    path = stage.path / "tem-result" / "video0.csv"
    header, *rows = path.read_text().splitlines()
    assert header == "action,start,end,xmin,xmax"
    dumped = values(stage.path / "tem-output" / "video0_1.bin", np.float32).reshape(3, 20)
    np.testing.assert_array_equal(np.asarray(read_scores_csv(path)), dumped)
    assert [float(row.split(",")[4]) for row in rows] == [(1 / 20) * t for t in range(1, 21)]


def test_pem_input_candidates_and_features(stage: Stage) -> None:
    folder = stage.path / "pem"
    scores = read_scores_csv(stage.path / "tem-result" / "video0.csv")
    candidates = generate_proposals(scores)
    bsp = np.load(folder / "bsp" / "video0.npy")
    np.testing.assert_array_equal(bsp, bsp_features(scores, candidates))
    padded = values(folder / "input" / "video0.bin", np.float32).reshape(1000, 32)
    np.testing.assert_array_equal(padded[: len(bsp)], bsp)
    assert not padded[len(bsp) :].any()
    header, *rows = (folder / "proposals" / "video0.csv").read_text().splitlines()
    assert header == "xmin,xmax,xmin_score,xmax_score,score"
    table = np.array([[float(x) for x in row.split(",")] for row in rows])
    columns = (candidates.start, candidates.end, candidates.start_score, candidates.end_score)
    for i, (side, column) in enumerate(
        zip(("xmin", "xmax", "xmin_score", "xmax_score"), columns, strict=True)
    ):
        np.testing.assert_array_equal(values(folder / side / "video0.bin"), column)
        np.testing.assert_array_equal(table[:, i], column)
    np.testing.assert_array_equal(table[:, 4], candidates.score)


def test_pem_result(stage: Stage) -> None:
    header, *rows = (stage.path / "pem-result" / "video0.csv").read_text().splitlines()
    assert header == "xmin,xmax,xmin_score,xmax_score,iou_score"
    dumped = values(stage.path / "pem-output" / "video0_1.bin", np.float32)
    assert dumped.shape == (1000,)
    assert [np.float32(row.split(",")[4]) for row in rows] == dumped[: len(rows)].tolist()


finite = st.floats(0, 1, width=32)
# no JSON of ours lets lone surrogates in
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(arrays(np.float32, 7, elements=finite), arrays(np.float64, 7, elements=st.floats(0, 1)))
def test_numbers_in_a_csv_are_exact(
    tmp_path_factory: pytest.TempPathFactory, single: np.ndarray, double: np.ndarray
) -> None:
    path = tmp_path_factory.getbasetemp() / "numbers.csv"
    columns = {"action": single, "start": single[::-1].copy(), "end": single, "xmin": double}
    write_csv(path, columns)
    scores = read_scores_csv(path)
    np.testing.assert_array_equal(scores.action, single)
    np.testing.assert_array_equal(scores.start, single[::-1])
    read = [float(line.split(",")[3]) for line in path.read_text().splitlines()[1:]]
    assert read == double.tolist()


@pytest.mark.parametrize(
    ("net", "line"),
    [("tem", "0 {}/tem/input/video0.bin 6 20"), ("pem", "0 {}/pem/input/video0.bin 1000 32")],
)
def test_list(stage: Stage, tmp_path: Path, net: str, line: str) -> None:
    path, count = write_list(stage, net, tmp_path / "x.info")  # type: ignore[arg-type]
    lines = path.read_text().splitlines()
    assert lines[0] == line.format(stage.path)
    assert len(lines) == count == 5
    assert [row.split()[0] for row in lines] == [str(i) for i in range(5)]
    assert lines == sorted(lines)


def test_list_for_another_host(stage: Stage, tmp_path: Path) -> None:
    path, _ = write_list(stage, "tem", tmp_path / "x.info", "/data/in/")
    assert path.read_text().startswith("0 /data/in/video0.bin 6 20\n1 /data/in/video1.bin ")
    with pytest.raises(StageError, match=r"split at blanks.*--prefix"):
        write_list(stage, "tem", tmp_path / "x.info", "/my data")


@pytest.mark.parametrize(
    ("video", "window", "name"),
    [
        ("--1DO2V4K74", None, "--1DO2V4K74"),
        ("a b", None, "a%20b"),
        ("../../x", None, "%2E.%2F..%2Fx"),
        ("..", None, "%2E."),
        (".hidden", None, "%2Ehidden"),
        ("C:\\x", None, "C%3A%5Cx"),
        ("50%", None, "50%25"),
        ("é", None, "%C3%A9"),
        ("day", Window(50, 150, 400), "day@50"),
        ("day@50", None, "day%4050"),
    ],
)
def test_input_names(video: str, window: Window | None, name: str) -> None:
    assert input_name(video, window) == name


@given(texts, texts)
def test_names_stay_in_the_folder_and_apart(one: str, other: str) -> None:
    name = input_name(one, None)
    assert not set(name) & set("/\\ \t\n\0:")
    assert not name.startswith(".")
    assert (input_name(other, None) == name) == (other == one)


def test_ids_never_become_paths(tmp_path: Path) -> None:
    example = make_example(tmp_path, videos=1)
    folder = example.dataset
    array = np.load(folder / "features" / "video0.npy")
    for file in (folder / "features").iterdir():
        file.unlink()
    (folder / "features").rmdir()
    ids = ["../../escaped", "/absolute", "with blank"]
    np.savez(folder / "features.npz", **dict.fromkeys(ids, array))
    entry = {"subset": "", "duration": len(array) / 2, "annotations": []}
    write_annotations(folder, dict.fromkeys(ids, entry))
    before = set(tmp_path.parent.iterdir())
    staged = example.run_all()
    assert set(tmp_path.parent.iterdir()) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "set", "stage"]
    assert set(json.loads(staged)["results"]) == set(ids)
    assert staged == example.proposed(tmp_path / "x.json")


def test_an_id_too_long_for_a_file_name_is_named(tmp_path: Path) -> None:
    example = make_example(tmp_path, videos=2)
    array = np.load(example.dataset / "features" / "video0.npy")
    entries = {"subset": "", "duration": len(array) / 2, "annotations": []}
    long = "x" * 300
    for file in (example.dataset / "features").iterdir():
        file.unlink()
    (example.dataset / "features").rmdir()
    np.savez(example.dataset / "features.npz", **{long: array, "short": array})
    write_annotations(example.dataset, {long: entries, "short": entries})
    with pytest.raises(DatasetError, match="a file name of more than 230 characters"):
        example.start()
    stage = example.start(on_error="skip")
    assert [item.video for item in stage.table("tem").items] == ["short"]
