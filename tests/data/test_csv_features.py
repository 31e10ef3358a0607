"""CSV features: the compiled walk gives what the general reader gives, or leaves it to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyarrow import csv

from actspan.core.errors import FeatureError
from actspan.data.csv_features import parse_table
from actspan.data.csv_numbers import read_numbers
from actspan.data.features import Entry, read_array

finite = st.floats(allow_nan=False, allow_infinity=False)
floats = st.one_of(finite, st.floats(-10, 10), st.integers(-(10**20), 10**20).map(float))
written = st.sampled_from(["%r", "%.8g", "%.18e", "%.3f", "%.25f", "%d", "%E"])
plain = st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


def parse(text: str, columns: int) -> np.ndarray | None:
    return parse_table(np.frombuffer(text.encode(), np.uint8), columns)


def rounded(text: str) -> np.float32:
    with np.errstate(over="ignore"):
        return np.float32(float(text))


@given(st.lists(st.tuples(floats, floats), min_size=1, max_size=5), written, st.booleans())
def test_numbers_are_those_of_python_as_float32(
    rows: list[tuple[float, float]], form: str, ends: bool
) -> None:
    texts = [[form % value for value in row] for row in rows]
    found = parse("\n".join(map(",".join, texts)) + "\n" * ends, 2)
    if found is not None:
        expected = np.array([[rounded(text) for text in row] for row in texts])
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


@given(plain)
@example("-0.0")
@example("1.00000005960464477539062500001")  # half way between two float32, and a little more
@example("1.00000005960464477539062499999")
@example("0.000000000000000000012345678901234567")
@example("340282356779733661637539395458142568448")  # the first that is infinite
@example("7.006492321624085e-46")  # half of the smallest
def test_a_number_is_right_or_left_alone(text: str) -> None:
    found = parse(text, 1)
    assert found is None or found.tolist() == [[float(rounded(text))]]


def test_what_features_look_like_is_not_left_alone() -> None:
    rng = np.random.default_rng(0)
    for kind in (np.float32, np.float64):
        values = (rng.normal(size=(50, 40)) * 10.0 ** rng.integers(-6, 3, (50, 40))).astype(kind)
        text = "\r\n".join(",".join(map(str, row)) for row in values.tolist())
        found = parse(text, 40)
        assert found is not None
        np.testing.assert_array_equal(found, values.astype(np.float32))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("1,2\n3\n", id="a-row-is-short"),
        pytest.param("1,2,3\n", id="a-row-is-long"),
        pytest.param("1,2\n\n", id="empty-line"),
        pytest.param("1,\n", id="empty-field"),
        pytest.param('"1",2\n', id="quotes"),
        pytest.param("1, 2\n", id="blank"),
        pytest.param("1,nan\n", id="word"),
        pytest.param("1,.5\n", id="no-digit-before-the-point"),
        pytest.param("1,5.\n", id="no-digit-behind-the-point"),
        pytest.param("1,5e\n", id="no-power"),
        pytest.param("1,5e999\n", id="too-large"),
        pytest.param("1,+5\n", id="plus"),
        pytest.param("1,--5\n", id="two-signs"),
        pytest.param("1,2\r3,4\n", id="return-alone"),
    ],
)
def test_what_is_not_plain_is_left_alone(text: str) -> None:
    assert parse(text, 2) is None


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_both_readers_read_the_same(tmp_path: Path, header: bool, end: str) -> None:
    values = np.random.default_rng(1).normal(size=(20, 7))
    names = [f"f{i}" for i in range(7)]
    lines = [",".join(names)] * header + [",".join(map(repr, row)) for row in values.tolist()]
    path = tmp_path / "x.csv"
    path.write_bytes((end.join(lines) + end).encode())
    found = read_array(Entry(path))
    np.testing.assert_array_equal(found, values.astype(np.float32))
    general = read_numbers(path.read_bytes(), has_header=header)
    np.testing.assert_array_equal(found, general.astype(np.float32))
    columns = csv.ReadOptions(autogenerate_column_names=not header)
    independent = csv.read_csv(path, columns)
    np.testing.assert_array_equal(general, np.column_stack(independent.columns))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('"1",2\n3\n', "line 3 has 1 field, others 2", id="short-row"),
        pytest.param('"1",2_0\n', "'2_0' is not a number", id="digits-in-groups"),
        pytest.param('"1",red\n', "'red' is not a number", id="word"),
        pytest.param('"1",N/A\n', "1 field empty or NaN", id="missing"),
        pytest.param('"1","2\n', "unexpected end of data", id="open-quote"),
    ],
)
def test_what_is_not_a_number_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + text)
    with pytest.raises(FeatureError, match=message):
        read_array(Entry(path))


def test_quotes_and_blanks_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('\ufeff"a","b"\n"1.5", 2\n\n', encoding="utf-8")
    assert read_array(Entry(path)).tolist() == [[1.5, 2.0]]
