"""Pictures: written whole, without a window system, for every shape of input."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import numpy as np
import pytest

from actspan import BoundaryScores, Proposals, RecallResult, Video, evaluate_recall
from actspan.bench.records import BenchResult, Cost, Roof, SamplesPerSecond, Stage
from actspan.core.colours import HIT, MISS
from actspan.core.errors import BenchError, ConfigError, DataError, MissingExtraError, ShapeError
from actspan.report.charts import plot_recall
from actspan.report.figures import check_picture
from actspan.report.paper_pictures import plot_timeline
from actspan.report.roofline_picture import plot_roofline

PNG = b"\x89PNG\r\n"
FOUND = Proposals([0.0, 20.0, 5.0], [9.0, 41.0, 8.0], [0.4, 0.9, 0.1], unit="seconds")
SCORES = BoundaryScores(*np.random.default_rng(0).random((3, 20)))
MEASURED = BenchResult(
    stages=tuple(
        Stage(
            name=name,
            scope="step",
            batch=batch,
            samples_per_second=SamplesPerSecond(100.0),
            cost=Cost(flops=flops, bytes=1e6, share=0.1 if flops else None),
        )
        for batch in (1, 16)
        for name, flops in (("read", 0.0), ("candidates", 1e6))
    ),
    roof=Roof(gflops=100.0, gigabytes_per_second=10.0, cache_gigabytes_per_second=50.0),
)


@pytest.fixture(scope="module", autouse=True)
def _needs_matplotlib() -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")


@pytest.fixture
def result() -> RecallResult:
    video = Video("a", 60.0, "validation", np.array([[0.0, 10.0], [20.0, 40.0]]), ("x", "y"))
    return evaluate_recall([video], {"a": FOUND})


def texts(path: Path) -> str:
    """Return an SVG's source: its letters are shapes, with the text beside them as comments."""
    return path.read_text(encoding="utf-8")


def test_curves_of_one_result_name_every_threshold(tmp_path: Path, result: RecallResult) -> None:
    plot_recall(result, tmp_path / "one.svg")
    ET.parse(tmp_path / "one.svg")
    drawn = texts(tmp_path / "one.svg")
    assert all(f"tIoU {tiou:.2f}" in drawn for tiou in result.tiou)
    assert f"AUC {result.auc_percent:.1f}" in drawn
    assert "proposals per video (AN)" in drawn
    assert "Recall (%)" in drawn


def test_curves_of_several_results_name_each(tmp_path: Path, result: RecallResult) -> None:
    plot_recall({f"run {i}": result for i in range(9)}, tmp_path / "all.svg")
    assert all(f"run {i}: " in texts(tmp_path / "all.svg") for i in range(9))


def test_a_picture_is_the_same_bytes_twice(tmp_path: Path, result: RecallResult) -> None:
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        plot_recall(result, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


def test_no_global_state_is_touched(
    tmp_path: Path, result: RecallResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would fail
    plot_recall(result, tmp_path / "a.png")
    plot_timeline("a", SCORES, 60.0, [], FOUND, tmp_path / "t.png")


@pytest.mark.parametrize("scores", [SCORES, None], ids=["scores", "no-scores"])
@pytest.mark.parametrize("truth", [[[0.0, 10.0], [20.0, 40.0]], []], ids=["truth", "no-truth"])
@pytest.mark.parametrize(
    "found", [FOUND, Proposals.empty("seconds")], ids=["found", "nothing-found"]
)
def test_timelines(
    tmp_path: Path, scores: BoundaryScores | None, truth: list[list[float]], found: Proposals
) -> None:
    plot_timeline("a video", scores, 60.0, truth, found, tmp_path / "t.png", top=2)
    assert (tmp_path / "t.png").read_bytes().startswith(PNG)


def test_timeline_shows_the_best_by_score(tmp_path: Path) -> None:
    plot_timeline("a video", None, 60.0, [], FOUND, tmp_path / "t.svg", top=2)
    drawn = texts(tmp_path / "t.svg")
    assert "0.90" in drawn
    assert "0.40" in drawn
    assert "0.10" not in drawn


def test_timeline_shows_hits_and_misses_in_the_colours_of_the_report(tmp_path: Path) -> None:
    path = tmp_path / "t.svg"
    plot_timeline("a video", None, 125.0, [[0.0, 10.0]], FOUND[:1], path)
    assert HIT.light in texts(path)
    assert MISS.light not in texts(path)
    plot_timeline("a video", None, 125.0, [[0.0, 10.0], [60.0, 70.0]], FOUND[:1], path, tiou=0.95)
    assert HIT.light not in texts(path)
    assert MISS.light in texts(path)
    assert all(f"<!-- {time} -->" in texts(path) for time in ("0:00", "0:15", "2:00"))
    plot_timeline("a video", None, 125.0, [], FOUND, path)  # nothing to hit or miss
    assert HIT.light not in texts(path)
    assert MISS.light not in texts(path)


@pytest.mark.parametrize(
    ("span", "truth", "message"),
    [
        pytest.param(60.0, [1.0, 2.0], r"\(M, 2\)", id="flat-truth"),
        pytest.param(0.0, [], "positive", id="no-span"),
        pytest.param(float("nan"), [], "positive", id="nan-span"),
    ],
)
def test_timeline_refuses(tmp_path: Path, span: float, truth: list[float], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        plot_timeline("a", SCORES, span, truth, FOUND, tmp_path / "t.png")


def test_places_are_checked_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"\.png, \.svg"):
        check_picture(tmp_path / "a.txt")
    with pytest.raises(DataError, match="folder does not exist"):
        check_picture(tmp_path / "absent" / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[report\]"):
        check_picture(tmp_path / "a.png")


def test_nothing_to_plot_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no result"):
        plot_recall({}, tmp_path / "a.png")


def test_a_roofline_of_every_stage(tmp_path: Path) -> None:
    plot_roofline(MEASURED, tmp_path / "r.svg")
    text = (tmp_path / "r.svg").read_text()
    for word in ("data read", "candidates", "caches 50 GB/s", "matrix products 100 GFLOP/s"):
        assert f"<!-- {word}" in text
    assert text.count("<!-- too noisy: repeat, batch ") == 2  # reading, which has no share


@pytest.mark.parametrize(
    "changed", [pytest.param({"roof": None}, id="roof"), pytest.param({"stages": ()}, id="costs")]
)
def test_results_of_a_benchmark_without_a_roof(changed: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no roof or no costs"):
        plot_roofline(msgspec.structs.replace(MEASURED, **changed), tmp_path / "r.png")
