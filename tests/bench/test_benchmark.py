from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from msgspec.structs import replace

from actspan.bench import roof
from actspan.bench.benchmark import run_benchmark
from actspan.bench.comparison import compare, read_systems
from actspan.bench.logs import read_log
from actspan.bench.records import BenchResult, decode_result, write_result
from actspan.bench.result_tables import (
    broken_limits,
    result_page,
    result_tables,
    result_to_csv,
    sentences,
    write_summaries,
)
from actspan.bench.roof import TOO_NOISY
from actspan.core.errors import BackendError, BenchError, BundleError
from tests.bench.small import SMALL, lower_the_roof, stage_of, with_wrong_graph
from tests.examples import write_bmn_bundle, write_bundle, write_dataset

STEPS = ("read", "rescale", "candidates", "soft-nms")
ONE_SIZE = replace(SMALL, batches=(2,), channels=400, length=100, snippets=None)


@pytest.fixture(autouse=True)
def _low(monkeypatch: pytest.MonkeyPatch) -> None:
    lower_the_roof(monkeypatch)


@pytest.fixture(scope="module")
def result() -> BenchResult:
    with pytest.MonkeyPatch.context() as patch:
        lower_the_roof(patch)
        return run_benchmark(replace(SMALL, backend="onnxruntime"))


def test_every_stage_is_measured(result: BenchResult) -> None:
    expected = {("latency", "step", 1), ("write", "step", 8), ("evaluate", "step", 8)}
    for batch in (1, 4):
        expected |= {(name, "step", batch) for name in STEPS}
        expected |= {(net, "interface", batch) for net in ("tem", "pem")}
        expected |= {(name, "end-to-end", batch) for name in ("tem", "pem", "bsn")}
    assert {(s.name, s.scope, s.batch) for s in result.stages} == expected
    assert len(result.stages) == len(expected)


def test_bmn(tmp_path: Path) -> None:
    model = write_bmn_bundle(tmp_path / "bmn").path
    result = run_benchmark(replace(ONE_SIZE, model=model, backend="onnxruntime"))
    names = {(s.name, s.scope) for s in result.stages if s.batch == 2}
    assert names == {("bmn", "interface"), ("pipeline", "end-to-end")} | {
        (n, "step") for n in STEPS
    }
    assert broken_limits(result) == []
    assert {s.name for s in result.stages if s.cost} >= {"bmn", "candidates", "pipeline"}
    (path,) = write_summaries(result, tmp_path / "npu")
    assert path == tmp_path / "npu" / "bmn" / "perf_vision_batchsize_2_device_0.txt"
    rates = {(s.name, s.scope): s.samples_per_second for s in read_log(path).stages}
    mine = stage_of(result, "bmn", "interface", 2).samples_per_second
    assert rates["bmn", "interface"] == pytest.approx(mine, rel=1e-5)  # type: ignore[arg-type]


def test_rates_follow_from_the_medians(result: BenchResult) -> None:
    for name, scope, streams in (("tem", "interface", 2), ("write", "step", 1)):
        stage = stage_of(result, name, scope, 4 if name == "tem" else 8)
        assert stage.seconds is not None
        assert stage.seconds.median is not None
        assert stage.batch is not None
        assert stage.streams == streams
        expected = streams * stage.batch / stage.seconds.median
        assert stage.samples_per_second == pytest.approx(expected)
    whole = stage_of(result, "bsn", "end-to-end", 4)
    assert whole.seconds is not None
    assert whole.seconds.median is not None
    assert whole.samples_per_second == pytest.approx(4 / whole.seconds.median)


def test_only_networks_have_a_backend(result: BenchResult) -> None:
    named = {s.name for s in result.stages if s.backend}
    assert named == {"tem", "pem", "bsn", "latency"}
    assert stage_of(result, "tem", "interface", 1).precision == "float32"


def test_results_have_their_accuracy(result: BenchResult) -> None:
    whole = stage_of(result, "bsn", "end-to-end", 4).accuracy
    assert whole is not None
    assert whole.max_difference is not None
    assert whole.max_difference < 1e-5
    assert whole.same == 1
    assert whole.recall is None  # the instances of synthetic videos are random
    assert broken_limits(result) == []


def test_synthetic_material_is_called_so(result: BenchResult) -> None:
    assert "SYNTHETIC networks, TEM for 8 channels x 20 cells" in result.material
    assert "8 videos of SYNTHETIC features, 30 snippets x 8 channels" in result.material
    assert "published" not in result.material


def test_machine_and_roof(result: BenchResult) -> None:
    assert result.environment is not None
    assert result.environment.sgemm_gflops
    assert result.roof is not None
    cost = stage_of(result, "rescale", "step", 1).cost
    assert cost is not None
    assert cost.flops == 12 * 20 * 8  # 30 snippets to 20 cells
    assert cost.share
    assert any("8 samples are few" in note for note in result.notes)
    assert not any(TOO_NOISY in note for note in result.notes)


def test_shares_of_a_noisy_machine_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lower_the_roof(monkeypatch)
    monkeypatch.setattr(roof, "_CALM", 0.0)
    found = run_benchmark(replace(SMALL, batches=(4,)))
    assert all(stage.cost.share is None for stage in found.stages if stage.cost)
    count = len(found.stages)
    (note,) = (note for note in found.notes if note.startswith("too noisy: repeat"))
    assert f"during {count} of {count} measurements" in note
    assert "| noisy |" in result_page(found)


def test_written_read_and_compared(result: BenchResult, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("old.json", "new.json")]
    for path in paths:
        write_result(result, path)
    assert decode_result(paths[0].read_text(), where="x") == result
    found = compare(read_systems([str(path) for path in paths]))
    assert {row.name for row in found.headlines} == {"tem", "pem", "bsn"}
    assert {row.name for row in found.steps} == {*STEPS, "latency", "write", "evaluate"}
    assert all(row.ratios == (1.0,) for row in (*found.headlines, *found.measured, *found.steps))
    assert any("SYNTHETIC" in note.text for note in found.notes)


def test_the_summary_is_read_by_the_reader_of_the_npus_logs(
    result: BenchResult, tmp_path: Path
) -> None:
    files = write_summaries(result, tmp_path)
    assert len(files) == 4
    for file in files:
        net, batch = file.parent.name, 4 if "batchsize_4" in file.name else 1
        stages = {(s.name, s.scope): s.samples_per_second for s in read_log(file).stages}
        for scope in ("interface", "end-to-end"):
            mine = stage_of(result, net, scope, batch).samples_per_second
            assert stages[net, scope] == pytest.approx(mine, rel=1e-5)  # type: ignore[index]
    tem = {s.name: s.samples_per_second for s in read_log(tmp_path / "tem" / files[0].name).stages}
    for theirs, ours in (("data read", "read"), ("preprocess", "rescale")):
        mine = stage_of(result, ours, "step", 1).samples_per_second
        assert tem[f"tem {theirs}"] == pytest.approx(mine, rel=1e-5)
    (large,) = (f for f in files if f.parent.name == "tem" and "batchsize_4" in f.name)
    (post,) = (s for s in read_log(large).stages if s.name == "tem postprocess")
    candidates = stage_of(result, "candidates", "step", 4)
    assert post.batches_per_second == pytest.approx(candidates.batches_per_second, rel=1e-5)
    assert post.samples_per_second == pytest.approx(candidates.samples_per_second, rel=1e-5)


def test_tables_page_and_rows(result: BenchResult) -> None:
    whole, rates, times, answers = result_tables(result)
    assert [row[0] for row in whole[2]] == ["1", "4"]
    assert len(rates[2]) == len(times[2]) == len(result.stages)
    assert {row[-1] for row in answers[2]} == {"ok"}
    page = result_page(result)
    assert "| TEM, the runtime's call | 4 |" in page
    assert "p99 / median" in page
    rows = list(csv.DictReader(io.StringIO(result_to_csv(result))))
    assert len(rows) == len(result.stages)
    assert float(rows[2]["samples_per_second"]) == result.stages[2].samples_per_second
    assert "roof of all cores" in "\n".join(sentences(result))


def test_a_dataset_with_ground_truth_gives_recall(tmp_path: Path) -> None:
    request = replace(
        ONE_SIZE,
        model=write_bundle(tmp_path / "b").path,
        dataset=write_dataset(tmp_path / "d"),
        subset="validation",
    )
    result = run_benchmark(request)
    accuracy = stage_of(result, "bsn", "end-to-end", 2).accuracy
    assert accuracy is not None
    assert accuracy.recall is not None
    assert 0 <= accuracy.recall["AR@100"] <= 100
    assert "2 videos of d, validation" in result.material


def test_recordings_in_windows(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", length=10, mode="window")
    result = run_benchmark(replace(ONE_SIZE, model=bundle.path, videos=3))
    assert "samples are windows, not recordings" in result.notes
    stage = stage_of(result, "soft-nms", "step", 27)  # 3 recordings of 50 snippets, 9 windows each
    assert stage.streams == 1
    assert stage_of(result, "bsn", "end-to-end", 2).accuracy.same == 1  # type: ignore[union-attr]


def test_a_wrong_answer_is_called_wrong(tmp_path: Path) -> None:
    path = with_wrong_graph(tmp_path / "b")
    result = run_benchmark(replace(ONE_SIZE, model=path, backend="onnxruntime", variant="wrong"))
    broken = broken_limits(result)
    assert any("PEM, the runtime's call, batch 2: PEM differs by" in line for line in broken)
    assert any(line.startswith("all, end to end") for line in broken)
    assert not any(line.startswith("TEM") for line in broken)
    assert "WRONG" in result_page(result)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        pytest.param({"batches": (9,)}, BenchError, "a batch of 9 needs", id="batch"),
        pytest.param({"variant": "fp8"}, BackendError, "no variant 'fp8'", id="variant"),
        pytest.param({"backend": "fast"}, BackendError, "'fast' is not known", id="backend"),
    ],
)
def test_bad_requests(changed: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run_benchmark(replace(SMALL, **changed))  # type: ignore[arg-type]


def test_both_networks_are_needed(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", tem=False)
    with pytest.raises(BundleError, match="contains no TEM; a benchmark runs TEM and PEM"):
        run_benchmark(replace(ONE_SIZE, model=bundle.path))


def test_skipped_videos_are_counted_and_named(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", videos=6)
    for name in ("video1", "video3"):
        (dataset / "features" / f"{name}.npy").write_bytes(b"cut")
    bundle = write_bundle(tmp_path / "b")
    request = replace(
        SMALL, model=bundle.path, dataset=dataset, snippets=None, backend="onnxruntime"
    )
    found = run_benchmark(replace(request, on_error="skip"))
    assert "skipped: 2 videos (video1, video3)" in found.notes
