"""Annotations that are written: tools read them, each format by a reader that is not ours."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from actspan import Video
from actspan.core.errors import AnnotationError, ConfigError
from actspan.data.annotations.formats import encode_annotations, read_annotations, write_annotations

ODD = (
    "commas, \"quotes\" and 'more'",
    "two\nlines",
    "a carriage\rreturn",
    "blank\n\nline",
    "00:01.000 --> 00:02.000",
    "<b>tag</b> &amp; </ANNOTATION_VALUE> ]]>",
    "NOTE",
    "WEBVTT",
    "{curly} <c.red>",
    "naïve 跳ぶ 🤸",
    "=1+1",
    "a\tb",
    "&#10;",
)
NAMES = ("chromium", "chromium-browser", "google-chrome")


def odd_video(name: str = "../../x <&>\"'", *, scored: bool = True) -> Video:
    """Return an instance for every odd label, one after the other, and one over all of them."""
    segments = [[i + 0.25, i + 1.0] for i in range(len(ODD))] + [[0.125, 90.0]]
    scores = np.linspace(0.9, 0.1, len(segments)) if scored else None
    return Video(
        name, 100.0, "validation", segments=segments, labels=(*ODD, "all"), fps=8.0, scores=scores
    )


def marks(video: Video) -> list[tuple[float, float, str]]:
    return sorted(video.instances())


def encoded(format: str, *videos: Video) -> dict[str, bytes]:
    return encode_annotations(
        videos, format, media=lambda video: f"https://host/{len(video.id)}.mp4"
    )


class TestTable:
    def test_python_reads_it(self) -> None:
        (content,) = encoded("csv", odd_video()).values()
        rows = list(csv.DictReader(StringIO(content.decode(), newline="")))
        assert [(float(r["start"]), float(r["end"]), r["label"]) for r in rows] == list(
            odd_video().instances()
        )
        assert [float(r["score"]) for r in rows] == odd_video().scores.tolist()
        assert {r["video"] for r in rows} == {odd_video().id}

    def test_pandas_reads_it(self) -> None:
        pandas = pytest.importorskip("pandas", reason="needs pandas (extra 'dev')")
        video = odd_video("a")
        (content,) = encoded("csv", video, Video("empty", 9.0)).values()
        frame = pandas.read_csv(StringIO(content.decode(), newline=""))
        assert frame["label"].dropna().tolist() == list(video.labels)
        assert frame[["start", "end"]].dropna().to_numpy().tolist() == video.segments.tolist()
        assert frame["score"].dropna().tolist() == video.scores.tolist()
        assert frame["duration"].tolist() == [100.0] * len(video.labels) + [9.0]


class TestElan:
    @pytest.fixture
    def pympi(self) -> Any:
        return pytest.importorskip("pympi", reason="needs pympi-ling (extra 'dev')")

    def test_pympi_reads_it(self, pympi: Any, tmp_path: Path) -> None:
        video = odd_video()
        (file,) = write_annotations(
            tmp_path, [video], format="elan", media=lambda _: "../videos/x.mp4"
        )
        document = pympi.Eaf(str(file))
        found = [
            mark
            for tier in ("actions", "actions 2")
            for mark in document.get_annotation_data_for_tier(tier)
        ]
        assert sorted((s / 1000, e / 1000, text) for s, e, text in found) == marks(video)
        scores = {
            text: float(score)
            for tier in ("scores", "scores 2")
            for _, _, score, text in document.get_ref_annotation_data_for_tier(tier)
        }
        assert scores == dict(zip(video.labels, video.scores.tolist(), strict=True))
        (media,) = document.get_linked_files()
        assert media["RELATIVE_MEDIA_URL"] == "../videos/x.mp4"
        assert ("actspan.duration", "100.0") in document.properties

    def test_pympi_saves_it_and_nothing_is_lost(self, pympi: Any, tmp_path: Path) -> None:
        video = odd_video("clip")
        (file,) = write_annotations(tmp_path, [video], format="elan")
        pympi.Eaf(str(file)).to_file(str(file), pretty=False)
        file.with_suffix(".eaf.001").unlink(missing_ok=True)
        found = read_annotations(tmp_path)
        (again,) = found.videos
        kept = [(s, e, label.replace("\r", "\n")) for s, e, label in marks(video)]
        assert marks(again) == kept  # pympi writes a carriage return as it is
        assert (again.id, again.duration, again.subset, again.fps) == (
            "clip", 100.0, "validation", 8.0,
        )  # fmt: skip
        assert (found.format, found.problems, found.notes) == ("elan", (), ())

    @pytest.mark.parametrize(
        "video", [odd_video(), odd_video(scored=False), Video("empty", 9.0)], ids=lambda v: v.id
    )
    def test_it_is_built_as_the_schema_says(self, video: Video) -> None:
        (content,) = encoded("elan", video).values()
        check_eaf(ElementTree.fromstring(content))

    def test_nothing_overlaps_within_a_tier(self) -> None:
        spans = [[0.0, 9.0], [1.0, 2.0], [2.0, 3.0], [1.5, 2.5], [8.0, 12.0], [9.0, 10.0]]
        video = Video("a", 20.0, segments=spans, labels=tuple("abcdef"))
        (content,) = encoded("elan", video).values()
        root = ElementTree.fromstring(content)
        tiers = [[v.text for v in tier.iter("ANNOTATION_VALUE")] for tier in root.iter("TIER")]
        # the first come into the first tier that has room
        assert tiers == [["a", "f"], ["b", "c", "e"], ["d"]]


# children in their order, and attributes that have to be there: EAF 3.0
EAF = {
    "ANNOTATION_DOCUMENT": (
        ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "CONSTRAINT"],
        {"AUTHOR", "DATE", "VERSION"},
    ),
    "HEADER": (["MEDIA_DESCRIPTOR", "PROPERTY"], {"TIME_UNITS"}),
    "MEDIA_DESCRIPTOR": ([], {"MEDIA_URL", "MIME_TYPE"}),
    "PROPERTY": ([], {"NAME"}),
    "TIME_ORDER": (["TIME_SLOT"], set[str]()),
    "TIME_SLOT": ([], {"TIME_SLOT_ID", "TIME_VALUE"}),
    "TIER": (["ANNOTATION"], {"TIER_ID", "LINGUISTIC_TYPE_REF"}),
    "ANNOTATION": (["ALIGNABLE_ANNOTATION", "REF_ANNOTATION"], set[str]()),
    "ALIGNABLE_ANNOTATION": (
        ["ANNOTATION_VALUE"],
        {"ANNOTATION_ID", "TIME_SLOT_REF1", "TIME_SLOT_REF2"},
    ),
    "REF_ANNOTATION": (["ANNOTATION_VALUE"], {"ANNOTATION_ID", "ANNOTATION_REF"}),
    "ANNOTATION_VALUE": ([], set[str]()),
    "LINGUISTIC_TYPE": ([], {"LINGUISTIC_TYPE_ID"}),
    "CONSTRAINT": ([], {"STEREOTYPE"}),
}


def check_eaf(root: ElementTree.Element) -> None:
    """Order of elements, attributes, ids that are unique and references that lead somewhere."""
    for element in root.iter():
        order, needed = EAF[element.tag]
        places = [order.index(child.tag) for child in element]
        assert places == sorted(places), element.tag
        assert needed <= element.attrib.keys(), element.tag
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*", root.attrib["DATE"])  # xsd:dateTime
    slots = [slot.attrib["TIME_SLOT_ID"] for slot in root.iter("TIME_SLOT")]
    aligned = [a.attrib["ANNOTATION_ID"] for a in root.iter("ALIGNABLE_ANNOTATION")]
    named = [*slots, *aligned, *(a.attrib["ANNOTATION_ID"] for a in root.iter("REF_ANNOTATION"))]
    assert len(named) == len(set(named))
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", name) for name in named)  # xsd:ID
    for annotation in root.iter("ALIGNABLE_ANNOTATION"):
        assert {annotation.attrib[f"TIME_SLOT_REF{i}"] for i in (1, 2)} <= set(slots)
    for annotation in root.iter("REF_ANNOTATION"):
        assert annotation.attrib["ANNOTATION_REF"] in aligned
    check_tiers(root)


def check_tiers(root: ElementTree.Element) -> None:
    """Check that tiers have types, and symbolic ones a parent and no times of their own."""
    tiers = [tier.attrib["TIER_ID"] for tier in root.iter("TIER")]
    assert len(tiers) == len(set(tiers))
    types = {kind.attrib["LINGUISTIC_TYPE_ID"]: kind for kind in root.iter("LINGUISTIC_TYPE")}
    constraints = {constraint.attrib["STEREOTYPE"] for constraint in root.iter("CONSTRAINT")}
    for tier in root.iter("TIER"):
        constraint = types[tier.attrib["LINGUISTIC_TYPE_REF"]].get("CONSTRAINTS")
        kinds = {annotation.tag for annotation in tier.findall("ANNOTATION/*")}
        if constraint is None:
            assert "PARENT_REF" not in tier.attrib
            assert kinds <= {"ALIGNABLE_ANNOTATION"}
        else:
            assert constraint in constraints
            assert tier.attrib["PARENT_REF"] in tiers
            assert kinds == {"REF_ANNOTATION"}


class TestVtt:
    def test_webvtt_reads_it(self, tmp_path: Path) -> None:
        webvtt = pytest.importorskip("webvtt", reason="needs webvtt-py (extra 'dev')")
        video = Video(
            "a", 9e4, segments=[[3.0, 4.0], [0.0015, 36000.5]], labels=("jump", "a & b"),
            scores=[0.5, 0.25],
        )  # fmt: skip
        (file,) = write_annotations(tmp_path, [video], format="vtt")
        cues = list(webvtt.read(str(file)))
        assert [(c.start, c.end, c.text) for c in cues] == [
            ("00:00:00.002", "10:00:00.500", "a &amp; b"),
            ("00:00:03.000", "00:00:04.000", "jump"),
        ]
        assert [c.identifier for c in cues] == ["1 0.25", "2 0.5"]
        (file,) = write_annotations(tmp_path, [Video("empty", 9.0)], format="vtt")
        assert list(webvtt.read(str(file))) == []

    def test_chromium_reads_it(self, page: Any) -> None:
        video = odd_video()
        (content,) = encoded("vtt", video).values()
        cues = page.evaluate(READ_TRACK, content.decode())
        assert sorted((c["start"], c["end"], c["shown"]) for c in cues) == marks(video)
        assert cues == sorted(cues, key=lambda cue: (cue["start"], cue["end"]))
        scores = {cue["shown"]: float(cue["id"].split()[1]) for cue in cues}
        assert scores == dict(zip(video.labels, video.scores.tolist(), strict=True))
        (content,) = encoded("vtt", Video("empty", 9.0)).values()
        assert page.evaluate(READ_TRACK, content.decode()) == []

    @pytest.fixture
    def page(self) -> Iterator[Any]:
        api = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra 'dev')")
        path = next(filter(None, map(shutil.which, NAMES)), None)
        if path is None:
            pytest.skip("needs Chromium: apt-get install chromium")
        with api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            yield browser.new_page()
            browser.close()


# what a player has of a track: texts as shown, identifiers, times
READ_TRACK = """content => new Promise((resolve, reject) => {
  const track = document.createElement('track');
  track.src = URL.createObjectURL(new Blob([content], {type: 'text/vtt'}));
  track.onerror = () => reject(new Error('refused'));
  track.onload = () => resolve(Array.from(track.track.cues, cue => ({
    start: cue.startTime, end: cue.endTime, id: cue.id, shown: cue.getCueAsHTML().textContent})));
  document.createElement('video').append(track);
  track.track.mode = 'hidden';
})"""


class Data(msgspec.Struct, forbid_unknown_fields=True):
    video: str
    actspan_id: str
    fps: float
    duration: float | None = None
    subset: str | None = None
    frames: int | None = None


class Range(msgspec.Struct, forbid_unknown_fields=True):
    start: int
    end: int


class Value(msgspec.Struct, forbid_unknown_fields=True):
    ranges: list[Range]
    timelinelabels: list[str]


class Region(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    from_name: Literal["actions"]
    to_name: Literal["video"]
    type: Literal["timelinelabels"]
    value: Value
    score: float | None = None


class Result(msgspec.Struct, forbid_unknown_fields=True):
    result: list[Region]
    model_version: str | None = None
    score: float | None = None


class Task(msgspec.Struct, forbid_unknown_fields=True):
    """A task as Label Studio documents it, as far as we write it."""

    data: Data
    annotations: list[Result] = []
    predictions: list[Result] = []


class TestLabelStudio:
    def test_tasks_are_as_documented(self) -> None:
        video = odd_video()
        content = encoded("labelstudio", video, Video("empty", 9.0))["labelstudio.json"]
        scored, empty = msgspec.json.decode(content, type=list[Task])
        (prediction,) = scored.predictions
        assert (scored.annotations, prediction.score) == ([], pytest.approx(0.9))
        assert [r.score for r in prediction.result] == video.scores.tolist()
        found = [
            ((r.value.ranges[0].start - 1) / 8, r.value.ranges[0].end / 8, *r.value.timelinelabels)
            for r in prediction.result
        ]
        assert found == list(video.instances())
        assert (empty.predictions, empty.annotations[0].result) == ([], [])

    def test_the_sdk_takes_them(self) -> None:
        sdk = pytest.importorskip(
            "label_studio_sdk.label_interface", reason="needs label-studio-sdk"
        )
        files = encoded("labelstudio", odd_video(), odd_video("b", scored=False), Video("c", 9.0))
        interface = sdk.LabelInterface(files["labelstudio.xml"].decode())
        interface.validate()
        for task in json.loads(files["labelstudio.json"]):
            assert interface.validate_task({"data": task["data"]})
            for made in (*task.get("predictions", ()), *task.get("annotations", ())):
                assert interface.validate_prediction(made, return_errors=True) == []

    def test_the_interface_declares_every_label(self) -> None:
        root = ElementTree.fromstring(encoded("labelstudio", odd_video())["labelstudio.xml"])
        assert [e.attrib["value"] for e in root.iter("Label")] == [*ODD, "all"]
        names = {e.tag: e.attrib for e in root}
        assert names["Video"]["frameRate"] == "$fps"
        assert names["TimelineLabels"] == {"name": "actions", "toName": "video"}

    def test_predictions_are_nobodys_annotations(self, tmp_path: Path) -> None:
        file, _ = write_annotations(
            tmp_path / "x.json", [odd_video("a")], format="labelstudio", media=lambda _: "a.mp4"
        )
        with pytest.raises(AnnotationError, match="predictions are not annotations"):
            read_annotations(file)

    def test_what_a_person_accepts_comes_back(self, tmp_path: Path) -> None:
        video = odd_video("a")
        (task,) = json.loads(encoded("labelstudio", video)["labelstudio.json"])
        # what submitting a prediction does: its regions become an annotation
        task["annotations"] = [{"id": 3, "result": task["predictions"][0]["result"]}]
        (tmp_path / "export.json").write_text(json.dumps([task, {**task, "annotations": []}]))
        found = read_annotations(tmp_path / "export.json")
        (again,) = found.videos
        assert marks(again) == marks(video)
        assert (again.duration, again.subset, again.fps) == (100.0, "validation", 8.0)

    def test_it_needs_an_address(self) -> None:
        with pytest.raises(ConfigError, match="address"):
            encode_annotations([odd_video()], "labelstudio")


HOSTILE = [
    pytest.param("../../etc/passwd", "_.._.._etc_passwd", id="up"),
    pytest.param("/etc/passwd", "_etc_passwd", id="absolute"),
    pytest.param("..\\..\\x", "_.._.._x", id="backslash"),
    pytest.param("C:x", "C_x", id="drive"),
    pytest.param("..", "_", id="parent"),
    pytest.param(".hidden", "_.hidden", id="hidden"),
    pytest.param("con", "_con", id="device"),
    pytest.param("NUL.txt", "_NUL.txt", id="device-with-suffix"),
    pytest.param("a\nb", "a_b", id="newline"),
    pytest.param("x" * 1000, "x" * 150, id="long"),
    pytest.param("é" * 100, "é" * 75, id="long-in-bytes"),
    pytest.param("trailing. . ", "trailing", id="trailing"),
    pytest.param("--1DO2V4K74", "--1DO2V4K74", id="youtube"),
    pytest.param("跳ぶ 1", "跳ぶ 1", id="unicode"),
]


@pytest.mark.parametrize(("name", "stem"), HOSTILE)
@pytest.mark.parametrize("format", ["elan", "vtt"])
def test_ids_never_become_paths(format: str, name: str, stem: str, tmp_path: Path) -> None:
    suffix = {"elan": ".eaf", "vtt": ".vtt"}[format]
    folder = tmp_path / "out"
    (file,) = write_annotations(folder, [Video(name, 9.0)], format=format)
    assert file == folder / (stem + suffix)
    assert list(folder.iterdir()) == [file]
    (again,) = read_annotations(folder).videos
    assert again.id == name.strip()


@pytest.mark.parametrize(
    ("one", "other"),
    [("a/b", "a_b"), ("Clip", "clip"), ("x" * 200, "x" * 201), ("é", "é"), ("a", "a")],
    ids=["sign", "capitals", "cut", "composed", "same"],
)
def test_files_of_two_videos_never_collide(one: str, other: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="would both be written to"):
        write_annotations(tmp_path / "out", [Video(one, 9.0), Video(other, 9.0)], format="vtt")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", ["elan", "vtt", "labelstudio"])
@pytest.mark.parametrize("bad", ["a\x00b", "a\x08", "\ud800", "\ufffe"], ids=ascii)
def test_what_no_text_can_carry_is_refused(format: str, bad: str) -> None:
    video = Video("clip", 9.0, segments=[[1, 2]], labels=(bad,))
    with pytest.raises(AnnotationError, match=r"video 'clip': label .* rename it"):
        encoded(format, video)
    with pytest.raises(AnnotationError, match=r"id .* rename it"):
        encoded(format, Video(bad, 9.0))


def write_vtt(text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "clip.vtt").write_bytes(text.encode())
        return folder / "clip.vtt"

    return write


VTT = [
    pytest.param("WEBVTT\n\n00:01.500 --> 00:02.000\njump\n", [(1.5, 2.0, "jump")], id="short"),
    pytest.param(
        "\ufeffWEBVTT - title\r\nKind: captions\r\n\r\n"
        "1\r\n00:00:01.000 --> 00:00:02.000 line:0\r\n"
        "- <v Ann>run <i>and</i></v>\r\njump &amp; fall\r\n\r\n",
        [(1.0, 2.0, "- run and jump & fall")],
        id="markup-settings-crlf-bom",
    ),
    pytest.param(
        "WEBVTT\n\nSTYLE\n::cue { color: red }\n\nNOTE 00:05.000\n\n"
        "100:00:00.000 --> 100:00:01.000\nx",
        [(360000.0, 360001.0, "x")],
        id="style-note-hours-no-end-of-line",
    ),
    pytest.param(
        "WEBVTT\n\n00:01.000 --> 00:02.000\na\n00:03.000 --> 00:04.000\nb",
        [(1.0, 2.0, "a"), (3.0, 4.0, "b")],
        id="no-blank-line-between",
    ),
    pytest.param("WEBVTT", [], id="no-cues"),
]


@pytest.mark.parametrize(("text", "instances"), VTT)
def test_other_peoples_captions(
    text: str, instances: list[tuple[float, float, str]], tmp_path: Path
) -> None:
    found = read_annotations(write_vtt(text)(tmp_path))
    assert (found.format, found.problems) == ("vtt", ())
    assert [(v.id, list(v.instances())) for v in found.videos] == [("clip", instances)]


def test_voices_are_counted(tmp_path: Path) -> None:
    texts = ("<v Ann>jump", "<v.loud.near Bob &amp; Co>run</v> <v Ann>stop", "<video>", "<v>none")
    cues = (f"00:0{i}.000 --> 00:0{i + 1}.000\n{text}\n" for i, text in enumerate(texts))
    file = write_vtt("\n".join(("WEBVTT\n", *cues)))(tmp_path)
    found = read_annotations(file)
    assert found.notes == (f"{file}: ignored voices: Ann (2), Bob & Co",)
    assert found.videos[0].labels == ("jump", "run stop", "", "none")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("WEBVTT\n\n00:02.000 --> 00:01.000\na", "ends before it starts"),
        ("WEBVTT\n\n1:2 --> 00:01.000\na", "not of the form 00:01:02.345"),
        ("WEBVTT\n\n00:02,000 --> 00:03,000\na", "not of the form 00:01:02.345"),
    ],
    ids=["order", "clock", "srt"],
)
def test_bad_cues_are_named_by_line(text: str, what: str, tmp_path: Path) -> None:
    found = read_annotations(write_vtt(text)(tmp_path))
    (problem,) = found.problems
    assert what in problem.problem
    assert problem.file.endswith("clip.vtt:3")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1\n00:00:01,000 --> 00:00:02,000\na", "not WebVTT"),
        ("WEBVTTX\n", "not WebVTT"),
        ("WEBVTT\n\nNOTE actspan [1]\n", "is bad"),
        ('WEBVTT\n\nNOTE actspan {"duration": "soon"}\n', "is bad"),
    ],
    ids=["srt", "head", "facts", "duration"],
)
def test_bad_captions_are_refused(text: str, what: str, tmp_path: Path) -> None:
    file = write_vtt(text)(tmp_path)
    with pytest.raises(AnnotationError, match=what):
        read_annotations(file)
    (tmp_path / "good.vtt").write_text("WEBVTT\n")
    found = read_annotations(tmp_path)  # of a folder it is a problem
    assert [v.id for v in found.videos] == ["good"]
    assert [p.video for p in found.problems] == ["clip"]
