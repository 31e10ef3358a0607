from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan.bench.comparison import compare, read_systems
from actspan.bench.logs.text import find_shapes
from actspan.bench.report_check import ReportCheck, check_report, find_equations, matches
from actspan.core.errors import BenchError

GUIDE = Path(__file__).parent / "guide"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("3275.55x4=13102.2", ["3275.55*4 = 13102.2"], id="letter-x"),
        pytest.param("rate: 3275.55 × 4 ≈ 13,102", ["3275.55 * 4 = 13102"], id="signs"),
        pytest.param("吞吐率：1/（1/3+1/6）=2", ["1/(1/3+1/6) = 2"], id="full-width"),
        pytest.param("fps = 7.5*4 = 30", ["7.5*4 = 30"], id="named"),
        pytest.param("2*3=6，6*4=24", ["2*3 = 6", "6*4 = 24"], id="two"),
        pytest.param("2*3 = 12/2 = 6", ["2*3 = 12", "12/2 = 6"], id="chain"),
        pytest.param("batch 16 12277.9*4=49111.6", ["12277.9*4 = 49111.6"], id="number-before"),
        pytest.param("1,234.5 / 2 = 617.25", ["1234.5 / 2 = 617.25"], id="groups"),
        pytest.param("1e-3*2=0.002", ["1e-3*2 = 0.002"], id="exponent"),
        pytest.param("min = 3.2 ms, max = 4", [], id="no-formula"),
        pytest.param("ResNet-50-5 = 93, top1-5=9", [], id="names"),
        pytest.param("--input_shape=1,3 a=5, -5=5", [], id="options"),
        pytest.param("2**3=8 and 7//2=3", [], id="other-operators"),
        pytest.param("(((3*4=12", [], id="brackets"),
        pytest.param("rate + 2*3 = 7, f(2*3) = 4", [], id="part-of-a-formula"),
        pytest.param("1+" * 200 + "1=201", [], id="too-long"),
    ],
)
def test_finds_equations(text: str, expected: list[str]) -> None:
    assert [f"{e.formula} = {e.result}" for e in find_equations([text])] == expected


@pytest.mark.parametrize(
    ("printed", "value", "same"),
    [
        pytest.param("72872", 72872.69, True, id="cut-off"),
        pytest.param("17674", 17673.96, True, id="rounded"),
        pytest.param("0.85", 0.852, True, id="two-places"),
        pytest.param("0.85", 0.861, False, id="too-far"),
        pytest.param("1.5e3", 1549.0, True, id="exponent"),
    ],
)
def test_printed_numbers(printed: str, value: float, same: bool) -> None:
    assert matches(Decimal(printed), value) is same


@given(st.text(alphabet="0123456789.,+-*/()=xeE ×（", max_size=60))
def test_any_text_is_safe(text: str) -> None:
    for equation in find_equations([text]):
        value = equation.value([float(number) for number in equation.inputs])
        assert value is None or isinstance(value, float)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.sampled_from("+-*"))
def test_correct_arithmetic_follows(a: int, b: int, sign: str) -> None:
    result = {"+": a + b, "-": a - b, "*": a * b}[sign]
    for equation in find_equations([f"{a}{sign}{b}={result}"]):  # none where the result is below 0
        value = equation.value([float(number) for number in equation.inputs])
        assert value is not None
        assert matches(equation.result, value)


def check(tmp_path: Path, text: str, *, chips: int = 4) -> ReportCheck:
    (tmp_path / "report.txt").write_text(text, encoding="utf-8")
    systems = read_systems([str(GUIDE / "t4"), str(GUIDE / "ascend310")])
    return check_report(tmp_path / "report.txt", compare(systems, chips=chips))


def test_what_follows_is_not_flagged(tmp_path: Path) -> None:
    checked = check(tmp_path, "TEM 3275.55x4 = 13102.2\nratio 7,099.84 / 12964.67 = 0.548\n")
    assert checked.passed
    assert not checked.findings
    assert checked.equations == 2


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        pytest.param(
            "1000/0.0565804 = 18674", "slip", "1000/0.0565804 is 17674, not 18674", id="result"
        ),
        pytest.param(
            "1000/0.2=5000", "unfounded", "1000/0.2 = 5000: 0.2 is in no log", id="synthetic-input"
        ),
        pytest.param("12277.9/(4-4)=3", "slip", "divides by zero, not 3", id="zero"),
        pytest.param(
            "3275.55*8=26204.4", "unfounded", "8 is in no log (if a card has 8 chips: --chips 8)"
        ),
        pytest.param(
            "3874.46x4=13102.2",
            "slip",
            "13102.2 follows with 3275.55 in place of 3874.46 (ascend310, perf_vision_batchsize_1_"
            "device_0.txt line 4: Interface throughputRate)",
            id="figure-of-another-log",
        ),
    ],
)
def test_what_does_not_follow_is_flagged(
    tmp_path: Path, text: str, kind: str, message: str
) -> None:
    checked = check(tmp_path, f"\n{text}\n")
    (finding,) = checked.findings
    assert (finding.kind, finding.line) == (kind, 2)
    assert message in finding.text
    assert not checked.passed


def test_a_text_without_arithmetic_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no arithmetic in it"):
        check(tmp_path, "fast\n")


@pytest.mark.parametrize(
    ("line", "batch", "problem"),
    [
        pytest.param("trtexec --shapes=video:16x400x100", 16, "", id="right"),
        pytest.param("trtexec --onnx=m.onnx --shapes=a:2x3,b:2x5", 2, "", id="two-inputs"),
        pytest.param("trtexec --shapes=video:16*400", 16, "--shapes=video:16x400", id="star"),
        pytest.param("trtexec --optShapes='v:8,3'", None, "", id="not-understood"),
        pytest.param(
            "trtexec --onnx=BSN_tem.onnx --shapes=video_feature:1x400x100",
            1,
            "the input of TEM is named video, not video_feature",
            id="other-name",
        ),
        pytest.param("other --shapes=video:1*2", None, "", id="another-tool"),
    ],
)
def test_shapes_of_commands(line: str, batch: int | None, problem: str) -> None:
    found = list(find_shapes([line]))
    assert [shapes.batch for shapes in found] == ([] if batch is None else [batch])
    for shapes in found:
        assert problem in shapes.problem
        assert bool(problem) == bool(shapes.problem)
