from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan.bench.records import (
    Accuracy,
    BatchesPerSecond,
    BenchResult,
    Environment,
    SamplesPerSecond,
    Stage,
    Timing,
    decode_result,
    samples_of,
    write_result,
)
from actspan.core.errors import BenchError

WHOLE = BenchResult(
    stages=(
        Stage(
            name="tem",
            scope="interface",
            batch=16,
            samples_per_second=SamplesPerSecond(800.0),
            batches_per_second=BatchesPerSecond(50.0),
            seconds=Timing.of([0.02, 0.021, 0.019]),
            backend="onnxruntime",
            precision="float32",
            threads=2,
            streams=1,
            cpu_seconds=0.12,
            peak_memory_bytes=100_000_000,
            accuracy=Accuracy(recall={"AR@100": 87.2}, max_difference=2e-7, of="synthetic"),
        ),
    ),
    environment=Environment(cpu="x", cores=2, system="Linux", versions={"numpy": "2"}),
    command="actspan bench",
    created="2026-01-01T00:00:00+00:00",
    notes=("settled after 3 repeats",),
)


def test_written_and_read_it_is_the_same(tmp_path: Path) -> None:
    write_result(WHOLE, tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text()
    assert decode_result(text, where="r.json") == WHOLE
    stage = json.loads(text)["stages"][0]
    assert (stage["samples_per_second"], stage["batches_per_second"]) == (800.0, 50.0)
    assert stage["seconds"]["median"] == 0.02


def test_timing_of_measured_seconds() -> None:
    timing = Timing.of([float(i) for i in range(100, 0, -1)])
    assert timing == Timing(
        repeats=100, min=1.0, mean=50.5, median=50.5, p90=90.0, p99=99.0, max=100.0
    )
    assert Timing.of([0.5]).p99 == 0.5


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40))
def test_timings_are_in_order(seconds: list[float]) -> None:
    t = Timing.of(seconds)
    assert t.min <= t.median <= t.p90 <= t.p99 <= t.max  # type: ignore[operator]
    assert t.p99 in seconds


def test_samples_and_batches_are_one_batch_apart() -> None:
    assert samples_of(BatchesPerSecond(9.0), 16) == 144.0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"batches_per_second": 800.0}, "800.0 samples/s are not 800.0", id="mixed"),
        pytest.param({"batch": None}, "samples/s are not", id="no-batch"),
        pytest.param({"batch": 0}, "at least 1", id="batch"),
        pytest.param({"samples_per_second": 0.0}, "must be positive", id="rate"),
        pytest.param({"seconds": {"mean": -1.0}}, "not negative", id="time"),
        pytest.param({"samples": 3.0}, "unknown field `samples`", id="unknown"),
        pytest.param({"scope": "all"}, r"Invalid enum value 'all' - at `\$.stages", id="scope"),
    ],
)
def test_impossible_results_are_refused(changed: dict[str, object], message: str) -> None:
    document = json.loads(msgspec.json.encode(WHOLE))
    document["stages"][0].update(changed)
    with pytest.raises(BenchError, match=message) as caught:
        decode_result(json.dumps(document), where="old.json")
    assert str(caught.value).startswith("old.json: not a result of actspan bench: ")
