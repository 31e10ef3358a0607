"""Lines of the performance summary, compared with a published guide, and their reader."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actspan.bench.logs import read_log
from actspan.core.perf_lines import StepTimes, performance_lines

# section 3.2 of the guide: 19,228 videos through TEM at batch 1
PRINTED = """\
-----------------Performance Summary------------------
[e2e] throughputRate: 180.879, latency: 106303
[data read] throughputRate: 182.039, moduleLatency: 5.49332
[preprocess] throughputRate: 181.865, moduleLatency: 5.49859
[inference] throughputRate: 182, Interface throughputRate: 3275.55, moduleLatency: 0.561457
[postprocess] throughputRate: 182.009, moduleLatency: 5.49425

-----------------------------------------------------------
"""
NUMBER = re.compile(r"(?<!\w)\d+(?:\.\d+)?")
N = 19_228


def test_the_guides_lines() -> None:
    # The same lines; its rates and latencies, measured apart, differ in their last digits.
    times = StepTimes(
        samples=N,
        total=106.303,
        read=N * 5.49332e-3,
        preprocess=N * 5.49859e-3,
        inference=N / 182,
        interface=N / 3275.55,
        postprocess=N * 5.49425e-3,
        calls=round(N / 3275.55 / 0.561457e-3),
    )
    written = "\n".join(performance_lines(times)) + "\n"
    assert NUMBER.sub("#", written) == NUMBER.sub("#", PRINTED)
    assert written.splitlines()[:3] == PRINTED.splitlines()[:3]
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (written, PRINTED)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-4)


def test_a_step_that_takes_no_time() -> None:
    times = StepTimes(4, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 2)
    assert "[data read] throughputRate: 0, moduleLatency: 0" in performance_lines(times)


def test_our_reader_reads_them(tmp_path: Path) -> None:
    times = StepTimes(160, 2.0, 0.5, 0.1, 1.0, 0.8, 0.4, 10)
    path = tmp_path / "tem_bs16.txt"
    path.write_text("\n".join(performance_lines(times)))
    stages = {(stage.name, stage.scope): stage for stage in read_log(path).stages}
    assert stages["tem", "interface"].samples_per_second == pytest.approx(200)
    assert stages["tem", "end-to-end"].samples_per_second == pytest.approx(80)
    assert stages["tem", "interface"].batch == 16
