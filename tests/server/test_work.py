"""From a folder of videos to a model of their corrections, and to its proposals."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")
pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("torch", reason="needs the extra 'train'")

from actspan import Video
from actspan.data.annotations.formats import write_annotations
from actspan.jobs.run import Run
from actspan.model import LABEL_FREE
from actspan.server.served_work import divide
from actspan.server.work_process import WorkReport, WorkTask, answer, warning_about
from tests.examples import write_bundle
from tests.report.runs import write_truth
from tests.server.live import Live, serving
from tests.streams.example_videos import cut, steady, write_video

BROWSE, WORK = "/api/browse", "/api/work"
SECONDS = 4.0


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work") / "videos"
    folder.mkdir()
    for number in range(4):
        write_video(folder / f"film{number}.mp4", steady(SECONDS))
    cut(write_video(folder / "broken.mp4", steady(2.0)), 0.3)
    return folder


@pytest.fixture(scope="module")
def live(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("data"), videos=videos) as live:
        yield live


def wait_for(condition: Callable[[], Any], seconds: float = 180) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def finished(live: Live, job: str) -> dict[str, Any]:
    def state() -> dict[str, Any] | None:
        found = live.ask(f"{WORK}/jobs/{job}").json
        return found if found["state"] in ("done", "failed") else None

    return wait_for(state)


def correct(live: Live, video: str, *segments: tuple[float, float]) -> None:
    revision = live.ask(f"{BROWSE}/corrections", id=video).json["revision"]
    rows = [{"start": start, "end": end, "label": "bright"} for start, end in segments]
    body = {"revision": revision, "segments": rows}
    assert live.ask(f"{BROWSE}/corrections", method="PUT", id=video, body=body).status == 200


def check_the_list(live: Live) -> None:
    """Check what the list says about the videos that were proposed in, and a damaged one."""
    rows = wait_for(lambda: all_known(live))
    assert rows["broken"]["fault"].startswith("broken.mp4: ")
    assert rows["broken"]["runs"][0]["proposals"] is None
    assert rows["film0"]["fault"] == ""
    assert rows["film0"]["runs"][0]["proposals"] > 0
    shown = live.ask(f"{BROWSE}/video", id="film0").json
    assert shown["seconds"] == rows["film0"]["seconds"]  # of the file, not of its snippets


def all_known(live: Live) -> dict[str, Any] | None:
    page = live.ask(f"{BROWSE}/videos").json
    return None if page["evaluating"] else {row["id"]: row for row in page["videos"]}


def accept_the_best(live: Live, video: str) -> None:
    """Accept the best proposal of a video in the review."""
    item = live.ask(f"{BROWSE}/review", id=video).json["items"][0]
    revision = live.ask(f"{BROWSE}/corrections", id=video).json["revision"]
    body = {"start": item["start"], "end": item["end"], "state": "accepted", "revision": revision}
    assert live.ask(f"{BROWSE}/review", method="PUT", id=video, body=body).status == 200


def test_the_loop_from_videos_to_a_second_run(videos: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, videos=videos, threads=1) as live:
        nothing = live.ask(f"{WORK}/train", method="POST", body={})
        assert nothing.status == 409
        assert "correct some first" in nothing.json["detail"]
        job = live.ask(f"{WORK}/propose", method="POST", body={})
        assert job.status == 202
        done = finished(live, job.json["id"])
        assert done["error"] is None
        assert list(done["result"]["skipped"]) == ["broken"]
        (run,) = live.ask(BROWSE).json["runs"]
        assert (run["name"], run["is_label_free"]) == ("label-free", True)
        check_the_list(live)
        made = {path.name: path.stat().st_mtime_ns for path in (data / "features").rglob("*.npy")}
        assert sorted(made) == [f"film{number}.npy" for number in range(4)]
        accept_the_best(live, "film0")
        partly = live.ask(WORK).json
        counts = ("annotated", "held_out", "partly_reviewed", "unproposed")
        assert [partly[name] for name in counts] == [1, 0, 1, 0]
        for number in range(3):
            correct(live, f"film{number}", (0.5, 1.5), (2.0, 3.0))
        assert live.ask(WORK, held_out=0.3).json["held_out"] == 1
        assert live.ask(WORK, held_out=0).json["held_out"] == 0
        body = {"name": "mine", "epochs": 2, "preset": "published"}
        job = live.ask(f"{WORK}/train", method="POST", body=body).json["id"]
        done = finished(live, job)
        assert done["error"] is None
        assert done["progress"] == 1
        assert {len(epochs) for epochs in done["status"]["losses"].values()} == {2}
        kept = {path.name: path.stat().st_mtime_ns for path in (data / "features").rglob("*.npy")}
        assert kept == made  # extracted once
        (model,) = live.ask(f"{WORK}/models").json
        assert sorted(model["trained"] + model["held_out"]) == ["film0", "film1", "film2"]
        assert len(model["held_out"]) == 1
        again = live.ask(f"{WORK}/propose", method="POST", body={"model": model["id"]}).json["id"]
        assert finished(live, again)["error"] is None
        found = [live.ask(f"{BROWSE}/proposals", id="film3", run=run).json for run in range(3)]
        assert found[1] == found[2] != found[0]
        assert live.ask(f"{WORK}/jobs/{job}", method="DELETE").status == 204
    more = shutil.copytree(videos, tmp_path / "more")
    write_video(more / "new.mp4", steady(2.0))
    with serving(data, videos=more) as live:  # all of it is still there
        assert live.ask(WORK).json["unproposed"] == 1
        rows = {row["id"]: row["runs"] for row in live.ask(f"{BROWSE}/videos").json["videos"]}
        assert [run["proposals"] for run in rows["new"]] == [None, None, None]
        names = [run["name"] for run in live.ask(BROWSE).json["runs"]]
        assert names == ["label-free", "mine", "mine (2)"]
        assert live.ask(f"{BROWSE}/proposals", id="film3", run=1).json == found[1]
        assert len(live.ask(f"{WORK}/jobs").json) == 2


def test_a_training_that_is_interrupted_is_resumed(videos: Path, tmp_path: Path) -> None:
    films = [str(videos / f"film{number}.mp4") for number in range(3)]
    corrected = [
        Video(f"film{number}", SECONDS, "training", np.array([[1.0, 3.0]]), ("bright",))
        for number in range(3)
    ]
    write_annotations(tmp_path / "corrections.json", corrected)
    places = {name: str(tmp_path / name) for name in ("features", "model", "run")}
    places["annotations"] = str(tmp_path / "corrections.json")
    task = WorkTask("train", films, **places, preset="published", epochs=6).as_json()

    def stop(reply: dict[str, Any]) -> None:
        if reply.get("net") == "TEM" and reply["losses"]["epoch"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer(task, stop)
    replies: list[dict[str, Any]] = []
    assert answer(task, replies.append) == {"skipped": {}}
    epochs = [(reply["net"], reply["losses"]["epoch"]) for reply in replies if "net" in reply]
    assert epochs[0] in (("TEM", 4), ("TEM", 5))  # not from the first one
    assert epochs[-7:] == [("TEM", 6), *(("PEM", number) for number in range(1, 7))]
    assert [reply["warning"] for reply in replies if "warning" in reply] == []
    assert sorted(Run.load(tmp_path / "run").proposals()) == ["film0", "film1", "film2"]


@pytest.mark.parametrize(
    ("kind", "step", "result"),
    [
        ("propose", "propose", "proposed from scratch"),
        ("train", "training PEM", "trained from scratch"),
    ],
)
def test_an_interrupted_job_starts_again_if_the_videos_changed(
    videos: Path, tmp_path: Path, kind: Literal["propose", "train"], step: str, result: str
) -> None:
    films = [str(videos / f"film{number}.mp4") for number in range(3)]
    features, run = tmp_path / "features", tmp_path / "run"

    def task(chosen: list[str]) -> dict[str, Any]:
        names = [Path(film).stem for film in chosen]
        annotations = write_truth(
            tmp_path / f"set{len(names)}", annotated(*names, subset="training")
        )
        model = LABEL_FREE if kind == "propose" else tmp_path / "model"
        words = {"features": str(features), "model": str(model), "run": str(run)}
        words |= {"annotations": str(annotations), "preset": "published"}
        return WorkTask(kind, chosen, epochs=2, **words).as_json()

    def stop(reply: dict[str, Any]) -> None:
        if reply.get("step") == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer(task(films[:2]), stop)
    replies: list[dict[str, Any]] = []
    answer(task(films), replies.append)
    warnings = [reply["warning"] for reply in replies if "warning" in reply]
    assert warnings == [f"the videos changed while the service was stopped: {result}"]
    assert sorted(Run.load(run).proposals()) == ["film0", "film1", "film2"]


def test_a_training_names_what_it_skips(videos: Path, tmp_path: Path) -> None:
    (film,) = annotated("film0", subset="training")  # of 10 s
    segments = np.array([[1.0, 2.0], [12.0, 14.0]])
    known = [replace(film, segments=segments, labels=("x", "x"))]
    words = {
        "features": tmp_path / "features",
        "model": tmp_path / "model",
        "run": tmp_path / "run",
    }
    words["annotations"] = write_truth(tmp_path / "set", known)
    folders = {name: str(path) for name, path in words.items()}
    task = WorkTask("train", [str(videos / "film0.mp4")], preset="published", epochs=1, **folders)
    replies: list[dict[str, Any]] = []
    answer(task.as_json(), replies.append)
    warnings = [reply["warning"] for reply in replies if "warning" in reply]
    assert warnings == ["in training, skipped: 1 instance (film0)"]


@pytest.mark.parametrize(("form", "rate"), [("edl", '"fps": 25.0'), ("otio", '"rate": 25.0')])
def test_exports_that_count_frames_have_the_rates_of_the_files(
    live: Live, tmp_path: Path, form: str, rate: str
) -> None:
    correct(live, "film1", (1.0, 3.0))
    exported = live.ask(f"{BROWSE}/corrections/export", form=form)
    assert exported.status == 200, exported.body
    assert rate in exported.body.decode()


def test_an_export_has_no_digits_of_sums(live: Live) -> None:
    correct(live, "film1", (1.4150000000000003, 0.1 + 0.2 + 2))
    table = live.ask(f"{BROWSE}/corrections/export", form="csv").body.decode()
    assert "film1,1.415,2.3,bright" in table


def test_a_job_can_be_cancelled_and_leaves_nothing(videos: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, videos=videos) as live:
        correct(live, "film0", (1.0, 3.0))
        jobs = [
            live.ask(f"{WORK}/train", method="POST", body={"epochs": 5000}).json["id"]
            for _ in range(2)
        ]
        wait_for(lambda: live.ask(f"{WORK}/jobs/{jobs[0]}").json["status"]["step"])
        assert live.ask(f"{WORK}/jobs/{jobs[1]}").json["state"] == "queued"  # one at a time
        for job in reversed(jobs):
            assert live.ask(f"{WORK}/jobs/{job}", method="DELETE").status == 204
        assert live.ask(f"{WORK}/jobs").json == []
        wait_for(lambda: not list((data / "models").iterdir()))
        assert live.ask(f"{WORK}/models").json == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("propose", {"model": "../../etc"}, 422),
        ("propose", {"model": "served"}, 422),
        ("propose", {"modle": "label-free"}, 422),
        ("train", {"preset": "best"}, 422),
        ("train", {"epochs": 0}, 422),
        ("train", {"held_out": 1}, 422),
    ],
)
def test_wrong_requests_are_refused(live: Live, path: str, body: Any, status: int) -> None:
    answer = live.ask(f"{WORK}/{path}", method="POST", body=body)
    assert answer.status == status, answer.body
    assert json.loads(answer.body)["detail"]


def test_nothing_is_proposed_without_videos(tmp_path: Path) -> None:
    with serving(tmp_path) as live:
        answer = live.ask(f"{WORK}/propose", method="POST", body={})
    assert (answer.status, "--videos" in answer.json["detail"]) == (409, True)


def annotated(*names: str, subset: str = "") -> list[Video]:
    return [Video(name, 10.0, subset, np.array([[1.0, 2.0]]), ("x",)) for name in names]


def held_out(videos: list[Video], share: float = 0.2) -> set[str]:
    divided = divide(videos, share)
    assert {video.subset for video in divided} <= {"training", "validation"}
    return {video.id for video in divided if video.subset == "validation"}


def test_held_out_videos_are_stable_and_never_all() -> None:
    names = [f"v{number}" for number in range(100)]
    first, all_of_them = held_out(annotated(*names[:90])), held_out(annotated(*names))
    assert (len(first), len(all_of_them)) == (18, 20)
    assert len(first & all_of_them) >= 14
    assert held_out(annotated("a", "b")) != set()
    assert held_out(annotated("a")) == set()
    assert held_out(annotated(*names), 0) == set()
    empty = [Video(name, 10.0) for name in names]
    assert len(held_out([*empty, *annotated("one")], 0.8) & {"one"}) == 0
    own = annotated("a", "b", subset="training") + annotated("c", subset="validation")
    assert held_out(own, 0.5) == {"c"}


def test_progress_does_not_fall_from_one_step_to_the_next() -> None:
    sent: list[float] = []
    report = WorkReport(lambda reply: sent.append(reply["progress"]))
    report.start(0.4, "extracting")
    report.progress("opening", 4, 4)  # a short step, which is over at once
    assert sent == [0.0]
    report.progress("extracting", 4, 4)
    report.start(0.9, "training TEM", "training PEM")
    steps = ("reading", "training TEM", "proposing", "training PEM", "evaluating")
    for step in steps:
        report.progress(step, 0, 0)
        report.progress(step, 10, 10)
    assert sent == sorted(sent)
    assert sent[-1] == pytest.approx(0.9)
    assert any(fraction == pytest.approx(0.65) for fraction in sent)  # between the networks


def test_what_is_left_has_all_of_the_progress() -> None:
    sent: list[float] = []
    report = WorkReport(lambda reply: sent.append(reply["progress"]))
    report.start(0.8, "extracting")  # nothing is extracted: the features exist
    report.start(1.0, "propose")
    report.progress("propose", 5, 10)
    assert sent == [0.5]


@pytest.mark.parametrize(("auc", "is_warned"), [(60.0, True), (90.0, False)])
def test_a_model_that_is_no_better_than_none_is_reported(
    tmp_path: Path, auc: float, is_warned: bool
) -> None:
    figures = {"model": {"AUC": auc}, "label-free": {"AUC": 71.9}, "plain windows": {"AUC": 51.5}}
    evaluation = {"videos": 2, "instances": 9, "figures": figures}
    bundle = write_bundle(tmp_path / "bundle").with_training(evaluation=evaluation)
    warning = warning_about(bundle)
    assert ("than what needs no model: its AUC is 60.0, label-free 71.9." in warning) == is_warned
    assert "plain windows" not in warning
