"""Test the figures of runs over HTTP: equal to the evaluator's, and of corrected videos."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from actspan.evaluation.recall import evaluate_recall
from actspan.jobs.run import CANDIDATES, Run
from tests.report.runs import synthetic_videos, write_synthetic_run, write_truth
from tests.server.live import Live, serving

VIDEOS = synthetic_videos(30)
BROWSE = "/api/browse"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    write_synthetic_run(folder / "first", VIDEOS, seed=1)
    write_synthetic_run(folder / "second", VIDEOS, seed=2)
    write_truth(folder / "set", VIDEOS)
    return folder


@pytest.fixture
def live(folder: Path, tmp_path: Path) -> Iterator[Live]:
    runs = (folder / "first", folder / "second")
    with serving(tmp_path / "data", results=runs, ground_truth=folder / "set") as live:
        evaluated(live)
        yield live


def evaluated(live: Live) -> None:
    end = time.monotonic() + 30
    while live.ask(f"{BROWSE}/videos").json["evaluating"] and time.monotonic() < end:
        time.sleep(0.02)


def put(live: Live, video: str, *segments: tuple[float, float]) -> None:
    revision = live.ask(f"{BROWSE}/corrections", id=video).json["revision"]
    rows = [{"start": start, "end": end, "label": ""} for start, end in segments]
    body = {"revision": revision, "segments": rows}
    assert live.ask(f"{BROWSE}/corrections", method="PUT", id=video, body=body).status == 200


def test_figures_are_those_of_the_evaluator(live: Live, folder: Path) -> None:
    for name, found in zip(("first", "second"), live.ask(f"{BROWSE}/figures").json, strict=True):
        whole = evaluate_recall(VIDEOS, folder / name, subset=None)
        assert found["figures"] == pytest.approx(whole.summary())
        assert (found["videos"], found["instances"]) == (whole.videos, whole.instances)
    assert live.ask(f"{BROWSE}/figures", subset="training").json == [None, None]


def test_a_comparison_has_an_interval_around_its_difference(live: Live) -> None:
    (whole,) = live.ask(f"{BROWSE}/comparison", a=0, b=1).json
    difference = whole["difference"]
    assert whole["name"] == "all"
    expected = whole["b"]["figures"]["AUC"] - whole["a"]["figures"]["AUC"]
    assert difference["auc"] == pytest.approx(expected)
    assert difference["low"] < difference["auc"] < difference["high"]
    (back,) = live.ask(f"{BROWSE}/comparison", a=1, b=0).json
    assert back["difference"]["auc"] == pytest.approx(-difference["auc"])
    assert live.ask(f"{BROWSE}/comparison", a=0, b=9).status == 404


def test_every_video_has_the_figures_of_the_list(live: Live) -> None:
    found = live.ask(f"{BROWSE}/per-video").json
    rows = live.ask(f"{BROWSE}/videos").json["videos"]
    assert found["ids"] == [video.id for video in VIDEOS if len(video.segments)]
    for row in rows:
        if row["instances"]:
            place = found["ids"].index(row["id"])
            for run in range(2):
                metrics = row["runs"][run]["metrics"]
                assert found["auc"][run][place] == metrics["auc"]
                assert found["missed"][run][place] == metrics["missed"]


def test_figures_follow_the_corrections(live: Live, folder: Path) -> None:
    best = Run.load(folder / "first").proposals()["video3"]
    first = int(np.argmax(best.score))
    put(live, "video3", (float(best.start[first]), float(best.end[first])))
    groups = {group["name"]: group for group in live.ask(f"{BROWSE}/comparison").json}
    assert groups["corrected"]["a"]["figures"]["AR@1"] == pytest.approx(100)
    assert groups["corrected"]["a"]["instances"] == 1
    assert groups["corrected"]["difference"]["low"] is None  # of one video
    evaluated(live)
    rows = {row["id"]: row for row in live.ask(f"{BROWSE}/videos").json["videos"]}
    assert rows["video3"]["runs"][0]["metrics"]["missed"] == 0
    assert rows["video3"]["instances"] == 1


def test_instances_are_joined_with_their_proposals(live: Live, folder: Path) -> None:
    best = Run.load(folder / "first").proposals()["video3"]
    best = best[np.argsort(-best.score, kind="stable")]
    exact = (float(best.start[2]), float(best.end[2]))
    put(live, "video3", exact, (0.0, 0.001))
    found = live.ask(f"{BROWSE}/matches", id="video3", run=0, tiou=0.9).json
    missed, hit = found["instances"]
    assert (missed["found"], missed["rank"]) == (False, None)
    assert (hit["found"], hit["best"]) == (True, 2)
    assert hit["tiou"] == pytest.approx(1, abs=1e-6)  # times of corrections are rounded
    assert hit["rank"] <= 2
    assert found["proposals"][2] == 1
    assert len(found["proposals"]) == len(best)
    few = live.ask(f"{BROWSE}/matches", id="video3", run=0, tiou=1.0, top=2).json
    assert [one["found"] for one in few["instances"]] == [False, False]


def test_proposals_of_two_runs_are_shared_or_not(live: Live) -> None:
    found = live.ask(f"{BROWSE}/shared", id="video3", a=0, b=0, tiou=1.0, top=5).json
    assert None not in found["a"] + found["b"]
    found = live.ask(f"{BROWSE}/shared", id="video3", a=0, b=1, top=10).json
    assert (len(found["a"]), len(found["b"])) == (10, 10)
    ordered = live.ask(f"{BROWSE}/videos", order="changes", descending=True).json["videos"]
    counts = []
    for row in ordered:
        one = live.ask(f"{BROWSE}/shared", id=row["id"]).json
        counts.append((one["a"] + one["b"]).count(None))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_shared_proposals_follow_changed_settings(live: Live) -> None:
    found = live.ask(f"{BROWSE}/shared", id="video3", top=100, suppression="1:0.3,0.4,0.75,3").json
    assert (len(found["a"]), len(found["b"])) == (40, 3)
    assert live.ask(f"{BROWSE}/shared", id="video3", suppression="1:2,2,1,3").status == 422


def test_the_list_is_filtered_by_the_auc_of_runs(live: Live) -> None:
    of_videos = live.ask(f"{BROWSE}/per-video").json
    auc = dict(zip(of_videos["ids"], zip(*of_videos["auc"], strict=True), strict=True))
    low, high = (round(sorted(run)[len(auc) // 2], 1) for run in zip(*auc.values(), strict=True))
    query = urlencode([("auc", f"0:{low},100"), ("auc", f"1:0,{high}")])
    rows = live.ask(f"{BROWSE}/videos?{query}").json["videos"]
    expected = {name for name, (a, b) in auc.items() if low <= a and b <= high}
    assert {row["id"] for row in rows} == expected
    assert 0 < len(rows) < len(auc)
    for wrong in ("0:1", "x:0,1", "0:-1,1"):
        assert live.ask(f"{BROWSE}/videos", auc=wrong).status == 422
    assert live.ask(f"{BROWSE}/videos", auc="7:0,50").status == 404


def test_the_list_is_filtered_by_label_subset_and_misses(live: Live) -> None:
    whole = live.ask(f"{BROWSE}/videos", segments=3).json["videos"]
    row = whole[3]
    assert row["segments"] == [list(pair) for pair in VIDEOS[3].segments.tolist()[:3]]
    assert len(row["runs"][1]["best"]) == 3
    labelled = live.ask(f"{BROWSE}/videos", label="throw").json
    assert labelled["total"] == sum("throw" in video.labels for video in VIDEOS)
    assert live.ask(f"{BROWSE}/videos", label="thro").json["total"] == 0
    assert live.ask(f"{BROWSE}/videos", subset="validation").json["total"] == len(VIDEOS)
    assert live.ask(f"{BROWSE}/videos", subset="training").json["total"] == 0
    missing = live.ask(f"{BROWSE}/videos", missed_by=1).json["videos"]
    expected = [one["id"] for one in whole if (one["runs"][1]["metrics"] or {}).get("missed")]
    assert [one["id"] for one in missing] == expected
    assert live.ask(f"{BROWSE}/videos", missed_by=7).status == 404
    assert live.ask(BROWSE).json["subsets"] == ["validation"]


def test_damaged_candidates_do_not_keep_the_list_from_its_evaluation(tmp_path: Path) -> None:
    write_synthetic_run(tmp_path / "run", VIDEOS, seed=1)
    write_truth(tmp_path / "set", VIDEOS)
    (tmp_path / "run" / CANDIDATES).write_bytes(b"damaged")
    served = {"results": (tmp_path / "run",), "ground_truth": tmp_path / "set"}
    with serving(tmp_path / "data", **served) as live:
        evaluated(live)
        auc = live.ask(f"{BROWSE}/per-video").json["auc"][0]
        assert len(auc) == sum(len(video.segments) > 0 for video in VIDEOS)
        assert None not in auc


def test_instances_that_a_run_proposed_itself_are_counted(live: Live) -> None:
    found = live.ask(f"{BROWSE}/proposals", id="video0", run=0).json
    put(live, "video0", (found["start"][0], found["end"][0]), (0.123, 4.567))
    put(live, "video1", (1.0, 2.0))
    evaluated(live)
    assert [one["own"] for one in live.ask(f"{BROWSE}/figures").json] == [1, 0]
    groups = {one["name"]: one for one in live.ask(f"{BROWSE}/comparison", a=0, b=1).json}
    assert (groups["corrected"]["a"]["own"], groups["corrected"]["b"]["own"]) == (1, 0)
    assert groups["corrected"]["difference"]["low"] is None  # of two videos
    assert groups["all"]["difference"]["low"] is not None
    rows = {row["id"]: row["runs"] for row in live.ask(f"{BROWSE}/videos").json["videos"]}
    assert [run["metrics"]["own"] for run in rows["video0"]] == [1, 0]
    keep = "0:0.65,0.9,0.75,2000"  # other settings of Soft-NMS have the same proposals
    rows = {
        r["id"]: r["runs"] for r in live.ask(f"{BROWSE}/videos", suppression=keep).json["videos"]
    }
    assert rows["video0"][0]["metrics"]["own"] == 1


def test_corrected_videos_are_one_group_if_they_are_all(folder: Path, tmp_path: Path) -> None:
    runs = (folder / "first", folder / "second")
    empty = write_truth(tmp_path / "none", [])
    with serving(tmp_path / "data", results=runs, ground_truth=empty) as live:
        put(live, "video0", (1.0, 2.0))
        groups = live.ask(f"{BROWSE}/comparison", a=0, b=1).json
    assert [group["name"] for group in groups] == ["corrected"]
