"""Files of annotation tools: what is read, and what is named because it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.problems import Skipped
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.format_table import FORMATS
from actspan.data.annotations.formats import read_annotations
from tests.data.annotation_files import (
    boris_project,
    task,
    timeline_region,
    via_project,
    write_elan,
    write_label_studio,
)

Instances = list[tuple[float, float, str]]


def write(file: Path, content: str | bytes | dict[str, Any]) -> Path:
    if isinstance(content, dict):
        content = json.dumps(content)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def instances(found: Annotations) -> dict[str, Instances]:
    return {video.id: list(video.instances()) for video in found.videos}


# ---------------------------------------------------------------- captions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "1\n00:00:01,500 --> 00:00:03,000\njump\n\n2\n1:00:00,000 --> 1:00:05,250\nrun\nfast\n",
            [(1.5, 3.0, "jump"), (3600.0, 3605.25, "run fast")],
            id="plain",
        ),
        pytest.param(
            "\ufeff1\r\n00:00:01.500 --> 00:00:03.000 X1:1 X2:2\r\n<i>ju</i>mp {\\an8}\r\n",
            [(1.5, 3.0, "jump")],
            id="points-places-markup-crlf-bom",
        ),
        pytest.param(
            "1\n0:0:1,500 --> 0:0:3,000\na\n2\n00:00:04,000 --> 00:00:05,000\nb",
            [(1.5, 3.0, "a"), (4.0, 5.0, "b")],
            id="no-blank-lines",
        ),
        pytest.param("", [], id="empty"),
    ],
)
def test_subrip(text: str, expected: Instances, tmp_path: Path) -> None:
    found = read_annotations(write(tmp_path / "clip.srt", text))
    assert (found.format, found.problems, found.notes) == ("srt", (), ())
    assert instances(found) == {"clip": expected}


def test_subrip_names_what_it_cannot_use(tmp_path: Path) -> None:
    text = "1\n00:00:05,000 --> 00:00:03,000\na\n\nstray\n\n2\n00:00:05,0 --> 00:00:06,000\nb\n"
    write(tmp_path / "clip.srt", text)
    write(tmp_path / "text.srt", "once upon a time\n")
    write(tmp_path / "good.SRT", "1\n00:00:01,000 --> 00:00:02,000\nx\n")
    found = read_annotations(tmp_path)
    assert instances(found) == {"clip": [], "good": [(1.0, 2.0, "x")]}
    said = {Path(p.file).name: (p.problem, p.skipped) for p in found.problems}
    assert said["clip.srt:2"] == ("segment [5, 3]: ends before it starts", Skipped.SEGMENT)
    assert "not of the form 00:01:02,345 --> 00:01:07,890" in said["clip.srt:8"][0]
    assert said["text.srt"][1] is Skipped.VIDEO
    assert found.notes == (f"{tmp_path}: ignored lines outside cues: clip.srt:5",)


def test_captions_that_are_not_utf8_say_so(tmp_path: Path) -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\ncaf\xe9\n".encode("latin-1")
    with pytest.raises(AnnotationError, match="save it as UTF-8"):
        read_annotations(write(tmp_path / "x.srt", text))


@pytest.mark.parametrize(
    ("timing", "times"),
    [
        ("1:00:00.000 --> 1:00:05.000", (3600.0, 3605.0)),
        ("0:01.000-->0:02.000", None),  # minutes have two digits, hours any number
        ("00:01.000-->00:02.000", (1.0, 2.0)),
        ("00:01.0000 --> 00:02.000", None),
        (f"{'9' * 10}:00:00.000 --> 00:02.000", None),
    ],
)
def test_times_of_webvtt_are_those_of_the_standards_parser(
    timing: str, times: tuple[float, float] | None, tmp_path: Path
) -> None:
    found = read_annotations(write(tmp_path / "clip.vtt", f"WEBVTT\n\n{timing}\njump\n"))
    assert instances(found) == {"clip": [(*times, "jump")] if times else []}
    assert len(found.problems) == (times is None)


def test_a_folder_of_several_forms_names_the_files_that_are_not_read(tmp_path: Path) -> None:
    write_elan(tmp_path / "a.eaf", {"t": [(1, 2, "x")]})
    for name in ("b.srt", "c.srt", "d.vtt", "e.mp4", ".f.srt"):
        write(tmp_path / name, "")
    found = read_annotations(tmp_path)
    assert list(instances(found)) == ["a"]
    (note,) = found.notes
    assert note.startswith(f"{tmp_path}: ignored files of other formats, which --from selects: ")
    assert {".srt (2)", ".vtt"} == set(note.partition("selects: ")[2].split(", "))


# ---------------------------------------------------------------- Praat

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 6.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "action"
        xmin = 0
        xmax = 6.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = ""
        intervals [2]:
            xmin = 1.5
            xmax = 3
            text = "say ""go"" "
        intervals [3]:
            xmin = 3
            xmax = 6.5
            text = "run"
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 6.5
        points: size = 1
        points [1]:
            number = 2.5
            mark = "click"
"""
SHORT = (
    '"ooTextFile"\n"TextGrid"\n0\n6.5\n<exists>\n2\n"IntervalTier"\n"action"\n0\n6.5\n3\n'
    '0\n1.5\n""\n1.5\n3\n"say ""go"""\n3\n6.5\n"run" ! the last\n'
    '"TextTier"\n"clicks"\n0\n6.5\n1\n2.5\n"click"\n'
)


@pytest.mark.parametrize(
    "content", [LONG.encode(), SHORT.encode(), LONG.encode("utf-16")], ids=["long", "short", "wide"]
)
def test_praat(content: bytes, tmp_path: Path) -> None:
    file = write(tmp_path / "clip.TextGrid", content)
    found = read_annotations(file)
    assert (found.format, found.problems) == ("textgrid", ())
    assert instances(found) == {"clip": [(1.5, 3.0, 'say "go"'), (3.0, 6.5, "run")]}
    assert found.videos[0].duration == 6.5
    assert found.notes == (f"{file}: ignored points, by tier: clicks",)
    chosen = read_annotations(file, tiers=["act*"])
    assert (instances(chosen), chosen.notes) == (instances(found), ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SHORT[:-30], "ends before the last of its tiers"),
        (SHORT.replace("TextGrid", "Pitch"), "not that of a TextGrid"),
        (SHORT.replace("1.5", '"x"'), "'x' in place of a number"),
        (SHORT.replace("TextTier", "Sound"), "'Sound' in place of a tier"),
        ("", "ends before"),
        ('"ooTextFile"\n"TextGrid"\n0\n1\n<exists>\n1e999', "infinity"),
    ],
    ids=["cut", "other", "text", "tier", "empty", "endless"],
)
def test_damaged_files_of_praat_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_annotations(write(tmp_path / "clip.TextGrid", text))


# ---------------------------------------------------------------- ELAN


def eaf(tiers: str, slots: str, constraint: str = "Time_Subdivision") -> str:
    times = (slot.partition("=") for slot in slots.split())
    order = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="{name}"' + (f' TIME_VALUE="{time}"/>' if time else "/>")
        for name, _, time in times
    )
    types = (
        '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="top"/>'
        f'<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="part" CONSTRAINTS="{constraint}"/>'
    )
    return (
        f"<ANNOTATION_DOCUMENT><TIME_ORDER>{order}</TIME_ORDER>{tiers}{types}</ANNOTATION_DOCUMENT>"
    )


def tier(name: str, spans: str, parent: str = "") -> str:
    """Return spans as `label:slot-slot`."""
    marks = "".join(
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{label}" TIME_SLOT_REF1="{start}" '
        f'TIME_SLOT_REF2="{end}"><ANNOTATION_VALUE>{label}</ANNOTATION_VALUE>'
        "</ALIGNABLE_ANNOTATION></ANNOTATION>"
        for label, _, start, end in (
            s.replace("-", ":").replace(":", "::", 1).split(":") for s in spans.split()
        )
    )
    above = f'PARENT_REF="{parent}"' if parent else ""
    kind = "part" if parent else "top"
    return f'<TIER TIER_ID="{name}" LINGUISTIC_TYPE_REF="{kind}" {above}>{marks}</TIER>'


ACT = tier("act", "jar:s0-s3")


@pytest.mark.parametrize(
    ("tiers", "slots", "parts"),
    [
        pytest.param(
            ACT + tier("parts", "open:s0-s1 close:s1-s3", "act"),
            "s0=1000 s1 s3=3000",
            [(1.0, 2.0, "open"), (2.0, 3.0, "close")],
            id="halves",
        ),
        pytest.param(
            tier("parts", "c:s2-s3 a:s0-s1 b:s1-s2", "act") + ACT,
            "s0=1000 s1 s2 s3=4000",
            [(3.0, 4.0, "c"), (1.0, 2.0, "a"), (2.0, 3.0, "b")],
            id="thirds-in-any-order-child-first",
        ),
        pytest.param(
            ACT + tier("parts", "a:s0-s1 b:s1-s2 c:s2-s3", "act"),
            "s0=0 s1 s2=1000 s3=4000",
            [(0.0, 0.5, "a"), (0.5, 1.0, "b"), (1.0, 4.0, "c")],
            id="one-border-aligned",
        ),
        pytest.param(
            ACT + tier("parts", "a:s0-s1 b:s2-s3", "act"),
            "s0=0 s1 s2 s3=3000",
            [(0.0, 1.5, "a"), (1.5, 3.0, "b")],
            id="a-slot-for-each-side-of-a-border",
        ),
    ],
)
def test_unaligned_subdivisions_are_equal_parts(
    tiers: str, slots: str, parts: Instances, tmp_path: Path
) -> None:
    file = write(tmp_path / "x.eaf", eaf(tiers, slots))
    found = read_annotations(file, tiers=["parts"])
    assert not found.problems
    assert instances(found) == {"x": parts}
    (note,) = found.notes
    unaligned = sum(1 for part in parts if part != (1.0, 4.0, "c"))
    assert f"equal parts of their parents, as ELAN shows them: parts ({unaligned})" in note


def test_subdivisions_of_subdivisions(tmp_path: Path) -> None:
    tiers = (
        tier("sounds", "a:s0-s1 b:s1-s2 c:s2-s4", "words")
        + tier("words", "w:s0-s2 v:s2-s4", "act")
        + tier("act", "jar:s0-s4")
    )
    file = write(tmp_path / "x.eaf", eaf(tiers, "s0=0 s1 s2 s4=4000"))
    found = read_annotations(file, tiers=["sounds"])
    assert instances(found) == {"x": [(0.0, 1.0, "a"), (1.0, 2.0, "b"), (2.0, 4.0, "c")]}


@pytest.mark.parametrize("constraint", ["Included_In", "Time_Subdivision"])
def test_other_unaligned_annotations_are_one_problem(constraint: str, tmp_path: Path) -> None:
    open_ended = tier("parts", "a:s1-s2 b:s2-s1", "act")
    file = write(tmp_path / "x.eaf", eaf(ACT + open_ended, "s0=0 s1 s2 s3=9000", constraint))
    (problem,) = read_annotations(file).problems
    assert problem.problem == "annotations of tier 'parts' without times"
    assert problem.file == f"{file}: 2 annotations"
    assert "--tier" in problem.remedy
    assert not read_annotations(file, tiers=["act"]).problems


def test_tiers_whose_parents_form_a_ring_end(tmp_path: Path) -> None:
    ring = tier("one", "a:s0-s1 b:s1-s3", "two") + tier("two", "c:s0-s1 d:s1-s3", "one")
    file = write(tmp_path / "x.eaf", eaf(ring, "s0=0 s1 s3=1000"))
    assert len(read_annotations(file).problems) == 2


def test_tiers_that_are_read_alike_are_named(tmp_path: Path) -> None:
    file = write_elan(tmp_path / "x.eaf", {"a": [(1, 2, "x")], "b": [(1, 2, "y")], "c": []})
    (note,) = read_annotations(file).notes
    assert "instances of 2 tiers are read in the same way (a, b); --tier" in note


def test_further_videos_of_elan_are_named(tmp_path: Path) -> None:
    file = write_elan(tmp_path / "x.eaf", {"t": [(1, 2, "x")]}, media="left.mp4")
    media = '<MEDIA_DESCRIPTOR MEDIA_URL="{}" MIME_TYPE="{}"/>'
    more = media.format("left.wav", "audio/x-wav") + media.format("right.mp4", "video/mp4")
    file.write_text(file.read_text().replace("</HEADER>", f"{more}</HEADER>"))
    found = read_annotations(file)
    assert list(instances(found)) == ["left"]
    assert found.notes == (f"{file}: ignored further videos: right",)


@pytest.mark.parametrize("name", ["x.eaf", "x.TextGrid"])
def test_a_tier_that_is_not_there_is_an_error(name: str, tmp_path: Path) -> None:
    if name == "x.eaf":
        write_elan(tmp_path / name, {"action": [(1, 2, "x")]})
    else:
        write(tmp_path / name, LONG)
    with pytest.raises(AnnotationError, match=r"no tier matches 'acton' \(did you mean 'action'"):
        read_annotations(tmp_path / name, tiers=["acton"])


def test_tiers_of_a_form_without_any_are_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "video,start,end\na,1,2\n")
    with pytest.raises(ConfigError, match="csv has no tiers; leave out --tier"):
        read_annotations(file, tiers=["action"])


# ---------------------------------------------------------------- Label Studio


def box(*keyframes: tuple[int, bool], labels: tuple[str, ...] = ("Person",)) -> dict[str, Any]:
    """Return a box of a video of 300 frames in 10 s; keyframes as (frame, enabled)."""
    sequence = [{"frame": f, "enabled": e, "time": (f - 1) / 30} for f, e in keyframes]
    value = {"framesCount": 300, "duration": 10.0, "labels": list(labels), "sequence": sequence}
    return {"id": "b", "type": "videorectangle", "value": value}


CHOICE = {"id": "c", "type": "choices", "value": {"choices": ["good"]}}


@pytest.mark.parametrize(
    ("keyframes", "spans"),
    [
        pytest.param([(31, True), (91, False)], [(1.0, 3.0)], id="one"),
        pytest.param([(31, True), (61, True), (91, False)], [(1.0, 3.0)], id="moved"),
        pytest.param([(91, False), (31, True)], [(1.0, 3.0)], id="any-order"),
        pytest.param(
            [(31, True), (61, False), (91, True), (121, False)], [(1.0, 2.0), (3.0, 4.0)], id="two"
        ),
        pytest.param([(31, True)], [(1.0, 10.0)], id="to-the-end"),
    ],
)
def test_boxes_are_spans_between_enabled_and_disabled_keyframes(
    keyframes: list[tuple[int, bool]], spans: list[tuple[float, float]], tmp_path: Path
) -> None:
    tasks = [task("a.mp4", box(*keyframes), CHOICE)]
    found = read_annotations(write_label_studio(tmp_path / "x.json", tasks))
    assert not found.problems
    assert instances(found) == {"a": [(*span, "Person") for span in spans]}
    boxes, ignored = found.notes
    assert boxes.endswith("1 videorectangle read as instances, from enabled to disabled keyframes")
    assert ignored.endswith("x.json: ignored regions: choices 1")


def test_boxes_beside_timelines_are_objects(tmp_path: Path) -> None:
    tasks = [
        task("a.mp4", timeline_region(1, 30, "jump"), box((1, True), (31, False))),
        task("b.mp4", box((1, True), (31, False)), box((61, True), (91, False))),
    ]
    found = read_annotations(write_label_studio(tmp_path / "x.json", tasks))
    assert instances(found) == {"a": [(0.0, 1.0, "jump")]}
    (note,) = found.notes
    assert note.endswith(
        "of 2 tasks 1 have no regions with times (videorectangle 3 ignored); their videos are left "
        "out"
    )


@pytest.mark.parametrize(
    ("region", "ignored"),
    [
        (CHOICE, "choices 1"),
        ({"type": "relation", "from_id": "a", "to_id": "b"}, "relation 1"),
        ({"type": "textarea", "value": {"start": 1, "end": 2, "text": ["hm"]}}, "textarea 1"),
        ({"type": "choices", "value": {"start": 1, "end": 2, "choices": ["x"]}}, "choices 1"),
        (timeline_region(1, 30), "timelinelabels without label 1"),
        (box((1, True), (31, False), labels=()), "videorectangle without label 1"),
        (box((31, False)), "videorectangle on a single frame 1"),
        ({"value": {"x": 1, "y": 2}}, "other 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_tasks_without_times_are_no_background(
    region: dict[str, Any], ignored: str, tmp_path: Path
) -> None:
    what = rf"of 1 tasks 1 have no regions with times \({ignored} ignored\)"
    with pytest.raises(AnnotationError, match=what):
        read_annotations(write_label_studio(tmp_path / "x.json", [task("a.mp4", region)]))
    tasks = [
        task("a.mp4", region),
        task("b.wav", {"value": {"start": 1, "end": 2, "labels": ["x"]}}),
    ]
    found = read_annotations(write_label_studio(tmp_path / "x.json", tasks))
    assert instances(found) == {"b": [(1.0, 2.0, "x")]}
    assert f"of 2 tasks 1 have no regions with times ({ignored} ignored)" in found.notes[0]


def test_an_annotation_without_regions_is_background_and_said(tmp_path: Path) -> None:
    tasks = [task("a.mp4"), task("b.mp4", timeline_region(1, 25, "x"))]
    found = read_annotations(write_label_studio(tmp_path / "x.json", tasks), fps=25)
    assert instances(found) == {"a": [], "b": [(0.0, 1.0, "x")]}
    assert "of 2 tasks 1 have an annotation without regions" in found.notes[0]


def test_a_medium_without_a_name_is_a_problem(tmp_path: Path) -> None:
    tasks = [task("v_.mp4", box((1, True), (31, False)))]  # the usual prefix, and nothing after it
    (problem,) = read_annotations(write_label_studio(tmp_path / "x.json", tasks)).problems
    assert "nothing names its video" in problem.problem


def test_a_list_of_other_objects_is_not_label_studios(tmp_path: Path) -> None:
    records = [{"video": "a.mp4", "start": 1, "end": 2, "label": "x"}]
    file = write(tmp_path / "x.json", json.dumps(records))
    with pytest.raises(AnnotationError, match="a list of objects with 'video', 'start', 'end'"):
        read_annotations(file)


def test_a_flat_export_of_choices_is_refused(tmp_path: Path) -> None:
    flat = [{"video": "a.mp4", "id": 1, "quality": "good", "annotator": 1, "lead_time": 2.5}]
    with pytest.raises(AnnotationError, match="none of its 1 tasks has regions"):
        read_annotations(write_label_studio(tmp_path / "x.json", flat))


# ---------------------------------------------------------------- BORIS

EVENTS = [
    [3.0, "ann", "dig", "deep", ""],
    [1.5, "bob", "dig", "", "a remark"],
    [2.0, "bob", "bark", "", ""],
    [4.5, "ann", "dig", "deep", "", 112],
    [5.0, "bob", "dig", "", ""],
    [9.0, "", "rest", "None", ""],
    [9.5, "", "rest", "", ""],
]


def test_boris(tmp_path: Path) -> None:
    file = write(tmp_path / "p.boris", boris_project(EVENTS[:5]))
    found = read_annotations(file)
    assert (found.format, found.problems) == ("boris", ())
    assert instances(found) == {"clip": [(3.0, 4.5, "dig"), (1.5, 5.0, "dig")]}
    (video,) = found.videos
    assert (video.duration, video.fps) == (60.0, 25.0)
    fields, points = sorted(found.notes)
    assert fields == f"{file}: ignored fields of events: subject (5), modifiers (2), comment"
    assert points == f"{file}: ignored point events: bark"


def test_boris_adds_an_offset_to_what_it_writes(tmp_path: Path) -> None:
    project = boris_project([[11.0, "", "dig", "", ""], [12.5, "", "dig", "", ""]])
    project["observations"]["first"]["time offset"] = 10
    found = read_annotations(write(tmp_path / "p.json", project))
    assert instances(found) == {"clip": [(1.0, 2.5, "dig")]}


def test_boris_without_media_names_the_observation(tmp_path: Path) -> None:
    project = boris_project(EVENTS[:1] + EVENTS[3:4], type="LIVE", file={}, media_info={})
    assert list(instances(read_annotations(write(tmp_path / "p.boris", project)))) == ["first"]


def test_events_of_boris_that_cannot_be_used(tmp_path: Path) -> None:
    events = [*EVENTS[:4], [7.0, "", "swim", "", ""], [8.0, "", "swim", "", ""]]
    found = read_annotations(write(tmp_path / "p.boris", boris_project(events)))
    assert instances(found) == {"clip": [(3.0, 4.5, "dig")]}
    assert [p.problem for p in found.problems] == [
        "behavior 'swim' is not in the ethogram",
        "state 'dig' starts at 1.5 s and does not stop",
    ]
    assert {p.skipped for p in found.problems} == {Skipped.SEGMENT}


@pytest.mark.parametrize(
    ("observation", "problem"),
    [
        ({"file": {"1": ["a.mp4", "b.mp4"]}}, "2 files one after the other"),
        ({"type": "IMAGES"}, "pictures has no times"),
        ({"media_creation_date_as_offset": True}, "creation date"),
        ({"events": [[1.0, "x"]]}, "is not [time, subject, behavior, ...]"),
        ({"events": [[float("nan"), "", "dig", "", ""]]}, "has no time"),
        ({"events": [["soon", "", "dig", "", ""]]}, "could not convert"),
        ({"file": 5}, "'int' object"),
        ({"media_info": {"length": {"d/clip.mp4": -2}}}, "not a positive number"),
    ],
)
def test_observations_of_boris_that_cannot_be_used(
    observation: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    project = boris_project([])
    project["observations"]["first"].update(observation)
    project["observations"]["good"] = {"file": {}, "events": []}
    found = read_annotations(write(tmp_path / "p.boris", project))
    assert list(instances(found)) == ["good"]
    (said,) = found.problems
    assert problem in said.problem
    assert said.skipped is Skipped.VIDEO


def test_two_observations_of_a_video_are_not_merged(tmp_path: Path) -> None:
    project = boris_project(EVENTS[:4])
    project["observations"]["second"] = project["observations"]["first"]
    found = read_annotations(write(tmp_path / "p.boris", project))
    assert "is in an earlier observation too" in found.problems[-1].problem


# ---------------------------------------------------------------- VGG Image Annotator


def test_via(tmp_path: Path) -> None:
    metadata = [
        {"z": [1.5, 3], "xy": [], "av": {"1": "0", "3": "ann"}},
        {"z": [4, 5.5], "xy": [], "av": {"1": "a label of its own"}},
        {"z": [2.0], "xy": [2, 1, 1, 5, 5], "av": {"2": "hand"}},
        {"z": [], "xy": [], "av": {"9": "caption"}},
        {"z": [6, 7], "xy": [], "av": {}},
    ]
    file = write(tmp_path / "x.json", via_project(metadata))
    found = read_annotations(file)
    assert (found.format, found.problems) == ("via", ())
    assert instances(found) == {"clip": [(1.5, 3.0, "jump"), (4.0, 5.5, "a label of its own")]}
    assert found.notes == (
        f"{file}: ignored attributes: who",
        f"{file}: ignored entries: regions, attributes of files, segments without a label",
    )


def test_every_option_of_a_checkbox_is_an_instance(tmp_path: Path) -> None:
    project = via_project([{"z": [1, 2], "xy": [], "av": {"1": "0,1"}}])
    project["attribute"]["1"]["type"] = 2
    found = read_annotations(write(tmp_path / "x.json", project))
    assert instances(found) == {"clip": [(1.0, 2.0, "jump"), (1.0, 2.0, "run")]}


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"z": [3, 1], "xy": [], "av": {"1": "0"}}, "ends before it starts"),
        ({"z": ["1", "2"], "xy": [], "av": {"1": "0"}}, "are not numbers"),
        ({"z": 5}, "has no len()"),
        ({"vid": "8", "z": [1, 2], "av": {"1": "0"}}, "no '8'"),
    ],
)
def test_entries_of_via_that_cannot_be_used(
    entry: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    found = read_annotations(write(tmp_path / "x.json", via_project([entry])))
    (said,) = found.problems
    assert problem in said.problem
    assert said.file.endswith("x.json: metadata 1_0")


def test_views_of_via_that_cannot_be_used(tmp_path: Path) -> None:
    view = {
        name: {"fid_list": fids} for name, fids in {"1": ["7"], "2": ["7"], "3": ["7", "8"]}.items()
    }
    entries = [{"vid": "2", "z": [1, 2], "av": {"1": "0"}}]
    found = read_annotations(write(tmp_path / "x.json", via_project(entries, view=view)))
    assert instances(found) == {"clip": []}
    assert ["earlier view" in p.problem or "2 files" in p.problem for p in found.problems] == [
        True
    ] * 2


# ---------------------------------------------------------------- what no reader takes


@pytest.mark.parametrize(
    ("name", "content", "remedy"),
    [
        ("tracks.xml", '<?xml version="1.0"?><annotations/>', r"\.xml is not read: XML \(CVAT"),
        ("a.xlsx", b"PK\x03\x04", "save the sheet as CSV"),
        ("a.html", "<html></html>", "save its table as CSV"),
        ("a.docx", b"PK\x03\x04", "save its table as CSV"),
        ("a.ass", "[Script Info]", "save them as WebVTT"),
        ("p.boris.gz", b"\x1f\x8b", "unpack it"),
        ("a.mp4", b"\x00\x00", "a video: annotations are needed here"),
        ("a.txt", "a 1 2", "save a table as .csv or .tsv"),
        ("a.odd", "1 2 3", "export it as CSV"),
        ("noname", "hello", "export it as CSV"),
        ("a.json", '{"one": 1, "two": 2}', "an object with 'one', 'two'"),
    ],
)
def test_files_of_no_known_form_say_what_to_do(
    name: str, content: str | bytes, remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(AnnotationError, match=remedy) as caught:
        read_annotations(write(tmp_path / name, content))
    assert "unknown format" in str(caught.value)
    for format in FORMATS.values():
        assert (format.what in str(caught.value)) == (format.read is not None)


def test_json_need_not_be_called_so(tmp_path: Path) -> None:
    file = write(tmp_path / "export", b'\xef\xbb\xbf\n{"database": {"a": {"duration": 3}}}')
    assert list(instances(read_annotations(file))) == ["a"]


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("video,id,label,annotator,annotation_id,created_at,updated_at,lead_time", "export JSON"),
        ("# Exported using VGG Image Annotator (http://...)", "save the project"),
    ],
)
def test_csv_exports_with_json_in_cells_are_refused(
    head: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_annotations(write(tmp_path / "x.csv", f"{head}\na,1,2\n"))


def test_a_table_beside_annotations_json_is_named(tmp_path: Path) -> None:
    write(tmp_path / "annotations.json", {"database": {"a": {"duration": 3}}})
    write(tmp_path / "annotations.csv", "video,start,end\nb,1,2\n")
    found = read_annotations(tmp_path)
    assert list(instances(found)) == ["a"]
    assert found.notes[0].endswith("annotations.csv: ignored, because annotations.json exists too")


def test_keys_that_are_there_twice_are_named(tmp_path: Path) -> None:
    text = json.dumps(boris_project([])).replace(
        '"observations": {', '"observations": {"first": 1, '
    )
    (note,) = read_annotations(write(tmp_path / "p.boris", text)).notes
    assert note.endswith("ignored keys that occur twice: first")
