"""The guide's own logs: its headlines follow, its slips are named.

The figures under `guide/` are typed in from the BSN inference guide (Ascend 310 beside T4) that
this project grew from: the performance summaries, trtexec's GPU Compute blocks, and in `report.md`
its arithmetic and command lines.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from actspan.bench.comparison import Comparison, Row, compare, read_systems
from actspan.bench.report_check import ReportCheck, check_report

GUIDE = Path(__file__).parent / "guide"


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compare(read_systems([str(GUIDE / "t4"), str(GUIDE / "ascend310")]), chips=4)


@pytest.fixture(scope="module")
def checked(found: Comparison) -> ReportCheck:
    return check_report(GUIDE / "report.md", found)


def row(rows: tuple[Row, ...], name: str, batch: int) -> Row:
    (chosen,) = (row for row in rows if (row.name, row.batch) == (name, batch))
    return chosen


@pytest.mark.parametrize(
    ("name", "batch", "t4", "ascend310"),
    [
        ("tem", 1, 17674, 13102.2),
        ("pem", 1, 48656, 15497.84),
        ("bsn", 1, 12965, 7099.87),
        ("tem", 16, 72872, 49111.6),
        ("pem", 16, 66228, 74259.6),
        ("bsn", 16, 34696, 29560.95),
    ],
)
def test_headlines(found: Comparison, name: str, batch: int, t4: float, ascend310: float) -> None:
    # The printed ones; two of them were rounded on the way, in the fifth digit.
    assert row(found.headlines, name, batch).rates == pytest.approx((t4, ascend310), rel=3e-5)


@pytest.mark.parametrize(("batch", "ratio"), [(1, 0.548), (16, 0.85)])
def test_ratios(found: Comparison, batch: int, ratio: float) -> None:
    assert row(found.headlines, "bsn", batch).ratios == (pytest.approx(ratio, abs=0.003),)


@pytest.mark.parametrize(
    ("name", "batch", "interface", "measured"),
    [
        ("tem", 1, 3275.55, 180.9),
        ("pem", 1, 3874.46, 616.8),
        ("tem", 16, 12277.9, 143.2),
        ("pem", 16, 18564.9, 141.8),
    ],
)
def test_measured_end_to_end_stands_beside_the_interface_rate(
    found: Comparison, name: str, batch: int, interface: float, measured: float
) -> None:
    assert row(found.interface, name, batch).rates[1] == interface
    assert row(found.measured, name, batch).rates == (None, pytest.approx(measured, abs=0.06))
    (note,) = (note.text for note in found.notes if note.about == "ascend310")
    assert "headlines count the runtime's call alone" in note
    assert f"{name.upper()} {measured} at batch {batch}" in note


def test_postprocess_counts_batches(found: Comparison) -> None:
    notes = [note for note in found.notes if "[postprocess] counts batches" in note.text]
    assert len(notes) == 2
    assert all("batchsize_16" in note.about for note in notes)


@pytest.mark.parametrize(
    ("line", "kind", "parts"),
    [
        pytest.param(6, "rounded", ["is 7099.84, not 7099.87"], id="bsn-310-bs1"),
        pytest.param(10, "rounded", ["is 29561.26, not 29560.95"], id="bsn-310-bs16"),
        pytest.param(
            12, "slip", ["--shapes=video:1*400*100 is not trtexec's syntax", "video:1x400x100"]
        ),
        pytest.param(
            13, "slip", ["video:1x1000x32", "the input of PEM is named video_feature, not video"]
        ),
        pytest.param(
            14,
            "slip",
            [
                "1000/0.215458 is 4641, not 17674",
                "0.215458 is in no log",
                "17674 follows with 0.0565804 in place of 0.215458",
                "t4, tem_bs1.txt line 4: GPU Compute mean, ms",
            ],
            id="tem-t4-bs1",
        ),
        pytest.param(
            16, "slip", ["12965 follows with 0.0565804 in place of 0.215458"], id="bsn-t4-bs1"
        ),
        pytest.param(18, "slip", ["video:16x400x100"]),
        pytest.param(19, "slip", ["video:16x1000x32", "video_feature"]),
        pytest.param(
            22,
            "slip",
            [
                "is 66496, not 34696",
                "34696 follows with 0.24159 in place of 0.0210533",
                "t4, pem_bs16.txt line 4",
            ],
            id="bsn-t4-bs16",
        ),
    ],
)
def test_slips_are_named(checked: ReportCheck, line: int, kind: str, parts: list[str]) -> None:
    (finding,) = (finding for finding in checked.findings if finding.line == line)
    assert finding.kind == kind
    for part in parts:
        assert part in finding.text


def test_nothing_else_is_flagged(checked: ReportCheck) -> None:
    assert [finding.line for finding in checked.findings] == [6, 10, 12, 13, 14, 16, 18, 19, 22]
    assert (checked.equations, checked.commands) == (14, 4)
    assert not checked.passed
