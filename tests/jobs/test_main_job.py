"""The main job through the commands, against the published code's final results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from actspan import Dataset
from actspan.cli import main
from actspan.data.check import check_dataset

pytest.importorskip("torch")


def run(*words: str | Path) -> dict[str, Any]:
    answer = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    parsed: dict[str, Any] = json.loads(answer.stdout)
    return parsed


@pytest.fixture(scope="module")
def bundle(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the synthetic TEM and the real PEM, converted and exported."""
    out = tmp_path_factory.mktemp("models") / "bsn"
    checkpoints = [data / "golden" / "tem_made_up.pth.tar", data / "weights" / "pem_best.pth.tar"]
    run("convert", *checkpoints, "--out", out, "--json")
    run("export", out, "--json")
    return out


def authors_folder(folder: Path, golden: Path) -> list[str]:
    """Write the authors' layout from recorded features; return the videos that have some."""
    (folder / "csv_mean_100").mkdir(parents=True)
    videos = json.loads((golden / "videos.json").read_text())
    with np.load(golden / "stages.npz") as stages:
        names = [name for name in videos if f"{name}/feature" in stages]
        for name in names:
            target = folder / "csv_mean_100" / f"{name}.csv"
            header = ",".join(f"f{i}" for i in range(400))
            rows = stages[f"{name}/feature"]
            np.savetxt(target, rows, delimiter=",", header=header, comments="", fmt="%.9g")
    chosen = {name: videos[name] for name in names}
    (folder / "anet_anno_action.json").write_text(json.dumps(chosen))
    return names


def compare(found: Sequence[Any], expected: Sequence[Any], *, rtol: float) -> None:
    ours = np.array([[*row["segment"], row["score"]] for row in found])
    published = np.array([[*row["segment"], row["score"]] for row in expected])
    np.testing.assert_allclose(ours[:, :2], published[:, :2], rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours[:, 2], published[:, 2], rtol=rtol)


def test_features_to_result(bundle: Path, golden: Path, tmp_path: Path) -> None:
    names = authors_folder(tmp_path / "set", golden)
    out = tmp_path / "run"
    run("propose", "--model", bundle, "--dataset", tmp_path / "set", "--out", out, "--json")
    found = json.loads((out / "result.json").read_text())["results"]
    expected = json.loads((golden / "result_proposal.json").read_text())["results"]
    assert list(found) == [name.removeprefix("v_") for name in names]
    with np.load(golden / "stages.npz") as stages, np.load(out / "scores.npz") as scores:
        for name, video in zip(names, found, strict=True):
            np.testing.assert_allclose(scores[video], stages[f"{name}/tem"], rtol=0, atol=1e-5)
            # scores are products of network outputs that may differ by 1e-5
            compare(found[video], expected[video], rtol=1e-4)


@pytest.mark.parametrize("part", ["", "dense"])
def test_boundary_scores_to_result_and_recall(
    bundle: Path, golden: Path, tmp_path: Path, part: str
) -> None:
    source, folder = golden / part, tmp_path / "set"
    folder.mkdir()
    shutil.copy(source / "videos.json", folder / "anet_anno_action.json")
    with np.load(source / "stages.npz") as stages:
        scores = {k.removesuffix("/tem"): stages[k] for k in stages.files if k.endswith("/tem")}
    np.savez(tmp_path / "scores.npz", **scores)
    out = tmp_path / "x.json"
    run("propose", "--model", bundle, "--dataset", folder, "--scores", tmp_path / "scores.npz",
        "--out", out, "--json")  # fmt: skip
    found = json.loads(out.read_text())["results"]
    expected = json.loads((source / "result_proposal.json").read_text())["results"]
    assert found.keys() == expected.keys()
    for video in expected:
        compare(found[video], expected[video], rtol=1e-6)
    truth = source / "ground_truth.json"
    ours, published = (
        run("evaluate", result, "--ground-truth", truth, "--json")
        for result in (out, source / "result_proposal.json")
    )
    assert ours == published
    assert {"AR@1", "AR@5", "AR@10", "AR@50", "AR@100", "AUC"} <= ours.keys()


def test_demo(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    answer = CliRunner().invoke(main, ["demo", "--out", str(out), "--videos", "8"])
    assert answer.exit_code == 0, answer.output
    assert f"serve --results {out / 'run'}" in answer.output
    assert "Synthetic data" in answer.output
    pictures = sorted(out.glob("*.png"))
    assert len(pictures) == 4
    assert all(picture.stat().st_size > 10_000 for picture in pictures)


def test_demo_does_not_write_to_folders_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    for more in ([], ["--training-set", "1"]):
        answer = CliRunner().invoke(main, ["demo", "--out", str(tmp_path), *more])
        assert answer.exit_code == 1
        assert "contains files that were not written by a demo" in answer.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    made = str(tmp_path / "made")
    for _ in range(2):  # an earlier one is replaced
        again = ["demo", "--out", made, "--training-set", "1"]
        assert CliRunner().invoke(main, again).exit_code == 0


def _add_video(folder: Path) -> None:
    document = json.loads((folder / "annotations.json").read_text())
    document["database"]["mine"] = {"duration": 9.0, "annotations": []}
    (folder / "annotations.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_add_video, id="edited"),
        pytest.param(lambda f: (f / "features/mine.npy").touch(), id="features"),
        pytest.param(lambda f: (f / "notes.txt").touch(), id="file"),
    ],
)
def test_demo_does_not_replace_a_dataset_with_other_files(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    again = ["demo", "--out", str(tmp_path), "--training-set", "1"]
    assert CliRunner().invoke(main, again).exit_code == 0
    change(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    answer = CliRunner().invoke(main, again)
    assert answer.exit_code == 1
    assert "contains files that were not written by a demo" in answer.output
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_smaller_demo_set_leaves_no_old_features(tmp_path: Path) -> None:
    for size in ("3", "1"):
        again = ["demo", "--out", str(tmp_path), "--training-set", size]
        assert CliRunner().invoke(main, again).exit_code == 0
    (tmp_path / "annotations.json").unlink()  # as if the demo had been aborted
    assert CliRunner().invoke(main, again).exit_code == 0
    assert len(check_dataset(Dataset.load(tmp_path))) == 2
    assert len(list((tmp_path / "features").iterdir())) == 2
