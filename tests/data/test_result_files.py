"""The result file: read exactly, written atomically, refused where it is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Proposals
from actspan.core.errors import ActSpanError, ResultError
from actspan.core.limits import SECONDS
from actspan.data.names import composed, file_stem
from actspan.data.result_files import ResultTable, read_result, read_result_table
from actspan.data.result_writers import result_writer, write_result

finite = st.floats(allow_nan=False, allow_infinity=False)
times = st.floats(-SECONDS, SECONDS)
entries = st.lists(st.tuples(times, times, finite), max_size=5)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "result.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def document(**results: Any) -> str:
    return json.dumps({"version": "VERSION 1.3", "results": results, "external_data": {}})


def entry(score: float = 0.5, start: float = 1.0, end: float = 2.0) -> dict[str, Any]:
    return {"score": score, "segment": [start, end]}


# a name such as x.mp4 comes back as x, and any name in Unicode NFC
names = st.text(st.characters(exclude_categories=["Cs"])).filter(
    lambda name: file_stem(composed(f"x{name}")) == f"x{name}"
)


def test_ids_are_brought_to_unicode_nfc(tmp_path: Path) -> None:
    ids = ["caf\u00e9", "cafe\u0301"]
    path = write(tmp_path, document(**{ids[1]: [entry()]}))
    assert list(read_result(path)) == ids[:1]
    path = write(tmp_path, document(**{name: [entry()] for name in ids}))
    with pytest.raises(ResultError, match="two Unicode forms: keep one"):
        read_result(path)


@given(st.dictionaries(names, entries, max_size=5))
def test_floats_and_names_survive_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory, videos: dict[str, list[tuple[float, float, float]]]
) -> None:
    path = tmp_path_factory.mktemp("result") / "result.json"
    with result_writer(path) as writer:
        for video, rows in videos.items():
            columns = np.array(rows).reshape(-1, 3).T
            writer.add(f"x{video}", Proposals(*columns, unit="seconds"))
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert list(raw) == ["version", "results", "external_data"]
    assert (raw["version"], raw["external_data"]) == ("VERSION 1.3", {})
    found = read_result(path)
    assert list(found) == [f"x{video}" for video in videos]
    for video, rows in videos.items():
        p = found[f"x{video}"]
        columns = (p.start.tolist(), p.end.tolist(), p.score.tolist())
        assert list(zip(*columns, strict=True)) == rows
        read_by_python = raw["results"][f"x{video}"]
        assert [(*e["segment"], e["score"]) for e in read_by_python] == rows


def test_golden_result_reads_as_python_reads_it(golden: Path) -> None:
    path = golden / "result_proposal.json"
    found = read_result(path)
    expected = json.loads(path.read_text())["results"]
    assert list(found) == list(expected)
    for video, rows in expected.items():
        assert found[video].score.tolist() == [row["score"] for row in rows]
        assert found[video].start.tolist() == [row["segment"][0] for row in rows]
        assert found[video].end.tolist() == [row["segment"][1] for row in rows]


def test_reads_a_run_folder_strips_v_and_tolerates_labels(tmp_path: Path) -> None:
    write(tmp_path, document(v_b=[{**entry(), "label": "run"}], a=[]))
    found = read_result(tmp_path)
    assert {video: len(p) for video, p in found.items()} == {"b": 1, "a": 0}


TWICE = document(a=[entry()], b=[]).replace('"b"', '"a"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{'results'", "not valid JSON", id="not-json"),
        pytest.param(document(a=[entry()])[:-30], "cut off", id="truncated"),
        pytest.param("", "not valid JSON", id="empty"),
        pytest.param(b'{"results": {"\xff": []}}', "not valid JSON", id="not-utf8"),
        pytest.param("[]", "not a result file", id="a-list"),
        pytest.param('{"version": "1"}', "results", id="no-results"),
        pytest.param('{"results": []}', "results", id="results-is-a-list"),
        pytest.param(document(vid=[entry(float("nan"))]), "'vid', entry 0: NaN", id="nan-score"),
        pytest.param(
            document(vid=[entry(), entry(end=float("inf"))]), "'vid', entry 1", id="infinite-end"
        ),
        pytest.param('{"results": {}, "external_data": NaN}', "not valid JSON", id="nan-elsewhere"),
        pytest.param('{"results": {"a": [{"score": 1e999}]}}', "'a'", id="too-large"),
        pytest.param(document(vid=[{"score": 1.0, "segment": [1.0]}]), "'vid'", id="one-number"),
        pytest.param(
            document(vid=[{"score": 1.0, "segment": [1, 2, 3]}]), "'vid'", id="three-numbers"
        ),
        pytest.param(document(vid=[{"score": 1.0, "segment": ["1", "2"]}]), "'vid'", id="strings"),
        pytest.param(document(vid=[{"segment": [1.0, 2.0]}]), "score", id="no-score"),
        pytest.param(document(vid=[{"score": None, "segment": [1.0, 2.0]}]), "'vid'", id="null"),
        pytest.param(document(vid={}), "'vid'", id="entries-not-a-list"),
        pytest.param(document(v_a=[], a=[]), "with and without", id="twice-after-stripping"),
        pytest.param(TWICE, "'a' occurs 2 times", id="repeated-key"),
    ],
)
def test_damage_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ResultError, match=message) as error:
        read_result(path)
    assert str(path) in str(error.value)


def test_the_word_segment_in_a_name_is_no_damage(tmp_path: Path) -> None:
    path = write(tmp_path, document(a=[{**entry(), "label": "segment", "x": {"segment": []}}]))
    assert len(read_result(path)["a"]) == 1


def test_lists_elsewhere_are_no_damage(tmp_path: Path) -> None:
    path = write(tmp_path, document(a=[entry()], **{"b[": []}).replace("{}}", '{"used": [1]}}'))
    assert [len(p) for p in read_result(path).values()] == [1, 0]


def test_a_table_holds_the_same(tmp_path: Path) -> None:
    many = {f"v{i}": [entry(i / 64, j, j + 1) for j in range(i % 5)] for i in range(64)}
    path = write(tmp_path, document(**many))
    table, found = read_result_table(path), read_result(path)
    again = ResultTable.of(found)
    for name in ("counts", "first", "start", "end", "score"):
        np.testing.assert_array_equal(getattr(table, name), getattr(again, name))
    assert table.ids == tuple(many) == again.ids
    assert table.counts.tolist() == [len(rows) for rows in many.values()]


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"no result\.json in this folder"):
        read_result(tmp_path)
    with pytest.raises(ResultError, match=r"x\.json: cannot be read"):
        read_result(tmp_path / "x.json")


def test_writes_whole_or_not_at_all(tmp_path: Path) -> None:
    path = write(tmp_path, "the old one")

    def fail_half_way() -> None:
        with result_writer(path) as writer:
            writer.add("a", Proposals([1.0], [2.0], [0.5], unit="seconds"))
            raise FileNotFoundError("a feature file")

    with pytest.raises(FileNotFoundError, match="a feature file"):
        fail_half_way()
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]

    write_result(path, {"a": Proposals([1.0], [2.0], [0.5], unit="seconds")})
    assert read_result(path)["a"].end.tolist() == [2.0]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("column", range(3))
def test_writer_refuses_what_is_not_finite(tmp_path: Path, bad: float, column: int) -> None:
    columns: list[list[float]] = [[0.0], [1.0], [0.5]]
    columns[column] = [bad]
    with (
        pytest.raises(ResultError, match="'a': NaN or infinity"),
        result_writer(tmp_path / "r.json") as writer,
    ):
        writer.add("a", Proposals(*columns, unit="seconds"))
    assert list(tmp_path.iterdir()) == []


def test_writer_refuses_a_video_twice(tmp_path: Path) -> None:
    with result_writer(tmp_path / "r.json") as writer:
        writer.add("a", Proposals([], [], [], unit="seconds"))
        with pytest.raises(ResultError, match="'a' is written twice"):
            writer.add("a", Proposals([], [], [], unit="seconds"))
    assert list(read_result(tmp_path / "r.json")) == ["a"]


def test_writer_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ActSpanError, match="cannot be written"):
        write_result(tmp_path / "absent" / "r.json", {})
