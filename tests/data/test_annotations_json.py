"""JSON objects in parts: the same as `json` decodes, with repeated keys found."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan.data.annotations.annotation_set import Source, decode, is_object, split
from actspan.data.annotations.formats import read_annotations

VIDEO = '{"duration": 9.0, "annotations": [{"segment": [1, 2], "label": "a"}]}'

keys = st.one_of(st.sampled_from(["a", 'b":', "c\\", "", "é"]), st.text(max_size=4))
numbers = st.one_of(st.integers(), st.floats(allow_nan=False))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, keys),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=8,
)


def compacted(data: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.json"
        path.write_bytes(data)
        found = Source(path).json
    assert found is not None
    return found


def parts_of(text: str) -> tuple[dict[str, Any], list[str]]:
    found = split(compacted(text.encode()))
    assert found is not None
    return found


@given(st.dictionaries(keys, values, max_size=4), st.sampled_from([None, 1]), st.booleans())
def test_it_is_what_json_makes_of_it(
    entries: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps({"version": "1", "database": entries}, indent=indent, ensure_ascii=ascii_only)
    data = text.encode("utf-8", "backslashreplace")
    assert decode(compacted(data)) == (json.loads(data), [])
    top, repeated = split(compacted(data)) or ({}, ["not an object"])
    assert (list(top), repeated, decode(top["version"])) == (["version", "database"], [], ("1", []))
    assert is_object(top["database"])
    parts, repeated = split(top["database"]) or ({}, ["not an object"])
    assert ({key: decode(part)[0] for key, part in parts.items()}, repeated) == (entries, [])


@pytest.mark.parametrize(
    ("text", "value", "repeated"),
    [
        pytest.param('{"x": 1, "x": 2}', {"x": 1}, ["x"], id="the first is kept"),
        pytest.param('{"x": 1, "x": 1}', {"x": 1}, ["x"], id="twice the same"),
        pytest.param('{"x": 1, "\\u0078": 2}', {"x": 1}, ["x"], id="escaped"),
        pytest.param('[{"b": [{"b": 1, "b" : 2}]}]', [{"b": [{"b": 1}]}], ["b"], id="deep inside"),
        pytest.param('{"x": NaN, "x": 2}', None, ["x"], id="not strict"),
        pytest.param('{"x": "a\\": 1, \\"x\\": 2"}', {"x": 'a": 1, "x": 2'}, [], id="in a text"),
        pytest.param('{"x": 1e400, "y": 1.50}', {"x": float("inf"), "y": 1.5}, [], id="digits"),
    ],
)
def test_repeated_keys(text: str, value: Any, repeated: list[str]) -> None:
    found, keys = decode(compacted(text.encode()))
    assert keys == repeated
    assert value is None or found == value


@pytest.mark.parametrize("strict", [True, False])
def test_repeated_keys_of_the_top_are_apart_from_those_of_its_parts(strict: bool) -> None:
    last = "1" if strict else "NaN"
    parts, repeated = parts_of(f'{{"a": {{"b": 1, "b": 2}}, "a": 3, "c": {last}}}')
    assert (list(parts), repeated) == (["a", "c"], ["a"])
    assert is_object(parts["a"])
    assert not is_object(parts["c"])
    assert decode(parts["a"]) == ({"b": 1}, ["b"])
    assert split(parts["c"]) is None


def test_what_is_no_object() -> None:
    assert split(b"[1]") is None
    for text in (b'{"a": ', b'{"a": 1} 2', b'{"a": "\xff"}'):
        with pytest.raises(ValueError, match=r"."):
            split(compacted(text)) and decode(compacted(text))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'{{"database": {{"x": {VIDEO}}}}}', id="plain"),
        pytest.param(f'{{"database": {{"x": {VIDEO}}}, "note": NaN}}', id="not-a-number"),
        pytest.param(f'{{"database": {{"x": {VIDEO}}}, "a": "\\":"}}', id="a quoted colon"),
        pytest.param(f'{{"a": 1, "a": 2, "database": {{"x": {VIDEO}}}}}', id="a key twice"),
    ],
)
def test_both_ways_lead_to_the_same_videos(text: str, tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(text)
    found = read_annotations(path)
    assert [video.id for video in found] == ["x"]
    assert found.videos[0].labels == ("a",)
