"""Test that the viewer's routes return a run unchanged, and corrections survive a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="needs the extra 'server'")
pytest.importorskip("uvicorn", reason="needs the extra 'server'")

from actspan import Proposals, Video
from actspan.config.stages import SoftNmsConfig
from actspan.core.errors import ActSpanError, ResultError
from actspan.data.annotations.format_table import FORMATS
from actspan.data.annotations.formats import read_annotations
from actspan.data.result_writers import write_result
from actspan.evaluation.recall import evaluate_recall
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.run import Run
from actspan.server.browsed_run import BrowsedRun
from actspan.server.error_responses import ProblemError
from actspan.server.library import Library
from actspan.server.zoom_levels import TILE, ZoomLevels
from benchmarks.data import make_recording, make_window_bundle
from tests.report.runs import label_run, synthetic_videos, write_synthetic_run, write_truth
from tests.server.live import Answer, Live, serving

VIDEOS = synthetic_videos(30)
BROWSE = "/api/browse"
SEGMENTS = [
    {"start": 5.0, "end": 9.6, "label": "jump"},
    {"start": 1.0, "end": 2.0, "label": ""},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browse")
    write_synthetic_run(folder / "first", VIDEOS, seed=1)
    second = write_synthetic_run(folder / "second", VIDEOS, seed=2)
    label_run(second, VIDEOS, Run.load(second).proposals())
    write_truth(folder / "set", VIDEOS)
    (folder / "videos").mkdir()
    (folder / "videos" / "video3.mp4").write_bytes(bytes(range(256)) * 8)
    (folder / "secret.txt").write_text("not to be served")
    return folder


@pytest.fixture(scope="module")
def live(folder: Path) -> Iterator[Live]:
    looked_at = {
        "results": (folder / "first", folder / "second"),
        "ground_truth": folder / "set",
        "videos": folder / "videos",
    }
    with serving(folder / "data", **looked_at) as live:
        while live.ask(f"{BROWSE}/videos").json["evaluating"]:
            time.sleep(0.02)
        yield live


def ids(answer: Answer) -> list[str]:
    return [video["id"] for video in answer.json["videos"]]


def columns(answer: Answer) -> np.ndarray:
    assert answer.status == 200, answer.body
    return np.array([answer.json[key] for key in ("start", "end", "score")])


def test_links_to_files_elsewhere_are_not_served(folder: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    (films / "more").mkdir(parents=True)
    (films / "more" / "here.mp4").write_bytes(bytes(2048))
    (films / "inside.mp4").symlink_to(Path("more") / "here.mp4")
    (films / "passwd.mp4").symlink_to(folder / "secret.txt")
    (films / "replaced.mp4").write_bytes(bytes(2048))
    (tmp_path / "link").symlink_to(films)
    for videos in (films, tmp_path / "link"):
        with serving(tmp_path / "data", videos=videos) as live:
            assert live.ask(f"{BROWSE}/videos").json["total"] == 3
            assert live.ask(f"{BROWSE}/media", id="passwd").status == 404
            assert live.ask(f"{BROWSE}/media", id="inside").status == 200
            assert live.ask(f"{BROWSE}/media", id="replaced").status == 200
            (films / "replaced.mp4").unlink()
            (films / "replaced.mp4").symlink_to(folder / "secret.txt")
            for route in ("media", "thumbnail", "frames"):
                assert live.ask(f"{BROWSE}/{route}", id="replaced").status == 404
            (films / "replaced.mp4").unlink()
            (films / "replaced.mp4").write_bytes(bytes(2048))
    assert "passwd" in Library(videos=films).linked()
    assert Library(videos=films / "more").linked() == ""


def test_it_says_what_there_is(live: Live) -> None:
    about = live.ask(BROWSE).json
    assert [run["name"] for run in about["runs"]] == ["first", "second"]
    assert about["ground_truth"] == "set/annotations.json"
    assert about["labels"] == ["jump", "throw"]
    assert about["has_media"]


def test_rows_have_the_figures_of_the_evaluator(live: Live, folder: Path) -> None:
    rows = live.ask(f"{BROWSE}/videos").json["videos"]
    found = Run.load(folder / "second").proposals()
    for row, video in zip(rows, VIDEOS, strict=True):
        assert (row["id"], row["instances"]) == (video.id, len(video.segments))
        assert row["runs"][1]["proposals"] == len(found[video.id])
        if not len(video.segments):
            assert row["runs"][1]["metrics"] is None
            continue
        auc = evaluate_recall([video], {video.id: found[video.id]}, subset=None).auc_percent
        assert row["runs"][1]["metrics"]["auc"] == pytest.approx(auc)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(
            {"order": "id"}, ["video0", "video1", "video2", "video3"], id="as-people-count"
        ),
        pytest.param({"find": "DEO2", "order": "id"}, ["video2", "video20"], id="part-of-an-id"),
        pytest.param({"offset": 28}, ["video28", "video29"], id="the-last-page"),
        pytest.param({"offset": 30}, [], id="behind-the-last"),
        pytest.param({"find": "nobody"}, [], id="nothing-fits"),
        pytest.param({"descending": True}, ["video29", "video28"], id="backwards"),
        pytest.param({"order": "instances"}, ["video29"], id="fewest-instances"),
    ],
)
def test_the_list_is_filtered_ordered_and_cut(
    live: Live, query: dict[str, Any], expected: list[str]
) -> None:
    assert ids(live.ask(f"{BROWSE}/videos", **query))[: len(expected)] == expected


def test_labels_are_found_too(live: Live) -> None:
    having = [video.id for video in VIDEOS if "throw" in video.labels]
    assert ids(live.ask(f"{BROWSE}/videos", find="Throw")) == having


@pytest.mark.parametrize("order", ["auc", "difference", "seconds", "score"])
def test_what_lacks_a_figure_comes_last(live: Live, order: str) -> None:
    for descending in (False, True):
        found = ids(live.ask(f"{BROWSE}/videos", order=order, descending=descending))
        assert sorted(found) == sorted(video.id for video in VIDEOS)
        if order in ("auc", "difference"):
            assert found[-1] == "video29"  # without instances


def test_proposals_come_as_they_were_found(live: Live, folder: Path) -> None:
    stored = Run.load(folder / "first").proposals()["video3"]
    found = columns(live.ask(f"{BROWSE}/proposals", id="video3", run=0))
    np.testing.assert_array_equal(found, [stored.start, stored.end, stored.score])
    labelled = live.ask(f"{BROWSE}/proposals", id="video3", run=1).json
    assert set(labelled["labels"]) == {"jump", "throw"}


def test_tiles_are_the_curves(live: Live, folder: Path) -> None:
    about = live.ask(f"{BROWSE}/video", id="video3").json["curves"][0]
    with Run.load(folder / "first").scores() as scores:
        stored = np.asarray(scores.read("video3"))
    assert (about["cells"], about["levels"]) == (60, 1)
    tile = live.ask(f"{BROWSE}/curves", id="video3", run=0, level=0, tile=0)
    found = np.frombuffer(tile.body, "<f4").reshape(2, 3, -1)
    np.testing.assert_array_equal(found[0], stored)
    np.testing.assert_array_equal(found[1], stored)


def test_media_is_served_in_ranges(live: Live, folder: Path) -> None:
    whole = (folder / "videos" / "video3.mp4").read_bytes()
    assert live.ask(f"{BROWSE}/media", id="video3").body == whole
    part = live.ask(f"{BROWSE}/media", id="video3", headers={"Range": "bytes=100-199"})
    assert (part.status, part.body) == (206, whole[100:200])
    assert live.ask(f"{BROWSE}/media", id="video3", headers={"Range": "bytes=9999-"}).status == 416


@pytest.mark.parametrize(
    ("path", "query"),
    [
        pytest.param("video", {"id": "nobody"}, id="no-video"),
        pytest.param("media", {"id": "video4"}, id="no-file"),
        pytest.param("media", {"id": "../secret.txt"}, id="a-path"),
        pytest.param("media", {"id": "video3.mp4"}, id="a-file-name"),
        pytest.param("media", {"id": "\0"}, id="a-null"),
        pytest.param("proposals", {"id": "video3", "run": 2}, id="no-run"),
        pytest.param("curves", {"id": "video3", "level": 1}, id="no-level"),
        pytest.param("curves", {"id": "video3", "tile": 1}, id="no-tile"),
    ],
)
def test_what_is_not_there_is_404(live: Live, path: str, query: dict[str, Any]) -> None:
    answer = live.ask(f"{BROWSE}/{path}", **query)
    assert answer.status == 404
    assert answer.json["detail"]


def test_suppression_is_the_pipelines_own(live: Live, folder: Path) -> None:
    settings = {"threshold_short": 0.4, "threshold_long": 0.5, "decay": 0.3, "keep": 25}
    answer = live.ask(f"{BROWSE}/suppressed", id="video3", run=0, **settings)
    with closing(BrowsedRun("x", folder / "first")) as run:
        expected = run.suppressed("video3", SoftNmsConfig(**settings, picks=26))
    found = columns(answer)
    assert found.shape[1] == 25
    np.testing.assert_array_equal(found[2], expected.proposals.score)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of a recording in windows, and of one shorter than a window."""
    pytest.importorskip("onnx", reason="needs the extra 'export'")
    folder = tmp_path_factory.mktemp("recording")
    bundle = make_window_bundle(folder / "bundle", seed=0)
    for name, hours in (("long", 0.1), ("short", 0.01)):
        dataset = make_recording(folder / name, hours, seed=0)
        propose(ProposeRequest(model=bundle.path, dataset=dataset, out=folder / f"run-{name}"))
    return folder


@pytest.mark.parametrize("name", ["long", "short"])
def test_suppressing_as_the_run_did_gives_the_run(recording: Path, name: str) -> None:
    with closing(BrowsedRun(name, recording / f"run-{name}")) as run:
        found = run.suppressed("recording", run.config.soft_nms).proposals
        stored = run.proposals("recording").proposals
    assert len(stored) > 10
    for column in ("start", "end", "score"):
        np.testing.assert_array_equal(getattr(found, column), getattr(stored, column))


def test_a_folder_without_a_result_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"no result.json in this folder, so"):
        BrowsedRun("run", tmp_path)


def test_a_result_alone_can_be_looked_at(tmp_path: Path) -> None:
    write_result(
        tmp_path / "a.json", {"a": Proposals([0.0, 3.0], [9.0, 5.0], [0.2, 0.9], unit="seconds")}
    )
    with serving(tmp_path / "data", results=(tmp_path / "a.json",)) as live:
        video = live.ask(f"{BROWSE}/video", id="a").json
        assert (video["seconds"], video["curves"]) == (9.0, [None])
        assert live.ask(f"{BROWSE}/proposals", id="a").json["score"] == [0.9, 0.2]
        assert live.ask(f"{BROWSE}/suppressed", id="a").status == 409
        assert live.ask(f"{BROWSE}/curves", id="a").status == 404


def test_without_runs_the_ground_truth_is_listed(folder: Path) -> None:
    library = Library(ground_truth=folder / "set", videos=folder / "videos")
    assert set(library.ids) == {video.id for video in VIDEOS}


@pytest.mark.parametrize("missing", ["results", "ground_truth", "videos"])
def test_what_is_missing_is_refused_before_anything_is_served(tmp_path: Path, missing: str) -> None:
    nowhere = tmp_path / "nowhere"
    wanted: dict[str, Any] = {missing: (nowhere,) if missing == "results" else nowhere}
    with pytest.raises(ActSpanError, match="nowhere"), serving(tmp_path / "data", **wanted):
        pass


def test_what_is_damaged_is_told_to_who_asks(tmp_path: Path) -> None:
    write_synthetic_run(tmp_path / "run", VIDEOS[:3])
    (tmp_path / "run" / "result.json").write_text('{"results": {')
    with serving(tmp_path / "data", results=(tmp_path / "run",)) as live:
        answer = live.ask(f"{BROWSE}/videos")
        assert answer.status == 422
        assert "was it cut off?" in answer.json["detail"]


class TestCorrections:
    @pytest.fixture
    def place(self, folder: Path, tmp_path: Path) -> dict[str, Any]:
        return {
            "data": tmp_path / "data",
            "results": (folder / "first",),
            "ground_truth": folder / "set",
        }

    def put(self, live: Live, video: str, revision: int, segments: Any) -> Answer:
        body = {"revision": revision, "segments": segments}
        return live.ask(f"{BROWSE}/corrections", method="PUT", body=body, id=video)

    def test_they_survive_a_restart(self, place: dict[str, Any]) -> None:
        with serving(**place) as live:
            kept = self.put(live, "video3", 0, SEGMENTS).json
            assert kept["revision"] == 1
            assert [s["start"] for s in kept["segments"]] == [1.0, 5.0]
        with serving(**place) as live:
            assert live.ask(f"{BROWSE}/corrections", id="video3").json == kept
            assert live.ask(f"{BROWSE}/video", id="video3").json["corrections"] == kept
            assert ids(live.ask(f"{BROWSE}/videos", corrected=True)) == ["video3"]

    def test_times_are_shown_in_microseconds(self, place: dict[str, Any]) -> None:
        with serving(**place) as live:
            times = {"start": 5.375000000000001, "end": 6.0, "label": ""}
            assert self.put(live, "video3", 0, [times]).json["segments"][0]["start"] == 5.375
            content = live.ask(f"{BROWSE}/corrections/export", form="csv").body
            assert b"video3,5.375,6.0," in content

    def test_nobodys_change_is_lost(self, place: dict[str, Any]) -> None:
        with serving(**place) as live:
            assert self.put(live, "video3", 0, SEGMENTS).status == 200
            stale = self.put(live, "video3", 0, [])
            assert stale.status == 409
            assert "someone else" in stale.json["detail"]
            assert len(live.ask(f"{BROWSE}/corrections", id="video3").json["segments"]) == 2

    def test_their_labels_follow_those_of_the_ground_truth(self, place: dict[str, Any]) -> None:
        with serving(**place) as live:
            self.put(live, "video3", 0, [{"start": 0.0, "end": 1.0, "label": "a new one"}])
            assert live.ask(BROWSE).json["labels"] == ["jump", "throw", "a new one"]

    def test_they_can_be_forgotten(self, place: dict[str, Any]) -> None:
        with serving(**place) as live:
            self.put(live, "video3", 0, SEGMENTS)
            gone = live.ask(f"{BROWSE}/corrections", method="DELETE", id="video3", revision=1).json
            assert (gone["revision"], gone["segments"]) == (2, None)
            assert self.put(live, "video3", 2, []).json["segments"] == []

    def test_unknown_fields_are_refused_by_name(self, live: Live) -> None:
        answer = self.put(live, "video5", 0, [{"start": 0.0, "end": 1.0, "lable": "x"}])
        message = "unknown field 'lable' (did you mean 'label'?); available: start, end, label"
        assert (answer.status, answer.json["detail"]) == (422, f"segments.0: {message}")

    @pytest.mark.parametrize(
        "segment",
        [
            pytest.param({"start": 2.0, "end": 2.0}, id="no-length"),
            pytest.param({"start": 3.0, "end": 2.0}, id="turned-round"),
            pytest.param({"start": -1.0, "end": 2.0}, id="before-the-video"),
            pytest.param({"start": 0.0, "end": 1e9}, id="too-late"),
            pytest.param({"start": "NaN", "end": 1.0}, id="not-a-number"),
            pytest.param({"start": 0.0, "end": 1.0, "label": "x" * 201}, id="long-label"),
            pytest.param({"end": 1.0}, id="no-start"),
        ],
    )
    def test_bad_segments_are_refused(self, live: Live, segment: dict[str, Any]) -> None:
        answer = self.put(live, "video5", 0, [segment])
        assert answer.status == 422
        assert live.ask(f"{BROWSE}/corrections", id="video5").json["segments"] is None

    def test_nothing_ends_after_the_video(self, live: Live) -> None:
        seconds = live.ask(f"{BROWSE}/video", id="video5").json["seconds"]
        answer = self.put(live, "video5", 0, [{"start": 5.0, "end": 70000.0}])
        assert answer.status == 422
        assert f"which is {seconds:.2f} s long" in answer.json["detail"]
        assert live.ask(f"{BROWSE}/corrections", id="video5").json["segments"] is None

    def test_a_frame_after_the_end_is_no_error(self, place: dict[str, Any]) -> None:
        with serving(**place) as live:
            seconds = live.ask(f"{BROWSE}/video", id="video5").json["seconds"]
            end = seconds + 0.04
            assert self.put(live, "video5", 0, [{"start": 1.0, "end": end}]).status == 200

    def test_unknown_videos_cannot_be_corrected(self, live: Live) -> None:
        assert self.put(live, "nobody", 0, []).status == 404

    def test_they_are_exported_as_annotations(self, place: dict[str, Any], tmp_path: Path) -> None:
        with serving(**place) as live:
            self.put(live, "video3", 0, SEGMENTS)
            answer = live.ask(f"{BROWSE}/corrections/export")
            everything = live.ask(f"{BROWSE}/corrections/export", everything=True)
        assert "attachment" in answer.headers["content-disposition"]
        (video,) = read(tmp_path / "one.json", answer)
        assert (video.id, video.subset, video.duration) == (
            "video3",
            "validation",
            round(VIDEOS[3].duration, 6),
        )
        assert list(video.instances()) == [(1.0, 2.0, ""), (5.0, 9.6, "jump")]
        videos = {video.id: video for video in read(tmp_path / "all.json", everything)}
        assert len(videos) == len(VIDEOS)
        assert len(videos["video3"].segments) == 2
        np.testing.assert_array_equal(videos["video4"].segments, VIDEOS[4].segments.round(6))

    @pytest.mark.parametrize(
        "form",
        ["activitynet", "csv", "elan", "labelstudio", "vtt", "textgrid", "boris", "losslesscut"],
    )
    def test_every_form_comes_back(self, place: dict[str, Any], tmp_path: Path, form: str) -> None:
        labelled = [{"start": 1.0, "end": 2.0, "label": "throw"}, SEGMENTS[0]]
        with serving(**place) as live:
            self.put(live, "video3", 0, labelled)
            self.put(live, "video4", 0, labelled[:1])
            answer = live.ask(f"{BROWSE}/corrections/export", form=form)
        assert answer.status == 200
        name = answer.headers["content-disposition"].split('"')[1]
        (tmp_path / name).write_bytes(answer.body)
        source = tmp_path / name
        if name.endswith(".zip"):
            source = tmp_path / "unpacked"
            ZipFile(tmp_path / name).extractall(source)
        if form == "labelstudio":
            source = next(source.glob("*.json"))
        found = {video.id: list(video.instances()) for video in read_annotations(source).videos}
        assert found["video3"] == [(1.0, 2.0, "throw"), (5.0, 9.6, "jump")]
        assert found["video4"] == [(1.0, 2.0, "throw")]

    def test_a_form_of_frames_names_the_videos_without_a_rate(self, live: Live) -> None:
        self.put(live, "video7", 0, SEGMENTS)
        answer = live.ask(f"{BROWSE}/corrections/export", form="edl")
        assert answer.status == 422
        assert "the frame rate of" in answer.json["detail"]
        assert "actspan serve --videos" in answer.json["detail"]

    def test_every_form_that_comes_back_is_offered_the_usual_ones_first(self, live: Live) -> None:
        names = [form["name"] for form in live.ask(BROWSE).json["forms"]]
        assert names[:2] == ["activitynet", "csv"]
        known = {form.name for form in FORMATS.values() if form.encode and form.read}
        assert set(names) == known

    @pytest.mark.parametrize("form", ["thumos14", "youtube", "nothing", "../x"])
    def test_forms_that_cannot_be_written_are_refused(self, live: Live, form: str) -> None:
        assert live.ask(f"{BROWSE}/corrections/export", form=form).status == 422


def read(path: Path, answer: Answer) -> tuple[Video, ...]:
    path.write_bytes(answer.body)
    return read_annotations(path).videos


@pytest.mark.parametrize("name", ["video3.mp4", "v_video3.mkv", "other.mp4"])
def test_videos_that_are_of_no_run_are_reported(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    line = Library([folder / "first"], videos=tmp_path).unplayable()
    assert line == (
        ""
        if "video3" in name
        else "no run has results of any of the 1 video, so none can be played: "
        "they are named other, and those "
        "of the runs video0, video1, video2 and 27 more"
    )
    assert not Library([folder / "first"]).unplayable()
    assert not Library(videos=tmp_path).unplayable()


@given(cells=st.integers(1, 9000), seed=st.integers(0, 2**32 - 1))
def test_a_column_holds_the_extremes_of_its_cells(cells: int, seed: int) -> None:
    curves = np.random.default_rng(seed).random((3, cells), np.float32)
    levels = ZoomLevels(curves)
    for level in range(len(levels)):
        size = 2**level
        columns = -(-cells // size)
        tiles = [levels.tile(level, i) for i in range(-(-columns // TILE))]
        low, high = np.concatenate(tiles, axis=2)
        edges = np.arange(columns) * size
        np.testing.assert_array_equal(low, np.minimum.reduceat(curves, edges, axis=1))
        np.testing.assert_array_equal(high, np.maximum.reduceat(curves, edges, axis=1))
    assert columns <= TILE


@pytest.mark.parametrize(("level", "tile"), [(3, 0), (-1, 0), (0, 5), (0, -1), (2, 2)])
def test_tiles_that_are_not_there_are_refused(level: int, tile: int) -> None:
    levels = ZoomLevels(np.zeros((3, 4 * TILE + 1)))
    assert len(levels) == 4
    with pytest.raises(ProblemError, match=r"no (tile|level)"):
        levels.tile(level + 1 if level == 3 else level, tile)
