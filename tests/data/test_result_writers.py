"""Tables of proposals and detections equal the JSON result."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.csv import read_csv
from pyarrow.parquet import read_table

from actspan import Proposals
from actspan.core.errors import ActSpanError, ResultError
from actspan.data import result_writers
from actspan.data.result_files import read_result
from actspan.data.result_writers import result_writer

TABLES = pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])


def rows_of(path: Path) -> list[dict[str, Any]]:
    read = read_csv if path.suffix.lower() == ".csv" else read_table
    rows: list[dict[str, Any]] = read(path).to_pylist()
    return rows


@TABLES
def test_detections_have_their_labels(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    with result_writer(path, labelled=True) as writer:
        writer.add('a, "b"', Proposals([1.0], [2.5], [0.1], unit="seconds"), ["jump, high"])
        writer.add(
            "c", Proposals([0.0, 3.0], [1.0, 4.0], [0.5, 0.25], unit="seconds"), ["é", "run"]
        )
    assert [tuple(row.values()) for row in rows_of(path)] == [
        ('a, "b"', 1.0, 2.5, 0.1, "jump, high"),
        ("c", 0.0, 1.0, 0.5, "é"),
        ("c", 3.0, 4.0, 0.25, "run"),
    ]
    assert list(rows_of(path)[0]) == ["video", "start", "end", "score", "label"]


@TABLES
def test_a_table_without_rows_has_its_columns(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    with result_writer(path):
        pass
    read = read_csv if suffix.lower() == ".csv" else read_table
    assert read(path).column_names == ["video", "start", "end", "score"]


@TABLES
@given(
    counts=st.lists(st.integers(0, 4), max_size=6),
    score=st.floats(0, 1),
    group=st.integers(1, 5),
)
def test_numbers_are_exact_and_row_groups_lose_nothing(
    suffix: str, counts: list[int], score: float, group: int, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(result_writers, "_GROUP", group)
        for name in ("x.json", f"x{suffix}"):
            with result_writer(folder / name) as writer:
                for number, count in enumerate(counts):
                    starts = [i / 3 for i in range(count)]
                    ends = [s + 1 / 7 for s in starts]
                    writer.add(
                        f"v{number}", Proposals(starts, ends, [score] * count, unit="seconds")
                    )
    expected = [
        (f"{video}", start, end, score)
        for video, found in read_result(folder / "x.json").items()
        for start, end in zip(found.start.tolist(), found.end.tolist(), strict=True)
    ]
    assert [tuple(row.values()) for row in rows_of(folder / f"x{suffix}")] == expected


@TABLES
def test_a_failure_leaves_the_older_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_text("old")
    with pytest.raises(ResultError, match="NaN"), result_writer(path) as writer:
        writer.add("b", Proposals([1.0, 1.0], [2.0, 2.0], [0.5, float("nan")], unit="seconds"))
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(path.name, "old")]


@TABLES
def test_a_full_disk_is_one_message(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")

    def open_full(path: Path, mode: str) -> IO[Any]:
        path.touch()
        return open("/dev/full", "wb")

    monkeypatch.setattr("actspan.core.files.open", open_full, raising=False)
    many = np.arange(20_000.0)
    with (
        pytest.raises(ActSpanError, match="cannot be written: No space left"),
        result_writer(tmp_path / f"x{suffix}") as writer,
    ):
        writer.add("a", Proposals(many, many + 1, many, unit="seconds"))
    assert list(tmp_path.iterdir()) == []


def test_evaluation_says_that_it_reads_no_tables(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="is a table; give the run folder or the result"):
        read_result(tmp_path / "x.csv")
