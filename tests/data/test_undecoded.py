from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan.data.annotations.formats import read_annotations
from actspan.data.annotations.undecoded import NotPlainError, UndecodedObject

VIDEO = '{"duration": 9.0, "annotations": [{"segment": [1, 2], "label": "a"}]}'

keys = st.one_of(st.sampled_from(["a", 'b":', "c\\", ""]), st.text(max_size=4))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), keys),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(keys, values, max_size=4), st.sampled_from([None, 1]))
def test_it_is_what_json_makes_of_it(entries: dict[str, Any], indent: int | None) -> None:
    data = json.dumps({"version": "1", "database": entries}, indent=indent).encode()
    with suppress(NotPlainError):  # at a loss now and then, but never wrong
        document = UndecodedObject(data)
        assert dict(document.entries("database")) == entries
        assert document.without("database") == {"version": "1"}
        document.require_all_seen()


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_usual_documents_are_taken(indent: int | None) -> None:
    content = {"database": {"x": json.loads(VIDEO)}, "taxonomy": [{"nodeId": 1}]}
    document = UndecodedObject(json.dumps(content, indent=indent).encode())
    assert document.holds_object("database")
    assert not document.holds_object("taxonomy")
    assert dict(document.entries("database")) == content["database"]
    assert document.without("database") == {"taxonomy": [{"nodeId": 1}]}
    document.require_all_seen()


@pytest.mark.parametrize(
    "database",
    [
        pytest.param(f'{{"x": {VIDEO}, "x": {VIDEO}}}', id="an id twice"),
        pytest.param(f'{{"x": {VIDEO[:-1]}, "duration": 3}}}}', id="a key of a video twice"),
        pytest.param('{"x": {"a": [{"b": 1, "c": {"b": 1}, "b" : 2}]}}', id="deep inside"),
    ],
)
def test_a_key_that_is_there_twice_is_noticed(database: str) -> None:
    document = UndecodedObject(f'{{"version": 1, "database": {database}}}'.encode())
    list(document.entries("database"))
    document.without("database")
    with pytest.raises(NotPlainError, match="twice"):
        document.require_all_seen()


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        pytest.param(f'{{"database": {{"x": {VIDEO}}}}}', ["x"], id="plain"),
        pytest.param(f'{{"database": {{"x": {VIDEO}}}, "note": NaN}}', ["x"], id="not-a-number"),
        pytest.param(f'{{"database": {{"x": {VIDEO}}}, "a": "\\":"}}', ["x"], id="a quoted colon"),
        pytest.param(f'{{"a": 1, "a": 2, "database": {{"x": {VIDEO}}}}}', ["x"], id="a key twice"),
    ],
)
def test_both_ways_lead_to_the_same_videos(text: str, ids: list[str], tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(text)
    found = read_annotations(path)
    assert [video.id for video in found] == ids
    assert found.videos[0].labels == ("a",)


def test_what_is_no_object() -> None:
    for text in (b"[1]", b"", b'{"a": ', b'{"a": 1} 2'):
        with pytest.raises(NotPlainError):
            UndecodedObject(text)
