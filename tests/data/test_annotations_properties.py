"""Annotations that are written are read back the same; damaged ones raise only our errors."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from actspan import Video
from actspan.core.errors import ActSpanError, AnnotationError
from actspan.data.annotations import activitynet
from actspan.data.annotations.annotation_set import ReadOptions, Source
from actspan.data.annotations.format_table import FORMATS
from actspan.data.annotations.formats import (
    encode_annotations,
    read_annotations,
    write_annotations,
)
from actspan.data.names import composed, file_stem
from tests.data.annotation_files import (
    boris_project,
    task,
    timeline_region,
    via_project,
    write_elan,
    write_thumos,
)

# text as a cell of a table keeps it: no half surrogates or control characters, trimmed
_words = st.text(
    st.characters(exclude_categories=["C", "Z"], include_characters=" ,;\"'\n\r\t"), max_size=12
) | st.sampled_from(["a --> b", "<b>&amp;", "]]>", "a\n\nb", "&#10;", "../../x", "=1+1"])
_text = _words.map(str.strip)
_positive = st.floats(1e-3, 1e6)


def is_label(text: str) -> bool:
    """Say whether readers keep a text as a label: some mark a missing label or an ambiguous one."""
    return text != "Ambiguous" and text.lower() not in ("nan", "na", "n/a", "<na>", "null")


@st.composite
def videos(draw: st.DrawFn) -> list[Video]:
    # ids are read in Unicode NFC, without the suffix of a media file
    names = _text.map(composed).filter(lambda name: name != "" and file_stem(name) == name)
    ids = draw(st.lists(names, unique=True, max_size=4))
    return [draw(video_of(name)) for name in ids]


@st.composite
def video_of(draw: st.DrawFn, name: str) -> Video:
    def segments() -> np.ndarray:
        spans = st.tuples(st.floats(0, 1e5), _positive).map(lambda x: (x[0], x[0] + x[1]))
        return np.array(draw(st.lists(spans, max_size=4))).reshape(-1, 2)

    instances = segments()
    return Video(
        id=name,
        duration=draw(st.just(math.nan) | _positive),
        subset=draw(st.sampled_from(["", "training", "validation", "testing", "Fold 1"])),
        segments=instances,
        labels=tuple(draw(_text.filter(is_label)) for _ in instances),
        frames=draw(st.none() | st.integers(1, 10**6)),
        fps=draw(st.none() | _positive),
        ignored=segments(),
    )


Instance = tuple[float, float, str]


def as_it_is(video: Video) -> list[Instance]:
    return [*video.instances(), *((*span, "Ambiguous") for span in video.ignored.tolist())]


def in_milliseconds(video: Video) -> list[Instance]:
    def rounded(start: float, end: float) -> tuple[float, float]:
        first = round(start * 1000)
        return first / 1000, max(round(end * 1000), first + 1) / 1000

    return [(*rounded(s, e), label) for s, e, label in as_it_is(video)]


def labelled(video: Video) -> list[Instance]:
    return [(start, end, label) for start, end, label in as_it_is(video)]


def in_frames(video: Video) -> list[Instance]:
    fps = video.fps or 25

    def rounded(start: float, end: float) -> tuple[float, float]:
        first = round(start * fps)
        return first / fps, max(round(end * fps), first + 1) / fps

    return [(*rounded(s, e), label) for s, e, label in as_it_is(video)]


KEPT = {
    "activitynet": as_it_is,
    "csv": as_it_is,
    "elan": in_milliseconds,
    "vtt": in_milliseconds,
    "labelstudio": in_frames,
    "textgrid": labelled,
    "boris": labelled,
    "losslesscut": labelled,
    "fiftyone": labelled,
    "otio": in_frames,
}
COUNTED = ("labelstudio", "otio")  # forms of frame numbers, which need a rate
LIMITED = {"edl", "audacity"}  # not all times, or no facts: test_annotations_editors.py


def test_every_form_that_is_written_is_read_back_here() -> None:
    both = {f.name for f in FORMATS.values() if f.encode is not None and f.read is not None}
    assert both == KEPT.keys() | LIMITED


@pytest.mark.parametrize("format", KEPT)
@settings(max_examples=50)
@given(written=videos())
@example(written=[Video("v_twice", 5.0)])
def test_what_is_written_reads_back(format: str, written: list[Video]) -> None:
    assume(written or FORMATS[format].suffix)  # tools are not given nothing
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{FORMATS[format].suffix}"
        try:
            files = write_annotations(
                path, written, format=format, media=lambda _: "other name.mp4", fps=25.0
            )
        except AnnotationError as error:  # of a file a video
            assume("would both be written to" not in str(error))
            raise
        assert all(path in (file, file.parent) or len(files) == 2 for file in files)
        found = read_annotations(path, format=format)
    assert not found.problems
    by_id = {video.id: video for video in found.videos}
    assert by_id.keys() == {video.id for video in written}
    for video in written:
        check_same(by_id[video.id], video, format)


def check_same(video: Video, written: Video, format: str) -> None:
    fps = 25.0 if format in COUNTED and written.fps is None else written.fps
    assert (video.subset, video.frames, video.fps) == (written.subset, written.frames, fps)
    # A table's duration that ends before an instance is taken as the length of a segment.
    if format != "csv" or not written.duration < written.segments.max(initial=0.0):
        assert video.duration == written.duration or math.isnan(video.duration + written.duration)
    assert sorted(as_it_is(video)) == sorted(KEPT[format](written))
    if format in ("activitynet", "csv"):
        assert video.labels == written.labels  # in their order


_keys = st.sampled_from(
    ["database", "annotations", "segment", "label", "duration", "subset", "frames", "fps", "data",
     "duration_second", "duration_frame", "feature_frame", "result", "value", "ranges", "start",
     "end", "timelinelabels", "labels", "video", "framesCount", "original_length", "id"]
)  # fmt: skip
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50)
@given(_json)
def test_any_json_is_read_or_refused(document: Any) -> None:
    check_bytes(".json", json.dumps(document).encode())


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=4), _json, max_size=3), st.sampled_from(["database", ""]))
def test_any_entry_is_read_or_refused(entries: dict[str, Any], key: str) -> None:
    check_bytes(".json", json.dumps({key: entries} if key else entries).encode())


_cells = st.sampled_from(["video", "start", "end", "label", "duration", "fps", "a", "1", "2.5", "",
                          "nan", "1e999", "1:2", "-1", '"', "v_a", "\x00", "1_0"])  # fmt: skip


@settings(max_examples=50)
@given(
    st.lists(st.lists(_cells | st.text(max_size=4), max_size=6), max_size=6),
    st.sampled_from(",;\t"),
)
def test_any_table_is_read_or_refused(rows: list[list[str]], separator: str) -> None:
    text = "\n".join(separator.join(row) for row in rows)
    check_bytes(".csv", text.encode("utf-8", "replace"))
    check_bytes(".csv", b"video,start,end,label,duration\n" + text.encode("utf-8", "replace"))


_SUFFIXES = (
    ".json", ".boris", ".via.json", ".csv", ".eaf", ".vtt", ".srt", ".textgrid", "_val.txt", ".edl",
    ".otio", ".llc", ".txt", ".fiftyone.json",
)  # fmt: skip


@pytest.mark.parametrize("suffix", _SUFFIXES)
@settings(max_examples=50)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(suffix: str, data: st.DataObject) -> None:
    """Cut off, or with bytes changed, at any place."""
    content = bytearray(_good(suffix))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    check_bytes(suffix, bytes(content[: data.draw(st.integers(0, len(content)))]))


_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=3), parts),
    max_leaves=4,
)


@pytest.mark.parametrize(
    "suffix", [".json", ".boris", ".via.json", ".otio", ".llc", ".fiftyone.json"]
)
@given(data=st.data())
def test_any_value_in_any_place_is_read_or_refused(suffix: str, data: st.DataObject) -> None:
    document = json.loads(_good(suffix))
    for _ in range(data.draw(st.integers(1, 2))):
        place = document
        while True:
            keys = range(len(place)) if isinstance(place, list) else list(place)
            key = data.draw(st.sampled_from(keys))
            inner = place[key]
            if not isinstance(inner, (list, dict)) or not inner or data.draw(st.booleans()):
                place[key] = data.draw(_ANY_JSON)
                break
            place = inner
    check_bytes(suffix, json.dumps(document).encode())


def _good(suffix: str) -> bytes:
    if suffix == ".json":
        return json.dumps([task("a.mp4", timeline_region(1, 9, "x"), fps=25)]).encode()
    if suffix == ".boris":
        return json.dumps(boris_project([[1, "", "dig", "", ""], [2, "", "dig", "", ""]])).encode()
    if suffix == ".via.json":
        return json.dumps(via_project([{"z": [1, 2], "xy": [], "av": {"1": "0"}}])).encode()
    if suffix in (".edl", ".otio", ".llc", ".txt", ".fiftyone.json"):
        video = Video("a", 9.0, segments=[[1, 2], [1.5, 3]], labels=("x", "y"), fps=25.0)
        names = {".llc": "losslesscut", ".txt": "audacity", ".fiftyone.json": "fiftyone"}
        format = names.get(suffix, suffix[1:])
        (content,) = encode_annotations([video], format).values()
        return content
    if suffix == ".srt":
        return b"1\n00:00:01,000 --> 00:00:02,000\na\n\n2\n00:00:03,000 --> 00:00:04,000\nb\n"
    if suffix == ".textgrid":
        head = b'"ooTextFile"\n"TextGrid"\n0\n3\n<exists>\n1\n'
        return head + b'"IntervalTier"\n"t"\n0\n3\n2\n0\n1\n"a"\n1\n3\n"b"\n'
    if suffix == ".csv":
        return b"video,start,end,label,duration\na,1,2,x,9\nb,,,,8\n"
    if suffix == ".vtt":
        facts = b'NOTE actspan {"video": "a", "duration": 9.0}'
        return b"WEBVTT\n\n" + facts + b"\n\n1 0.5\n00:01.000 --> 00:02.000\na &amp; b\n"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if suffix == ".eaf":
            return write_elan(folder / "x.eaf", {"t": [(1, 2, "a")]}, media="m.mp4").read_bytes()
        return (write_thumos(folder, {"D_val": ["v 1 2", "v 3 4"]}) / "D_val.txt").read_bytes()


def check_bytes(suffix: str, content: bytes) -> None:
    """Check that reading gives videos that can be written, or one of our errors."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"x{suffix}"
        file.write_bytes(content)
        try:
            found = read_annotations(file)
            for name in ("y.json", "y.csv"):
                write_annotations(Path(folder) / name, found.videos, document=found.document)
        except ActSpanError as error:
            assert str(error)  # noqa: PT017 - any of them will do
            return
        assert all(p.file and p.remedy for p in found.problems)
        assert all(len(v.labels) == len(v.segments) for v in found.videos)


PLAIN = st.dictionaries(
    st.from_regex(r"\A(v_)?[a-z0-9]{1,3}\Z"),
    st.fixed_dictionaries(
        {},
        optional={
            "subset": st.sampled_from(["training", "Test", "Val", "fold 1", "", " x", None, 0]),
            "duration": st.sampled_from([9.5, 12, 0, "7.5", "0.0", "-1", "1:02", None, -1.0, True]),
            "frames": st.sampled_from([250, 25.0, 2.5, None, "8"]),
            "fps": st.sampled_from([25.0, 30, None, 0.0]),
            "url": st.sampled_from(["https://x", "", [], {"a": 1}, 5]),
            "split": st.sampled_from(["training", 1]),
            "annotations": st.lists(
                st.fixed_dictionaries(
                    {
                        "segment": st.sampled_from([[1, 2.5], [3.5, 1.0], [True, 2.0], [1.0]]),
                        "label": st.sampled_from(
                            ["jump", " run", "7", "7 m", "Ambiguous", "a\nb", "a b", 3, "é"]
                        ),
                    },
                    optional={"id": st.integers(0, 9)},
                ),
                max_size=3,
            ),
        },
    ),
    max_size=3,
)


@given(PLAIN, st.booleans())
def test_both_readers_of_a_plain_document_agree(entries: dict[str, object], beside: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "annotations.json"
        document = {"version": "1", "database": entries, **({"other": [1]} if beside else {})}
        path.write_text(json.dumps(document))
        found = activitynet.read_plain(Source(path))
        other = activitynet.read(Source(path), ReadOptions())
    if found is not None:
        assert repr(list(found)) == repr(list(other))
        assert (found.document, found.problems, found.notes) == (other.document, (), ())
