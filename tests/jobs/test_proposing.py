from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from msgspec.structs import replace
from pyarrow.csv import read_csv
from pyarrow.parquet import read_table

from actspan import Bundle, Run
from actspan.config.stages import FeatureSpec
from actspan.core.errors import ActSpanError, BundleError, DatasetError, ResultError, by_kind
from actspan.data.result_files import read_result
from actspan.deploy.accuracy_report import library_versions
from actspan.deploy.verification import verify_bundle
from actspan.jobs.driver import propose
from actspan.jobs.feature_source import FeatureSource
from actspan.jobs.propose_request import ProposeRequest
from tests.examples import CHANNELS, write_bundle, write_dataset


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> ProposeRequest:
    folder = tmp_path_factory.mktemp("main")
    write_bundle(folder / "bundle")
    write_dataset(folder / "set", videos=6)
    return ProposeRequest(model=folder / "bundle", dataset=folder / "set", out=folder / "unused")


def test_a_run_has_all_files_and_entries(request_: ProposeRequest, tmp_path: Path) -> None:
    seen = []
    summary = propose(replace(request_, out=tmp_path / "run"), lambda *step: seen.append(step))
    assert (summary.videos, len(summary.problems)) == (6, 0)
    assert seen[-1] == ("propose", 6, 6)
    run = Run.load(tmp_path / "run")
    assert run.info["videos"] == 6
    assert run.info["skipped"] == []
    assert {"bundle", "dataset", "versions", "pipeline", "timing"} <= run.info.keys()
    proposals = run.proposals()
    assert sum(len(p) for p in proposals.values()) == summary.proposals
    with run.scores() as scores:
        for row in run.candidates():
            assert len(row.proposals) == len(row.confidence)
            assert proposals[row.video].end.max() <= row.seconds
            assert scores.read(row.video).action.shape == (20,)
    assert not [f for f in tmp_path.iterdir() if f.name != "run"]


@pytest.mark.parametrize("out", ["run", "alone.json"])
def test_flat_scores_give_a_note(request_: ProposeRequest, out: str, tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", videos=4)
    for file in (tmp_path / "set" / "features").iterdir():
        np.save(file, np.zeros_like(np.load(file)))
    summary = propose(replace(request_, dataset=tmp_path / "set", out=tmp_path / out))
    assert summary.notes[-1].startswith("scores are flat in 4 of 4 videos")
    assert not any(
        "flat" in line for line in propose(replace(request_, out=tmp_path / f"other-{out}")).notes
    )


def test_a_result_file_equals_that_of_a_run(request_: ProposeRequest, tmp_path: Path) -> None:
    propose(replace(request_, out=tmp_path / "run"))
    propose(replace(request_, out=tmp_path / "alone.json", threads=1, batch=1))
    alone = (tmp_path / "alone.json").read_bytes()
    assert alone == (tmp_path / "run" / "result.json").read_bytes()
    assert set(json.loads(alone)) == {"version", "results", "external_data"}


def test_starting_from_the_scores_of_a_run_gives_the_same(
    request_: ProposeRequest, tmp_path: Path
) -> None:
    first = replace(request_, out=tmp_path / "run")
    propose(first)
    scores = tmp_path / "run" / "scores.npz"
    propose(replace(first, out=tmp_path / "again.json", scores=scores))
    again = (tmp_path / "again.json").read_bytes()
    assert again == (tmp_path / "run" / "result.json").read_bytes()


def test_scores_need_neither_tem_nor_features(request_: ProposeRequest, tmp_path: Path) -> None:
    propose(replace(request_, out=tmp_path / "run"))
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "annotations.json").write_bytes((request_.dataset / "annotations.json").read_bytes())
    write_bundle(tmp_path / "pem-only", tem=False)
    summary = propose(
        ProposeRequest(
            model=tmp_path / "pem-only",
            dataset=bare,
            out=tmp_path / "out.json",
            scores=tmp_path / "run",
        )
    )
    assert summary.videos == 6
    assert summary.notes == ("positions are scaled by the videos' annotated durations",)


def test_scores_that_are_missing_are_named_or_skipped(
    request_: ProposeRequest, tmp_path: Path
) -> None:
    values = np.full((3, 20), 0.5, dtype=np.float32)
    np.savez(tmp_path / "scores.npz", video0=values, stranger=values)
    request = replace(request_, out=tmp_path / "x.json", scores=tmp_path / "scores.npz")
    with pytest.raises(DatasetError) as caught:
        propose(request)
    assert {p.video for p in caught.value.problems} == {f"video{i}" for i in range(1, 6)}
    assert not (tmp_path / "x.json").exists()
    summary = propose(replace(request, on_error="skip"))
    assert summary.videos == 1
    notes = [p.video for p in summary.problems if not p.is_error]
    assert notes == ["stranger"]


def test_scores_of_other_names_are_one_kind_of_problem(
    request_: ProposeRequest, tmp_path: Path
) -> None:
    folder = write_dataset(tmp_path / "set", videos=4)
    scores = {f"video{i}_x": np.full((3, 20), 0.5, np.float32) for i in range(4)}
    np.savez(tmp_path / "scores.npz", **scores)  # type: ignore[arg-type]
    request = replace(
        request_, dataset=folder, scores=tmp_path / "scores.npz", out=tmp_path / "out.json"
    )
    with pytest.raises(DatasetError) as caught:
        propose(request)
    (kind,) = by_kind(caught.value.problems)
    assert len(kind) == 4
    assert kind[0].problem.startswith("boundary scores and videos have different names")


def test_bad_scores_are_all_named_before_work(request_: ProposeRequest, tmp_path: Path) -> None:
    good = np.full((3, 20), 0.5, dtype=np.float32)
    bad = {"video1": good * np.nan, "video3": good[:2]}
    given = {f"video{i}": good for i in range(6)} | bad
    np.savez(tmp_path / "scores.npz", **given)  # type: ignore[arg-type]
    request = replace(request_, out=tmp_path / "x.json", scores=tmp_path / "scores.npz")
    with pytest.raises(DatasetError) as caught:
        propose(request)
    assert [p.video for p in caught.value.problems] == ["video1", "video3"]
    assert propose(replace(request, on_error="skip")).videos == 4
    np.savez(tmp_path / "scores.npz", **dict.fromkeys(given, good[:2]))  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="None of 6 videos can be used"):
        propose(replace(request, on_error="skip"))


def test_skipped_videos_are_recorded_in_the_run(request_: ProposeRequest, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", videos=3)
    (folder / "features" / "video1.npy").write_bytes(b"")
    request = replace(request_, dataset=folder, out=tmp_path / "run")
    with pytest.raises(DatasetError, match="video1: the file is empty"):
        propose(request)
    assert not (tmp_path / "run").exists()
    propose(replace(request, on_error="skip"))
    (skipped,) = Run.load(tmp_path / "run").info["skipped"]
    assert (skipped["video"], skipped["left_out"]) == ("video1", "video")


def test_nothing_is_overwritten_by_accident(request_: ProposeRequest, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(ResultError, match="is not a run: choose another folder"):
        propose(replace(request_, out=tmp_path / "mine", overwrite=True))
    request = replace(request_, out=tmp_path / "run")
    propose(request)
    with pytest.raises(ResultError, match="a run already exists"):
        propose(request)
    propose(replace(request, overwrite=True))
    with pytest.raises(ResultError, match="does not exist"):
        propose(replace(request_, out=tmp_path / "nowhere" / "x.json"))


def test_a_failure_leaves_only_finished_shards(
    request_: ProposeRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("actspan.jobs.sinks.add_scores", disk_full)
    with pytest.raises(ActSpanError, match="cannot be written: No space left"):
        propose(replace(request_, out=tmp_path / "run"))
    assert [f.name for f in tmp_path.iterdir()] == ["run.partial"]
    left = sorted(f.name for f in (tmp_path / "run.partial").iterdir())
    assert left == ["000000.shard", "plan.json"]


def test_features_need_a_tem(request_: ProposeRequest, tmp_path: Path) -> None:
    write_bundle(tmp_path / "pem-only", tem=False)
    with pytest.raises(BundleError, match="contains no TEM, which features need"):
        propose(replace(request_, model=tmp_path / "pem-only", out=tmp_path / "run"))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="not a run"):
        Run.load(tmp_path)


def rows_of(table: Path) -> list[dict[str, Any]]:
    read = read_csv if table.suffix == ".csv" else read_table
    rows: list[dict[str, Any]] = read(table).to_pylist()
    return rows


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_has_the_content_of_the_result(
    suffix: str, request_: ProposeRequest, tmp_path: Path
) -> None:
    propose(replace(request_, out=tmp_path / "x.json"))
    propose(replace(request_, out=tmp_path / f"x{suffix}"))
    expected = [
        {"video": video, "start": start, "end": end, "score": score}
        for video, found in read_result(tmp_path / "x.json").items()
        for start, end, score in zip(
            found.start.tolist(), found.end.tolist(), found.score.tolist(), strict=True
        )
    ]
    assert rows_of(tmp_path / f"x{suffix}") == expected
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", f"x{suffix}"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("x.jsn", r"a run is a folder; .* \(did you mean '\.json'\?\)", id="near"),
        pytest.param("x.txt", r"txt is the suffix of a file; .*\.parquet$", id="other"),
        pytest.param("folder.csv", "is a folder; a file is written", id="folder"),
    ],
)
def test_names_that_are_neither_a_run_nor_a_result_are_refused(
    name: str, message: str, request_: ProposeRequest, tmp_path: Path
) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ResultError, match=message):
        propose(replace(request_, out=tmp_path / name, overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]


def test_a_run_folder_may_have_a_version_in_its_name(
    request_: ProposeRequest, tmp_path: Path
) -> None:
    propose(replace(request_, out=tmp_path / "bsn-v1.2"))
    assert (tmp_path / "bsn-v1.2" / "run.toml").is_file()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(lambda x: 10 * x, "values from 5 to 5, not in [0, 1]", id="times-ten"),
        pytest.param(lambda x: -x, "values from -0.5 to -0.5, not in [0, 1]", id="negative"),
        pytest.param(
            lambda x: (x * 255).astype(np.uint8), "values from 127 to 127, not", id="bytes"
        ),
        pytest.param(
            lambda x: x[:, ::4], "scores of 5 cells, 20 expected: of other features", id="quarter"
        ),
        pytest.param(lambda x: x + 0.5005, None, id="rounding"),
    ],
)
def test_scores_of_another_range_or_grid_are_one_kind_of_problem(
    request_: ProposeRequest,
    tmp_path: Path,
    change: Callable[[np.ndarray], np.ndarray],
    expected: str,
) -> None:
    given = {f"video{i}": change(np.full((3, 20), 0.5)) for i in range(6)}
    np.savez(tmp_path / "scores.npz", **given)  # type: ignore[arg-type]
    request = replace(request_, out=tmp_path / "x.json", scores=tmp_path / "scores.npz")
    if expected is None:
        assert propose(request).videos == 6
        return
    with pytest.raises(DatasetError) as caught:
        propose(request)
    (kind,) = by_kind(caught.value.problems)
    assert len(kind) == 6
    assert kind[0].problem.startswith(expected)
    given["video0"] = np.full((3, 20), 0.5)
    np.savez(tmp_path / "scores.npz", **given)  # type: ignore[arg-type]
    assert propose(replace(request, on_error="skip")).videos == 1


def test_scores_of_windows_have_one_cell_per_snippet(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", mode="window")
    folder = write_dataset(tmp_path / "set", videos=3)
    rows = {f.stem: len(np.load(f)) for f in (folder / "features").iterdir()}
    request = ProposeRequest(model=tmp_path / "bundle", dataset=folder, out=tmp_path / "x.json",
                      scores=tmp_path / "scores.npz")  # fmt: skip
    scores = {name: np.full((3, count), 0.5) for name, count in rows.items()}
    np.savez(tmp_path / "scores.npz", **scores)  # type: ignore[arg-type]
    assert propose(request).videos == 3
    scores["video1"] = np.full((3, 5), 0.5)
    np.savez(tmp_path / "scores.npz", **scores)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=f"scores of 5 cells, {rows['video1']} expected"):
        propose(replace(request, out=tmp_path / "y.json"))


@pytest.mark.parametrize("mode", ["rescale", "window"])
@pytest.mark.parametrize(
    ("grid", "noted"),
    [
        pytest.param({"stride_seconds": 0.125}, True, id="four-times"),
        pytest.param({"stride_frames": 16.0, "fps": 8.0}, True, id="a-quarter-in-frames"),
        pytest.param({"stride_seconds": 0.55}, False, id="nearly"),
        pytest.param({"stride_frames": 16.0}, False, id="rate-not-known"),
        pytest.param({}, False, id="nothing-known"),
    ],
)
def test_a_stride_that_is_not_the_models_is_noted(
    tmp_path: Path, mode: Literal["rescale", "window"], grid: dict[str, float], noted: bool
) -> None:
    spec = FeatureSpec(channels=CHANNELS, **grid)  # type: ignore[arg-type]
    bundle = write_bundle(tmp_path / "bundle", mode=mode, features=spec)
    folder = write_dataset(tmp_path / "set")
    summary = propose(ProposeRequest(bundle.path, folder, tmp_path / "out.json"))
    trained = {0.125: "0.125", 0.55: "0.55"}.get(grid.get("stride_seconds", 0), "2")
    note = (
        f"the model was trained on a snippet every {trained} s; these features have one every 0.5 s"
    )
    assert [line for line in summary.notes if "was trained" in line] == [note] * noted
    found = verify_bundle(bundle.path, dataset=folder, backends=["onnxruntime"])
    assert (note in found.notes) == noted
    (folder / "dataset.toml").write_text(f"[features]\nchannels = {CHANNELS}\n")
    summary = propose(ProposeRequest(bundle.path, folder, tmp_path / "other.json"))
    assert not any("was trained" in line for line in summary.notes)


def test_the_version_of_a_package_from_another_distribution(
    request_: ProposeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime with CUDA is the module `onnxruntime` of the distribution `onnxruntime-gpu`."""
    bundle = Bundle.load(request_.model)
    expected = FeatureSource(request_, bundle).versions

    def installed(name: str) -> metadata.Distribution:
        if name == "onnxruntime":
            raise metadata.PackageNotFoundError(name)
        return metadata.Distribution.from_name(name)

    monkeypatch.setattr(metadata, "distribution", installed)
    assert FeatureSource(request_, bundle).versions == expected
    assert library_versions()["onnxruntime"] == expected["onnxruntime"]
