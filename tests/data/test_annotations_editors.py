"""Forms of video editors, sound editors and players, through readers that are not ours."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Video
from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.problems import Skipped
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.format_table import FORMATS
from actspan.data.annotations.formats import encode_annotations, read_annotations, write_annotations
from actspan.data.annotations.losslesscut import decode_json5
from actspan.data.annotations.writing import WriteOptions

NTSC = 30000 / 1001
VIDEO = Video(
    "clip", 100.0, "validation",
    segments=[[20.0, 30.0], [1.5, 4.02], [3.0, 9.123456789], [22.0, 33.0], [40.0, 50.0]],
    labels=("jump", "jump", 'say "go"', "jump", "naïve 跳ぶ"),
    scores=[0.9, 0.8, 0.7, 0.5, 0.25],
    fps=25.0,
)  # fmt: skip
EMPTY = Video("empty", 20.0, fps=25.0)


def written(folder: Path, format: str, *videos: Video, **options: Any) -> list[Path]:
    return list(write_annotations(folder, videos, format=format, **options))


def marks(found: Annotations) -> list[tuple[float, float, str]]:
    (video,) = found.videos
    return sorted(video.instances())


def in_frames(video: Video, fps: float) -> list[tuple[float, float, str]]:
    rows = ((round(s * fps), round(e * fps), label) for s, e, label in video.instances())
    return sorted((s / fps, max(e, s + 1) / fps, label) for s, e, label in rows)


def save(file: Path, content: str) -> Path:
    file.write_text(content, encoding="utf-8")
    return file


# ---------------------------------------------------------------- OpenTimelineIO and EDL


class TestOtio:
    @pytest.fixture
    def otio(self) -> Any:
        return pytest.importorskip("opentimelineio", reason="needs opentimelineio (extra 'dev')")

    def test_its_library_reads_it(self, otio: Any, tmp_path: Path) -> None:
        (file,) = written(tmp_path, "otio", VIDEO, media=lambda _: "../videos/clip.mp4")
        timeline = otio.adapters.read_from_file(str(file))
        clips = timeline.find_clips()
        ranges = [clip.trimmed_range() for clip in clips]
        assert sorted(
            (r.start_time.value / 25, r.end_time_exclusive().value / 25, clip.name)
            for r, clip in zip(ranges, clips, strict=True)
        ) == in_frames(VIDEO, 25)
        assert {r.start_time.rate for r in ranges} == {25.0}
        assert {clip.media_reference.target_url for clip in clips} == {"../videos/clip.mp4"}
        assert {clip.available_range().duration.to_seconds() for clip in clips} == {100.0}
        scores = {clip.name: clip.metadata["actspan"]["score"] for clip in clips}
        assert scores["naïve 跳ぶ"] == 0.25
        assert timeline.tracks[0].kind == "Video"

    def test_what_its_library_saves_is_read(self, otio: Any, tmp_path: Path) -> None:
        (file,) = written(tmp_path / "a", "otio", VIDEO)
        again = tmp_path / "again.otio"
        otio.adapters.write_to_file(otio.adapters.read_from_file(str(file)), str(again))
        found = read_annotations(again)
        assert (found.format, found.problems, found.notes) == ("otio", (), ())
        assert marks(found) == in_frames(VIDEO, 25)
        (video,) = found.videos
        assert (video.id, video.duration, video.subset, video.fps) == (
            "clip", 100.0, "validation", 25.0,
        )  # fmt: skip

    def test_timelines_of_others(self, otio: Any, tmp_path: Path) -> None:
        time = otio.opentime.RationalTime

        def span(start: float, length: float, rate: float = 24.0) -> Any:
            return otio.opentime.TimeRange(time(start, rate), time(length, rate))

        # The media's own timecode starts at one hour.
        media = otio.schema.ExternalReference("file:///day%201/b.mov", span(86400, 2400))
        track = otio.schema.Track("V1")
        track.append(otio.schema.Clip("run", media.clone(), span(86400 + 48, 24)))
        track.append(otio.schema.Gap(source_range=span(0, 10)))
        named = otio.schema.Clip("b.mov", media.clone(), span(86400 + 96, 12))
        named.markers.append(otio.schema.Marker("jump", span(0, 1)))
        named.effects.append(otio.schema.LinearTimeWarp(time_scalar=2))
        track.append(named)
        track.append(otio.schema.Transition(in_offset=time(1, 24), out_offset=time(1, 24)))
        track.append(otio.schema.Clip("b", media.clone()))
        inner = otio.schema.Stack("nested")
        inner.append(otio.schema.Clip("c", otio.schema.MissingReference(), span(12, 12)))
        track.append(inner)
        timeline = otio.schema.Timeline("film")
        timeline.tracks.append(track)
        file = tmp_path / "film.otio"
        otio.adapters.write_to_file(timeline, str(file))
        found = read_annotations(file)
        assert not found.problems
        assert {v.id: list(v.instances()) for v in found.videos} == {
            "b": [(2.0, 3.0, "run"), (4.0, 4.5, "jump"), (0.0, 100.0, "")],
            "c": [(0.5, 1.0, "")],
        }
        notes = " ".join(found.notes)
        assert "objects that are not clips: Transition" in notes
        assert "effects: LinearTimeWarp" in notes

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            ("{", "not valid JSON"),
            ("", "empty"),
            ("[]", "not OpenTimelineIO"),
            ('{"OTIO_SCHEMA": "Marker.2"}', "a timeline is needed"),
            ('{"OTIO_SCHEMA": "Clip.2", "metadata": {"actspan": {"fps": "x"}}}', "'fps' is 'x'"),
            ("[" * 100_000, "nested too deeply"),
        ],
    )
    def test_damaged_files_are_refused(self, content: str, what: str, tmp_path: Path) -> None:
        with pytest.raises(AnnotationError, match=what):
            read_annotations(save(tmp_path / "x.otio", content))

    @pytest.mark.parametrize(
        "start", [None, 3, {"value": 1}, {"value": "1", "rate": 24}, {"value": 1, "rate": 0}]
    )
    def test_clips_without_times_are_problems(self, start: Any, tmp_path: Path) -> None:
        span = {"start_time": start, "duration": {"value": 3, "rate": 24}}
        clip = {"OTIO_SCHEMA": "Clip.1", "name": "x", "source_range": span}
        track = {"OTIO_SCHEMA": "Track.1", "children": [clip]}
        (problem,) = read_annotations(save(tmp_path / "x.otio", json.dumps(track))).problems
        assert "start_time is not a time" in problem.problem
        assert problem.file.endswith("x.otio: clip 1")


class TestEdl:
    @pytest.fixture
    def adapters(self) -> Any:
        pytest.importorskip("otio_cmx3600_adapter", reason="needs otio-cmx3600-adapter ('dev')")
        return pytest.importorskip("opentimelineio").adapters

    @pytest.mark.parametrize(("given", "fps"), [(25, 25), (29.97, NTSC), (23.98, 24000 / 1001)])
    def test_the_adapter_of_opentimelineio_reads_it(
        self, given: float, fps: float, adapters: Any, tmp_path: Path
    ) -> None:
        video = Video("clip", 100.0, segments=VIDEO.segments, labels=VIDEO.labels)
        (file,) = written(tmp_path, "edl", video, fps=given, media=lambda _: "my videos/clip.mp4")
        timeline = adapters.read_from_file(str(file), rate=fps)
        clips = timeline.find_clips()
        found = [
            (clip.source_range.start_time.value, clip.source_range.duration.value, clip.markers)
            for clip in clips
        ]
        assert sorted((s / fps, (s + n) / fps, m[0].name) for s, n, m in found) == [
            (pytest.approx(s), pytest.approx(e), label) for s, e, label in in_frames(video, fps)
        ]
        assert {clip.name for clip in clips} == {"clip.mp4"}
        # One after the other: no gaps.
        assert all(type(child).__name__ == "Clip" for child in timeline.tracks[0])
        assert marks(read_annotations(file)) == in_frames(video, fps)

    def test_lists_of_the_adapter_are_read(self, adapters: Any, tmp_path: Path) -> None:
        (file,) = written(tmp_path, "otio", VIDEO, media=lambda _: "clip.mp4")
        edl = tmp_path / "x.edl"
        adapters.write_to_file(adapters.read_from_file(str(file)), str(edl), rate=25)
        found = read_annotations(edl, fps=25)
        assert (found.format, found.unit, found.problems) == ("edl", "frames", ())
        assert marks(found) == in_frames(VIDEO, 25)
        assert found.videos[0].id == "clip"

    def test_lists_of_others(self, tmp_path: Path) -> None:
        text = (
            "TITLE: film\nFCM: NON-DROP FRAME\n\n"
            "001  TAPE1    V     C        00:00:01:00 00:00:02:12 01:00:00:00 01:00:01:12\n"
            "002  AX       AA    C        00:00:05:00 00:00:06:00 01:00:00:00 01:00:01:00\n"
            "003  my reel  V     C        00:00:03:00 00:00:03:00 01:00:01:12 01:00:01:12\n"
            "003  AX       V     D    024 00:00:03:00 00:00:05:00 01:00:01:12 01:00:03:12\n"
            "* FROM CLIP NAME: b.mov\nM2   AX  050.0  00:00:03:00\n"
            "004  BL       V     C        00:00:00:00 00:00:01:00 01:00:03:12 01:00:04:12\n"
            "005  AX       V     C        00:00:01:30 00:00:02:00 01:00:00:00 01:00:01:00\n"
            "006  AX       V     C        00:00:03:00 00:00:02:00 01:00:00:00 01:00:01:00\n"
            "007  AX V nonsense\n"
        )
        found = read_annotations(save(tmp_path / "film.edl", text), fps=25)
        assert {v.id: list(v.instances()) for v in found.videos} == {
            "TAPE1": [(1.0, 2.48, "")],
            "b": [(3.0, 5.0, "")],
        }
        notes = " ".join(found.notes)
        for what in ("sound alone: AA", "without a source: BL", "without length: my reel", "speed"):
            assert what in notes
        places = {p.file.rpartition(":")[2]: p.problem for p in found.problems}
        assert "00:00:01:30 does not exist at 25" in places["11"]
        assert "ends before it starts" in places["12"]
        assert "not an event" in places["13"]

    @pytest.mark.parametrize(
        ("timecode", "frame"),
        [
            ("00:00:59;29", 1799),
            ("00:01:00;02", 1800),
            ("00:10:00;00", 17982),
            ("01:00:00;00", 107892),
        ],
    )
    def test_drop_frame(self, timecode: str, frame: int, tmp_path: Path) -> None:
        times = f"{timecode} 02:00:00;00 00:00:00;00 00:00:00;00"
        text = f"TITLE: a\nFCM: DROP FRAME\n001  AX V C {times}\n"
        found = read_annotations(save(tmp_path / "a.edl", text), fps=NTSC)
        assert marks(found) == [(frame / NTSC, 215784 / NTSC, "")]
        (problem,) = read_annotations(tmp_path / "a.edl", fps=25).problems
        assert "drops frames" in problem.problem or "does not exist" in problem.problem

    def test_a_rate_is_needed(self, tmp_path: Path) -> None:
        text = "TITLE: a\n001  AX V C 00:00:01:00 00:00:02:00 00:00:00:00 00:00:01:00\n"
        with pytest.raises(AnnotationError, match="annotate convert --fps RATE"):
            read_annotations(save(tmp_path / "a.edl", text))
        for format in ("edl", "otio"):
            with pytest.raises(ConfigError, match=r"2 videos is unknown \(a, b\): pass --fps"):
                encode_annotations([Video("a", 9.0), Video("b", 9.0), EMPTY], format)

    @pytest.mark.parametrize("content", ["", "hello\n"])
    def test_other_texts_are_refused(self, content: str, tmp_path: Path) -> None:
        with pytest.raises(AnnotationError, match="not an EDL"):
            read_annotations(save(tmp_path / "a.edl", content), fps=25)

    @pytest.mark.parametrize(
        "video",
        [
            Video("a", math.nan, segments=[[0, 1.0]], labels=("x",), fps=240.0),
            Video("a", math.nan, segments=[[86400, 86401.0]], labels=("x",), fps=25.0),
            Video(
                "a", math.nan, segments=[[0, 50000.0], [1, 50000.0]], labels=("x", "y"), fps=25.0
            ),
        ],
        ids=["rate", "late", "long"],
    )
    def test_what_timecode_cannot_count_is_refused(self, video: Video) -> None:
        with pytest.raises(AnnotationError, match="use --to otio"):
            encode_annotations([video], "edl")


# ---------------------------------------------------------------- LosslessCut


def check_project(project: Any) -> None:
    """Check what LosslessCut's own schema of version 2 requires."""
    assert project["version"] == 2
    assert isinstance(project.get("mediaFileName", ""), str)
    for segment in project["cutSegments"]:
        assert {type(segment["start"]), type(segment["end"])} <= {int, float}
        assert isinstance(segment["name"], str)
        assert all(isinstance(tag, str) for tag in segment.get("tags", {}).values())


class TestLosslessCut:
    def test_projects(self, tmp_path: Path) -> None:
        files = written(tmp_path, "losslesscut", VIDEO, EMPTY, media=lambda v: f"../{v.id}.mp4")
        assert [file.name for file in files] == ["clip-proj.llc", "empty-proj.llc"]
        for file in files:
            check_project(json.loads(file.read_text()))
        project = json.loads(files[0].read_text())
        assert project["mediaFileName"] == "clip.mp4"
        assert [s["start"] for s in project["cutSegments"]] == [1.5, 3.0, 20.0, 22.0, 40.0]
        assert project["cutSegments"][0]["tags"] == {"score": "0.8"}
        found = read_annotations(tmp_path)
        assert (found.format, found.problems, found.notes) == ("losslesscut", (), ())
        clip, empty = found.videos
        assert sorted(clip.instances()) == sorted(VIDEO.instances())
        assert (empty.id, empty.duration) == ("empty", 20.0)

    def test_projects_as_it_saves_them(self, tmp_path: Path) -> None:
        text = (
            "{\n  version: 2, // of the project\n  mediaFileName: 'day 1.mp4',\n  cutSegments: [\n"
            "    {\n      start: 1.5,\n      end: 4,\n      name: 'it\\'s \"x\"',\n"
            "      tags: {},\n    },\n    { start: .5, name: 'a marker' },\n"
            "    { start: 7, end: 8, name: 'no', selected: false },\n"
            "    { start: 9, end: 8, name: 'back' }, { start: '1', end: 2 }, 3,\n  ],\n}\n"
        )
        found = read_annotations(save(tmp_path / "x-proj.llc", text))
        (video,) = found.videos
        assert (video.id, list(video.instances())) == ("day 1", [(1.5, 4.0, 'it\'s "x"')])
        notes = " ".join(found.notes)
        assert "markers: a marker" in notes
        assert "segments that are not selected: no" in notes
        assert [p.file.rpartition(" ")[2] for p in found.problems] == ["4", "5", "6"]

    def test_a_segment_to_the_end_of_an_old_project_is_a_problem(self, tmp_path: Path) -> None:
        text = "{version: 1, cutSegments: [{name: 'a', end: 2}, {start: 3, name: 'b'}]}"
        found = read_annotations(save(tmp_path / "x-proj.llc", text))
        assert marks(found) == [(0.0, 2.0, "a")]
        assert found.videos[0].id == "x"
        (problem,) = found.problems
        assert problem.remedy == "set its end in LosslessCut"

    def test_tables(self, tmp_path: Path) -> None:
        rows = '1.5,4,jump\n,2,"a, b"\n00:01:00.500,1:02,run\n5,,open\n6,7\n'
        for name, head in (("clip.mp4.csv", ""), ("headed.csv", "Start,End,Name\n")):
            found = read_annotations(save(tmp_path / name, head + rows))
            assert found.format == "losslesscut"
            assert marks(found) == [(0.0, 2.0, "a, b"), (1.5, 4.0, "jump"), (60.5, 62.0, "run")]
            assert found.videos[0].id == name.partition(".")[0]
            assert [p.problem for p in found.problems] == [
                "a segment without an end", "2 cells, and start, end, name are needed",
            ]  # fmt: skip
            assert {p.skipped for p in found.problems} == {Skipped.SEGMENT}

    @pytest.mark.parametrize("row", ["a,1,2", "a,1,2,jump", "1,2,3", "start,end,name\n1,2,a"])
    def test_other_tables_are_not_taken_for_its(self, row: str, tmp_path: Path) -> None:
        assert read_annotations(save(tmp_path / "x.csv", row + "\n")).format == "csv"

    def test_a_first_line_that_is_no_row(self, tmp_path: Path) -> None:
        with pytest.raises(AnnotationError, match="columns for 'video'"):
            read_annotations(save(tmp_path / "x.csv", "a,1\r,2\n"))

    @pytest.mark.parametrize(
        "text", ["", "{}", "[1]", "{cutSegments: 3}", "{a: b}", "{cutSegments"]
    )
    def test_damaged_projects_are_refused(self, text: str, tmp_path: Path) -> None:
        with pytest.raises(AnnotationError, match="not a project of LosslessCut"):
            read_annotations(save(tmp_path / "x.llc", text))


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=4), v, max_size=3),
    max_leaves=8,
)


@given(_values)
def test_json_is_json5(value: Any) -> None:
    assert decode_json5(json.dumps(value)) == value
    assert decode_json5(json.dumps(value, indent=1, ensure_ascii=False)) == value


@given(_values)
def test_json5_of_another_writer(value: Any) -> None:
    json5 = pytest.importorskip("json5", reason="needs json5 (extra 'dev')")
    style = {"quote_keys": False, "trailing_commas": True, "indent": 1}
    assert decode_json5(json5.dumps(value, **style)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("/* a */ [+1, -0x1F, .5, 5., 1e3, 2.e1, Infinity, -Infinity, // b\n]",
         [1, -31, 0.5, 5.0, 1000.0, 20.0, math.inf, -math.inf]),
        (r"'\x41\u00e9\'\v\0\ud83e\udd38'", "Aé'\v\0🤸"),
        ("'a\\\nb'", "ab"),
        ("{true: true, $a_1: null, 'é': 1, n\u0303: 2}",
         {"true": True, "$a_1": None, "é": 1, "n\u0303": 2}),
    ],
)  # fmt: skip
def test_what_json5_adds(text: str, value: Any) -> None:
    assert decode_json5(text) == value


@pytest.mark.parametrize(
    "text", ["", "[,]", "[1,,]", "{,}", "a", "{a: b}", "'a", "1 2", "/* a", "#"]
)
def test_what_is_not_json5_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_json5(text)


# ---------------------------------------------------------------- Praat


class TestPraat:
    def read(self, file: Path) -> dict[str, list[tuple[float, str]]]:
        """Return what Praat finds in a file: tiers, with the start and text of their entries."""
        parselmouth = pytest.importorskip("parselmouth", reason="needs praat-parselmouth ('dev')")
        grid = parselmouth.Data.read(str(file))

        def ask(*question: Any) -> Any:
            return parselmouth.praat.call(grid, *question)

        def entries(tier: int) -> Iterator[tuple[float, str]]:
            if ask("Is interval tier", tier):
                for i in range(1, ask("Get number of intervals", tier) + 1):
                    yield (
                        ask("Get start time of interval", tier, i),
                        ask("Get label of interval", tier, i),
                    )
            else:
                for i in range(1, ask("Get number of points", tier) + 1):
                    yield ask("Get time of point", tier, i), ask("Get label of point", tier, i)

        tiers = range(1, ask("Get number of tiers") + 1)
        found = {ask("Get tier name", tier): list(entries(tier)) for tier in tiers}
        ask("Save as short text file", str(file))
        return found

    def test_praat_reads_it_and_what_it_saves_is_read(self, tmp_path: Path) -> None:
        clip, empty = written(tmp_path, "textgrid", VIDEO, EMPTY)
        before = read_annotations(clip)
        assert (before.problems, before.notes) == ((), ())
        assert self.read(clip) == {
            "actions": [(0.0, ""), (1.5, "jump"), (4.02, ""), (20.0, "jump"), (30.0, ""),
                        (40.0, "naïve 跳ぶ"), (50.0, "")],
            "scores": [(1.5, "0.8"), (20.0, "0.9"), (40.0, "0.25")],
            "actions 2": [(0.0, ""), (3.0, 'say "go"'), (9.123456789, ""), (22.0, "jump"),
                          (33.0, "")],
            "scores 2": [(3.0, "0.7"), (22.0, "0.5")],
        }  # fmt: skip
        after = read_annotations(clip)
        assert marks(after) == marks(before) == sorted(VIDEO.instances())
        assert after.videos[0].duration == 100.0
        assert self.read(empty) == {"actions": [(0.0, "")]}
        assert read_annotations(empty).videos[0].duration == 20.0

    def test_an_unknown_duration_is_a_note(self, tmp_path: Path) -> None:
        video = Video("a", math.nan, segments=[[1.0, 2.5]], labels=("x",))
        notes = FORMATS["textgrid"].notes
        assert notes is not None
        (note,) = notes([video], WriteOptions())
        assert note.startswith("duration unknown in 1 video: the grid ends with the last instance")
        (file,) = written(tmp_path, "textgrid", video)
        assert math.isnan(read_annotations(file).videos[0].duration)
        assert len(self.read(file)["actions"]) == 2


# ---------------------------------------------------------------- Audacity


class TestAudacity:
    def test_lines(self, tmp_path: Path) -> None:
        clip, empty = written(tmp_path, "audacity", VIDEO, EMPTY)
        assert clip.read_text().splitlines()[:2] == [
            "1.500000\t4.020000\tjump", '3.000000\t9.123457\tsay "go"',
        ]  # fmt: skip
        assert empty.read_bytes() == b""
        found = read_annotations(tmp_path)
        assert (found.format, found.problems, found.notes) == ("audacity", (), ())
        assert list(found.videos.ids) == ["clip", "empty"]

    def test_ids_that_are_no_file_names_are_a_note(self) -> None:
        notes = FORMATS["audacity"].notes
        assert notes is not None
        assert list(notes([VIDEO], WriteOptions())) == []
        (note,) = notes([VIDEO, Video("day 1/a", 9.0)], WriteOptions())
        assert note == "file names differ from 1 id, and are read back in their place: day 1/a"

    def test_labels_of_others(self, tmp_path: Path) -> None:
        text = (
            "\ufeff1\t2.5\tjump\n\\\t100.000\t200.000\n3.000000\t3.000000\ta point\n"
            "4\t5\n6\t5\tback\nhello\n"
        )
        found = read_annotations(save(tmp_path / "clip.txt", text))
        assert marks(found) == [(1.0, 2.5, "jump"), (4.0, 5.0, "")]
        notes = " ".join(found.notes)
        assert "frequency ranges: clip.txt" in notes
        assert "labels without length: a point" in notes
        assert [p.file.rpartition(":")[2] for p in found.problems] == ["5", "6"]
        save(tmp_path / "readme.txt", "hello\n")
        problems = read_annotations(tmp_path).problems
        assert any("its lines have no tabs" in p.problem for p in problems)


_spans = st.tuples(st.floats(0, 4000), st.floats(0.001, 1000)).map(lambda x: [x[0], x[0] + x[1]])
_labels = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6)


@pytest.mark.parametrize("format", ["edl", "audacity"])
@given(
    st.lists(st.tuples(_spans, _labels), max_size=6),
    st.floats(1, 100) | st.sampled_from([NTSC, 24000 / 1001, 25.0]),
)
def test_limited_forms_read_back(
    format: str, tmp_path_factory: pytest.TempPathFactory, rows: list[Any], fps: float
) -> None:
    labels = tuple("x" if label in ("Ambiguous",) else label for _, label in rows)
    video = Video("a", math.nan, segments=[span for span, _ in rows], labels=labels, fps=fps)
    ((name, content),) = encode_annotations([video], format).items()
    file = tmp_path_factory.mktemp("x") / name
    file.write_bytes(content)
    (again,) = read_annotations(file, format=format).videos
    rate = 1e6 if format == "audacity" else again.fps
    assert rate == pytest.approx(1e6 if format == "audacity" else fps, rel=1e-3)
    wanted = sorted(
        (round(s * rate), max(round(e * rate), round(s * rate) + 1), label)
        for s, e, label in video.instances()
    )
    got = sorted((round(s * rate), round(e * rate), label) for s, e, label in again.instances())
    assert got == wanted


# ---------------------------------------------------------------- YouTube


def chapters(text: str) -> list[tuple[int, str]]:
    """Read chapters as strictly as YouTube's help describes them."""
    found = []
    for line in text.splitlines():
        clock = re.fullmatch(r"(?:(\d+):)?(\d\d?):(\d\d) ([^<>]+)", line)
        assert clock is not None, line
        hours, minutes, seconds = (int(part or 0) for part in clock.groups()[:3])
        assert seconds < 60
        assert minutes < 60
        found.append((hours * 3600 + minutes * 60 + seconds, clock[4]))
    times = [time for time, _ in found]
    assert times[0] == 0
    assert all(b - a >= 10 for a, b in pairwise(times))
    return found


class TestYouTube:
    def test_the_best_of_chapters_that_are_too_close(self) -> None:
        (content,) = encode_annotations([VIDEO], "youtube").values()
        assert chapters(content.decode()) == [(0, "jump"), (20, "jump"), (40, "naïve 跳ぶ")]
        notes = FORMATS["youtube"].notes
        assert notes is not None
        assert list(notes([VIDEO, EMPTY], WriteOptions())) == [
            "2 segments left out: chapters start at least 10 s apart (the best scores are kept)",
            "1 chapter moved to 0:00, where YouTube needs the first one",
            "1 video with fewer than 3 chapters, which YouTube does not show",
        ]

    @given(st.lists(st.tuples(_spans, _labels), max_size=8), st.just(math.nan) | st.floats(1, 5000))
    def test_any_instances(self, rows: list[Any], duration: float) -> None:
        labels = tuple(label for _, label in rows)
        video = Video("a", duration, segments=[span for span, _ in rows], labels=labels)
        (content,) = encode_annotations([video], "youtube").values()
        assert chapters(content.decode())[0][1]

    def test_the_last_chapter_is_long_enough(self) -> None:
        starts = [[2.0, 3.0], [12.0, 13.0], [25.0, 26.0]]
        for duration, seconds in ((7.0, [0]), (30.0, [0, 12]), (35.0, [0, 12, 25])):
            video = Video("a", duration, segments=starts, labels=("x", "y", "z"))
            (content,) = encode_annotations([video], "youtube").values()
            assert [second for second, _ in chapters(content.decode())] == seconds

    def test_hours_and_brackets(self) -> None:
        video = Video("a", math.nan, segments=[[3723.9, 3800.0]], labels=("<b>\tx",))
        (content,) = encode_annotations([video], "youtube").values()
        assert content.decode() == "0:00 Start\n1:02:03 ‹b› x\n"

    def test_chapters_are_not_read(self, tmp_path: Path) -> None:
        (file,) = written(tmp_path, "youtube", VIDEO)
        with pytest.raises(ConfigError, match="youtube can only be written"):
            read_annotations(file, format="youtube")
        with pytest.raises(AnnotationError, match="unknown format"):
            read_annotations(file)


# ---------------------------------------------------------------- BORIS


def test_boris_pairs_its_events(tmp_path: Path) -> None:
    """Check what BORIS requires of a project: known codes and subjects, and pairs of events."""
    overlapping = Video(
        "clip", 60.0, segments=[[0, 9], [1, 2.5], [2.5, 3], [2, 4]], labels=("a", "a", "a", "b"),
        scores=[0.5, 0.4, 0.3, 0.2], fps=25.0,
    )  # fmt: skip
    (file,) = written(
        tmp_path / "p.boris", "boris", overlapping, EMPTY, media=lambda v: f"./{v.id}.mp4"
    )
    project = json.loads(file.read_text())
    codes = {entry["code"]: entry["key"] for entry in project["behaviors_conf"].values()}
    assert codes == {"a": "a", "b": "b"}
    subjects = {entry["name"] for entry in project["subjects_conf"].values()}
    assert subjects == {"overlap 2"}
    clip = project["observations"]["clip"]
    assert clip["media_info"]["length"] == {"./clip.mp4": 60.0}
    running: dict[tuple[str, str], int] = {}
    for time, subject, code, _, _ in clip["events"]:
        assert code in codes
        assert subject in subjects | {""}
        running[subject, code] = running.get((subject, code), 0) + 1
        assert time >= 0
    assert all(count % 2 == 0 for count in running.values())
    assert [event[0] for event in clip["events"]] == sorted(event[0] for event in clip["events"])
    found = read_annotations(file)
    assert not found.problems
    first, empty = found.videos
    assert sorted(first.instances()) == sorted(overlapping.instances())
    assert (first.fps, empty.id, empty.duration) == (25.0, "empty", 20.0)
