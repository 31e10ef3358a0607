from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan.bench.comparison import combined, compare, read_systems, slower_rows
from actspan.bench.comparison_tables import comparison_page, comparison_tables
from actspan.bench.records import BenchResult, SamplesPerSecond, Stage, write_result
from actspan.core.errors import BenchError

HERE = Path(__file__).parent
GUIDE, SAMPLES = HERE / "guide", HERE / "samples"
POSITIVE = st.floats(1e-3, 1e9)


def write(path: Path, **rates: float) -> str:
    """Return a result of ours; `tem_16=3.0` is TEM at batch 16; `read_16` is a step."""
    stages = []
    for key, rate in rates.items():
        name, _, batch = key.partition("_")
        scope = {"tem": "interface", "pem": "interface", "bsn": "end-to-end"}.get(name, "step")
        stages.append(
            Stage(
                name=name,
                scope=scope,  # type: ignore[arg-type]
                batch=int(batch),
                samples_per_second=SamplesPerSecond(rate),
            )
        )
    write_result(BenchResult(stages=tuple(stages)), path)
    return str(path)


@given(POSITIVE, POSITIVE)
def test_combined_is_slower_than_either(a: float, b: float) -> None:
    both = combined(SamplesPerSecond(a), SamplesPerSecond(b))
    assert both <= min(a, b)
    assert both == pytest.approx(a * b / (a + b))


def test_chips_count_for_npus_alone() -> None:
    t4, npu = read_systems([str(GUIDE / "t4"), str(GUIDE / "ascend310")])
    one, four = compare([t4, npu]), compare([t4, npu], chips=4)
    for single, card in zip(one.headlines, four.headlines, strict=True):
        assert card.rates[0] == single.rates[0]
        assert card.rates[1] == pytest.approx(4 * single.rates[1])  # type: ignore[operator]
    assert one.measured == four.measured


def test_what_was_measured_wins_over_what_is_computed(tmp_path: Path) -> None:
    (system,) = read_systems([write(tmp_path / "r.json", tem_1=10.0, pem_1=10.0, bsn_1=4.0)])
    found = compare([system])
    assert [(r.name, r.rates) for r in found.headlines][-1] == ("bsn", (5.0,))
    assert [(r.name, r.rates) for r in found.measured] == [("bsn", (4.0,))]


class TestSides:
    def test_names(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        files = [write(tmp_path / place / "r.json", tem_1=1.0) for place in "ab"]
        assert [system.name for system in read_systems(files)] == ["a/r", "b/r"]
        assert [system.name for system in read_systems([files[0]])] == ["r"]
        assert [system.name for system in read_systems([f"new={files[0]}"])] == ["new"]

    def test_paths_with_a_name_make_one_system(self) -> None:
        files = [f"t4={GUIDE / 't4' / name}" for name in ("tem_bs1.txt", "pem_bs1.txt")]
        (system,) = read_systems(files)
        assert [row.name for row in compare([system]).headlines] == ["tem", "pem", "bsn"]

    def test_what_is_no_log_is_left_out_and_said(self, tmp_path: Path) -> None:
        write(tmp_path / "r.json", tem_1=1.0)
        (tmp_path / "dump.txt").write_text("0.1 0.2")
        (note,) = compare(read_systems([str(tmp_path)])).notes
        assert note.about == str(tmp_path / "dump.txt")
        assert note.text.startswith("left out")

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            pytest.param("nowhere.json", "nowhere.json: does not exist", id="missing"),
            pytest.param("a=nowhere.json", "^nowhere.json: does not exist", id="named"),
            pytest.param(str(HERE / "guide" / "report.md"), "not a log of a known tool", id="text"),
            pytest.param(str(GUIDE), "both measure pem, batch 1: compare them as two", id="twice"),
        ],
    )
    def test_errors(self, source: str, message: str) -> None:
        with pytest.raises(BenchError, match=message):
            read_systems([source])

    def test_a_folder_without_logs(self, tmp_path: Path) -> None:
        with pytest.raises(BenchError, match="no log of a known tool in this folder"):
            read_systems([str(tmp_path)])


class TestGate:
    def test_counts_time_and_not_rate(self, tmp_path: Path) -> None:
        old = write(tmp_path / "old.json", tem_1=100.0, read_1=50.0)
        new = write(tmp_path / "new.json", tem_1=80.0, read_1=50.0)
        found = compare(read_systems([old, new]))
        ((name, row, longer),) = slower_rows(found, 0.05)
        assert (name, row.name) == ("new", "tem")
        assert longer == pytest.approx(0.25)
        assert not slower_rows(found, 0.26)
        assert not slower_rows(compare(read_systems([new, old])), 0.0)

    def test_compares_steps_and_end_to_end(self, tmp_path: Path) -> None:
        old = write(tmp_path / "old.json", bsn_1=100.0, read_1=50.0)
        new = write(tmp_path / "new.json", bsn_1=90.0, read_1=40.0)
        found = slower_rows(compare(read_systems([old, new])), 0.05)
        assert [row.scope for _, row, _ in found] == ["end-to-end", "step"]

    def test_with_nothing_to_compare_it_does_not_pass(self, tmp_path: Path) -> None:
        old = write(tmp_path / "old.json", tem_1=100.0)
        new = write(tmp_path / "new.json", tem_16=90.0)
        with pytest.raises(BenchError, match="nothing to compare"):
            slower_rows(compare(read_systems([old, new])), 0.05)


def test_tables_show_what_is_there() -> None:
    found = compare(read_systems([str(GUIDE / "ascend310")]), chips=4)
    titles = [title for title, _, _ in comparison_tables(found)]
    assert titles[0].startswith("Headlines, samples/s: interface rate x 4 chips of an NPU card")
    assert titles[1].startswith("Samples/s of one chip or process")
    assert titles[2] == "Samples/s of the steps"
    (table,) = comparison_tables(compare(read_systems([str(SAMPLES / "perf_test_2023.txt")])))
    title, _, rows = table
    assert title == "Batches/s, where the batch size is not known"
    assert rows == [["perf_test_2023", "network", "interface", "17.01"]]


def test_page() -> None:
    found = compare(read_systems([str(GUIDE / "t4"), str(GUIDE / "ascend310")]), chips=4)
    page = comparison_page(found, None, "actspan compare t4 ascend310")
    assert "| BSN | 1 | 12,964.67 | 7,099.84 | 0.548 |" in page
    assert "| ascend310 | TEM | 16 | 12,277.90 | 143.16 | 1.2 % |" in page
