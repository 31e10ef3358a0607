"""Readers against small logs in the tools' layouts.

Layouts follow public logs: trtexec_new WongKinYiu/yolov7#329, trtexec_old_whole
NVIDIA/TensorRT#2054, ais_bench_text the tool's manual, perf_test
microsoft/onnxruntime#17313. Model names, shapes and
some figures are made up to be BSN's; ais_bench's table and summary wholly. benchmark_app is run.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import actspan
from actspan.bench.logs import is_log, read_log, read_text
from actspan.bench.logs.text import Log, Text
from actspan.bench.records import BenchResult, SamplesPerSecond, Stage, write_result
from actspan.core.errors import BenchError

HERE = Path(__file__).parent
SAMPLES, GUIDE = HERE / "samples", HERE / "guide"
TEM_NPU = GUIDE / "ascend310/tem/perf_vision_batchsize_16_device_0.txt"


def rates(log: Log) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    return {(s.name, s.scope): (s.samples_per_second, s.batches_per_second) for s in log.stages}


@pytest.mark.parametrize(
    ("file", "tool", "name", "batch", "samples", "mean"),
    [
        pytest.param(TEM_NPU, "NPU benchmark", "tem", 16, 12277.9, None, id="npu"),
        pytest.param(
            GUIDE / "t4/pem_bs16.txt", "trtexec", "pem", 16, 66227.9, 0.24159, id="trtexec-old"
        ),
        pytest.param("trtexec_old_whole.log", "trtexec", "pem", 1, 640, 1.5625, id="trtexec-7"),
        pytest.param(
            "trtexec_new_bs16.log", "trtexec", "tem", 16, 11541.6, 1.38629, id="trtexec-new"
        ),
        pytest.param("ais_bench_text.txt", "ais_bench", "tem", 4, 1125.556, 3.5538, id="ais-text"),
        pytest.param("ais_bench_table.txt", "ais_bench", "pem", 1, 400, 2.5, id="ais-table"),
        pytest.param("tem_summary.json", "ais_bench", "tem", 16, 6400, 2.5, id="ais-json"),
        pytest.param(
            "benchmark_app.txt", "benchmark_app", "network", 4, 27594.7, 0.13835, id="benchmark-app"
        ),
        pytest.param("ais_infer_bs4.txt", "ais_bench", "network", 4, 2500, 1.6, id="ais-infer"),
        pytest.param(
            "PureInfer_perf_of_tem_bs4_in_device_0.txt",
            "NPU benchmark, pure inference",
            "tem",
            4,
            640.5,
            None,
            id="pure-infer",
        ),
        pytest.param(
            "benchmark_app_2021.txt", "benchmark_app", "tem", 1, 400, None, id="benchmark-app-2021"
        ),
        pytest.param(
            "benchmark_app_2022_1.txt",
            "benchmark_app",
            "pem",
            2,
            500,
            2.4,
            id="benchmark-app-2022.1",
        ),
        pytest.param(
            "perf_test_tem_bs1.txt",
            "onnxruntime_perf_test",
            "tem",
            1,
            538.39,
            1.85739,
            id="perf-test",
        ),
    ],
)
def test_reads(
    file: str, tool: str, name: str, batch: int, samples: float, mean: float | None
) -> None:
    log = read_log(SAMPLES / file)
    assert log.tool == tool
    (stage,) = (stage for stage in log.stages if stage.scope == "interface")
    assert (stage.name, stage.batch) == (name, batch)
    assert stage.samples_per_second == pytest.approx(samples, rel=1e-4)
    if mean is not None:
        assert stage.seconds is not None
        assert stage.seconds.mean == pytest.approx(mean / 1000, rel=1e-4)


def test_postprocess_counts_batches() -> None:
    log = read_log(TEM_NPU)
    assert rates(log)["tem postprocess", "step"] == pytest.approx((144.625, 9.03906), rel=1e-5)
    assert rates(log)["tem data read", "step"] == (144.544, None)
    assert rates(log)["tem", "end-to-end"] == (143.161, None)
    assert any("[postprocess] counts batches: 9.03906 batches/s" in note for note in log.notes)
    single = read_log(GUIDE / "ascend310/tem/perf_vision_batchsize_1_device_0.txt")
    assert not single.notes


def test_short_names_of_steps_and_large_numbers(tmp_path: Path) -> None:
    file = tmp_path / "perf_vision_batchsize_4_device_0.txt"
    file.write_text(
        "[e2e] throughputRate: 1.77441, latency: 2.81784e+06\n"
        "[infer] throughputRate: 1.77503, Interface throughputRate: 2.00815, moduleLatency: 561.5\n"
        "[post] throughputRate: 0.44375, moduleLatency: 563.381\n"
    )
    found = rates(read_log(file))
    assert found["network postprocess", "step"] == pytest.approx((1.775, 0.44375))
    assert found["network", "interface"][0] == 2.00815


@pytest.mark.parametrize(
    ("file", "percentiles"),
    [
        ("trtexec_new_bs16.log", (0.00139, 0.00155853)),
        ("trtexec_old_whole.log", (None, 0.00157495)),
    ],
)
def test_percentiles_of_trtexec(file: str, percentiles: tuple[float | None, float]) -> None:
    timing = read_log(SAMPLES / file).stages[0].seconds
    assert timing is not None
    assert (timing.p90, timing.p99) == pytest.approx(percentiles)


def test_host_rate_of_trtexec() -> None:
    log = read_log(SAMPLES / "trtexec_new_bs16.log")
    assert rates(log)["tem", "end-to-end"] == pytest.approx((16 * 716.632, 716.632))


def test_trtexec_7_prints_no_rate_for_explicit_batches() -> None:
    log = read_log(SAMPLES / "trtexec_old_whole.log")
    assert [stage.scope for stage in log.stages] == ["interface"]


def test_queries_of_implicit_batches_are_samples() -> None:
    found = rates(read_log(SAMPLES / "trtexec_implicit.log"))
    samples, batches = found["classifier", "end-to-end"]
    assert samples == pytest.approx(2.54521e6)
    assert batches == pytest.approx(2.54521e6 / 8192)
    assert found["classifier", "interface"][0] == pytest.approx(8192 / 7.35231e-3)


def test_without_a_batch_size_only_batches_are_known(tmp_path: Path) -> None:
    log = read_log(SAMPLES / "perf_test_2023.txt")
    assert rates(log)["network", "interface"] == (None, pytest.approx(1000 / 58.8053))
    assert log.stages[0].seconds is not None
    assert log.stages[0].seconds.p99 == 0.0619517
    assert "call the file ..._bs<b>" in log.notes[0]
    file = tmp_path / "tem.txt"
    file.write_text((GUIDE / "t4/tem_bs1.txt").read_text())
    assert rates(read_log(file))["tem", "interface"][0] is None


def test_benchmark_app_may_count_batches() -> None:
    (note,) = read_log(SAMPLES / "benchmark_app.txt").notes
    assert note.startswith("benchmark_app counted 1 sample per batch, the shape says 4")


def test_ais_bench_that_contradicts_itself(tmp_path: Path) -> None:
    file = tmp_path / "tem.txt"
    text = (SAMPLES / "ais_bench_text.txt").read_text()
    file.write_text(text.replace("1125.5557397652536", "2000"))
    assert "but 1000 x 4 / 3.5538 is 1125.56" in read_log(file).notes[0]


@pytest.mark.parametrize("line", ["ave_throughputRate = {}", "[INFO] ave_throughputRate: {}"])
def test_both_spellings_of_pure_inference(tmp_path: Path, line: str) -> None:
    file = tmp_path / "run.txt"
    end = "samples/s, ave_latency" + (" = 4ms" if "=" in line else ": 4ms")
    file.write_text(line.format(250) + end + "\n")
    log = read_log(file)
    assert rates(log) == {("network", "interface"): (250, None)}
    assert "call the file ..._bs<b>" in log.notes[0]
    file.write_text(
        "result saved in ./PureInfer_perf_of_x_bs10_in_device_0.txt\n" + file.read_text()
    )
    assert rates(read_log(file))["network", "interface"] == (250, 25)


def test_a_rounded_mean_of_ais_infer_does_not_hide_the_batch_size(tmp_path: Path) -> None:
    text = (SAMPLES / "ais_infer_bs4.txt").read_text().replace("mean = 1.6", "mean = 1.63")
    for name, batch in {"net_bs4.txt": 4, "net.txt": None, "net_bs8.txt": None}.items():
        (tmp_path / name).write_text(text)
        assert read_log(tmp_path / name).stages[0].batch == batch


def test_a_report_without_its_steps_is_known_by_its_throughput(tmp_path: Path) -> None:
    file = tmp_path / "tem_bs1.txt"
    file.write_text("Count:      200 iterations\nLatency:    4.00 ms\nThroughput: 250.00 FPS\n")
    (stage,) = read_log(file).stages
    assert stage.samples_per_second == 250
    assert stage.seconds is not None
    assert (stage.seconds.median, stage.seconds.repeats) == (0.004, 200)


def test_utf16_of_powershell(tmp_path: Path) -> None:
    file = tmp_path / "tem_bs1.txt"
    file.write_text((GUIDE / "t4/tem_bs1.txt").read_text(), encoding="utf-16")
    assert read_log(file).tool == "trtexec"


def test_figures_have_their_lines() -> None:
    log = read_log(GUIDE / "t4/tem_bs1.txt")
    (mean,) = (figure for figure in log.figures if figure.value == 0.0565804)
    assert (mean.label, mean.line) == ("GPU Compute mean, ms", 4)


def test_reads_our_own(tmp_path: Path) -> None:
    stage = Stage(
        name="tem", scope="interface", batch=1, samples_per_second=SamplesPerSecond(500.0)
    )
    write_result(BenchResult(stages=(stage,)), tmp_path / "result.json")
    log = read_log(tmp_path / "result.json")
    assert (log.tool, log.stages) == ("actspan bench", (stage,))


NPU_LINES = TEM_NPU.read_text().splitlines()
T4_LINES = (GUIDE / "t4/tem_bs1.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "hello\n", "not a log of a known tool; known are: actspan bench; NPU", id="unknown"
        ),
        pytest.param("", "not a log of a known tool", id="empty"),
        pytest.param(
            "\n".join(NPU_LINES[:3]),
            r"line 3: '\[inference\] throughputRate: <number>, Interface .* the log is cut off",
            id="npu-cut",
        ),
        pytest.param(
            "\n".join([*NPU_LINES[:3], NPU_LINES[3][:40]]),
            r"line 4: expected '\[inference\] throughputRate: <number>, Interface",
            id="npu-cut-in-a-line",
        ),
        pytest.param(
            "\n".join([NPU_LINES[0].replace("143.161", "fast"), *NPU_LINES[1:]]),
            r"line 1: expected '\[e2e\] throughputRate: <number>, latency: <number>'",
            id="npu-no-number",
        ),
        pytest.param(
            "\n".join([NPU_LINES[0].replace("143.161", "0"), *NPU_LINES[1:]]),
            "samples_per_second is 0.0: it must be positive",
            id="npu-zero",
        ),
        pytest.param(
            '{"execution_results": {"throughput": "5", "total number of iterations": "1e999"}}',
            "cannot convert float infinity to integer",
            id="benchmark-app-endless",
        ),
        pytest.param("\n".join(NPU_LINES * 2), r"line 6: a second \[e2e\]", id="npu-twice"),
        pytest.param(
            "\n".join(T4_LINES[:4]),
            r"line 4: '\[I\] median: <number> ms' of the block GPU Compute that begins at line 1",
            id="trtexec-cut",
        ),
        pytest.param(
            "\n".join([*T4_LINES[:3], T4_LINES[3].replace("ms", "s"), *T4_LINES[4:]]),
            r"line 4: expected '\[I\] mean: <number> ms' of the block",
            id="trtexec-other-unit",
        ),
        pytest.param("\n".join(T4_LINES * 2), "line 8: a second block", id="trtexec-twice"),
        pytest.param(
            "[I] === Performance summary ===\n[I] Throughput: 7 qps",
            "line 2: '.I. GPU Compute' or .* cut off",
            id="trtexec-new-cut",
        ),
        pytest.param(
            "[I] GPU Compute Time: min = 1 ms, max = 2 ms, mean = 1.",
            "line 1: expected 'mean = <number> ms'",
            id="trtexec-new-cut-in-a-line",
        ),
        pytest.param(
            "[INFO] NPU_compute_time (ms): min = 2.4\n",
            "line 1: 'throughput 1000.batchsize.* cut off",
            id="ais-cut",
        ),
        pytest.param(
            "[INFO] throughput (1000*batchsize/NPU_compute_time): 2000.0\n",
            r"line 1: 'NPU_compute_time \(ms\): .* was expected",
            id="ais-infer-cut",
        ),
        pytest.param(
            "-----------------PureInfer Performance Summary------------------\n",
            "line 1: 'ave_throughputRate = <number>samples/s, .* was expected",
            id="pure-infer-cut",
        ),
        pytest.param(
            "ave_throughputRate = 5samples/s, ave_latency = 2",
            "line 1: expected 'ave_throughputRate = <number>samples/s",
            id="pure-infer-cut-in-a-line",
        ),
        pytest.param(
            "ave_throughputRate = 5samples/s, ave_latency = 2ms\n" * 2,
            "line 2: a second ave_throughputRate",
            id="pure-infer-twice",
        ),
        pytest.param(
            '{"NPU_compute_time": {"min": 1}, "throughput": 3}',
            "NPU_compute_time.max: a number was expected, found None",
            id="ais-json",
        ),
        pytest.param(
            "[Step 1/11] Parsing\n[Step 2/11] Loading",
            "line 2: the throughput .* was expected before the end",
            id="benchmark-app-cut",
        ),
        pytest.param(
            '{"execution_results": {"throughput": "many"}}',
            "throughput: a number was expected, found 'many'",
            id="benchmark-app-json",
        ),
        pytest.param(
            "Session creation time cost: 0.01 s\n",
            "line 1: 'Average inference time cost: <number> ms' was expected",
            id="perf-test-cut",
        ),
        pytest.param(
            '{"format": "actspan-bench-1", "stages": [{"name": "tem", "scope": "fast"}]}',
            r"not a result of actspan bench: Invalid enum value 'fast' - at `\$.stages\[0\].scope`",
            id="ours",
        ),
    ],
)
def test_damaged_logs_say_where(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "some_bs16.log"
    file.write_text(text)
    with pytest.raises(BenchError, match=message) as caught:
        read_log(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    "file",
    [TEM_NPU, GUIDE / "t4/tem_bs1.txt", *sorted(SAMPLES.iterdir())],
    ids=lambda file: file.name,
)
@given(data=st.data())
def test_cut_anywhere_a_log_is_read_or_refused(file: Path, data: st.DataObject) -> None:
    # Never another exception than ours; never a figure that the whole log does not have.
    whole = {figure.value for figure in read_log(file).figures}
    text = Text(file)
    text.content = text.content[: data.draw(st.integers(0, len(text.content)))]
    text.lines = text.content.splitlines()
    try:
        log = read_text(text)
    except BenchError:
        return
    # the last number may be cut short itself: 0.793 of 0.793032
    assert len({figure.value for figure in log.figures} - whole) <= 1


def test_a_folder_member_may_be_no_log(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0.1 0.2 0.3")
    assert not is_log(tmp_path / "a.txt")


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs openvino")
@pytest.mark.parametrize("stats", [["-json_stats"], []], ids=["json", "csv"])
@pytest.mark.parametrize(
    ("layout", "counts_batches"),
    [pytest.param([], True, id="no-layout"), pytest.param(["-layout", "video[NCT]"], False)],
)
def test_the_real_benchmark_app(
    tmp_path: Path, stats: list[str], layout: list[str], counts_batches: bool
) -> None:
    model = Path(actspan.__file__).parent / "model/demo/tem.onnx"
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("benchmark_app")),
            *("-m", str(model), "-d", "CPU", "-hint", "latency", "-niter", "20", *layout),
            *("-shape", "video[4,32,100]", *stats),
            *("-report_type", "no_counters", "-report_folder", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "printed.txt").write_text(done.stdout)
    (report,) = (file for file in tmp_path.iterdir() if file.stem == "benchmark_report")
    from_report, printed = read_log(report), read_log(tmp_path / "printed.txt")
    for log in (from_report, printed):
        (stage,) = log.stages
        assert (stage.scope, stage.batch) == ("interface", 4)
        assert bool(log.notes) == counts_batches
        assert stage.seconds is not None
        assert stage.seconds.repeats == 20
    assert from_report.stages[0].name == "tem"
    assert from_report.stages[0].samples_per_second == pytest.approx(
        printed.stages[0].samples_per_second
    )
    if stats:
        throughput = float(json.loads(report.read_text())["execution_results"]["throughput"])
        counted = throughput * (4 if counts_batches else 1)
        assert from_report.stages[0].samples_per_second == pytest.approx(counted)
