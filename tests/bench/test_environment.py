from __future__ import annotations

import msgspec
import pytest

from actspan.bench.machine import capture_environment, noise_notes
from actspan.bench.records import Environment
from actspan.bench.timing import Run
from actspan.core.machine import core_count, processor_name

QUIET = Environment(
    cpu="x", cores=4, system="Linux", sgemm_gflops=100.0, sgemm_spread=0.01, sgemm_after_gflops=99.0
)


def test_what_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    rounds = [Run(0.1, 0.2)] * 3
    found = capture_environment(2e9, rounds, rounds, load=0.5)
    assert found.variables["OMP_NUM_THREADS"] == "3"
    assert found.variables["OPENBLAS_CORETYPE"] == "Haswell"
    assert found.versions.keys() >= {"Python", "actspan", "numpy", "onnxruntime"}
    assert found.sgemm_gflops == found.sgemm_after_gflops == pytest.approx(20)
    assert found.sgemm_spread == pytest.approx(0)
    assert (found.cpu, found.cores, found.load_average) == (processor_name(), core_count(), 0.5)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        pytest.param({}, [], id="quiet"),
        pytest.param({"sgemm_after_gflops": 80.0}, ["drifted: a fixed product ran"], id="drift"),
        pytest.param({"sgemm_spread": 0.2}, ["scatters by 20%"], id="noise"),
        pytest.param({"load_average": 3.0}, ["load average was 3.0"], id="load"),
    ],
)
def test_noise_is_reported(changed: dict[str, float], expected: list[str]) -> None:
    notes = list(noise_notes(msgspec.structs.replace(QUIET, **changed)))
    assert len(notes) == len(expected)
    assert all(part in note for part, note in zip(expected, notes, strict=True))
