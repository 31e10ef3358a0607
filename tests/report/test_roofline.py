from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

pytest.importorskip("matplotlib")

from actspan.bench.result import (
    BenchResult,
    Cost,
    Roof,
    SamplesPerSecond,
    Stage,
)
from actspan.core.errors import BenchError, ConfigError
from actspan.report.roofline import plot_roofline

RESULT = BenchResult(
    stages=tuple(
        Stage(
            name=name,
            scope="step",
            batch=batch,
            samples_per_second=SamplesPerSecond(100.0),
            cost=Cost(flops=flops, bytes=1e6, share=0.1),
        )
        for batch in (1, 16)
        for name, flops in (("read", 0.0), ("candidates", 1e6))
    ),
    roof=Roof(gflops=100.0, gigabytes_per_second=10.0, cache_gigabytes_per_second=50.0),
)


def test_a_picture_of_every_stage(tmp_path: Path) -> None:
    plot_roofline(RESULT, tmp_path / "r.svg")
    text = (tmp_path / "r.svg").read_text()
    for word in ("data read", "candidates + BSP", "caches 50 GB/s", "matrix products 100 GFLOP/s"):
        assert f"<!-- {word}" in text


@pytest.mark.parametrize(
    "changed", [pytest.param({"roof": None}, id="roof"), pytest.param({"stages": ()}, id="costs")]
)
def test_results_without_a_roof(changed: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no roof or no costs"):
        plot_roofline(msgspec.structs.replace(RESULT, **changed), tmp_path / "r.png")


def test_other_suffixes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must end in one of"):
        plot_roofline(RESULT, tmp_path / "r.doc")
