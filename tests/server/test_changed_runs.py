"""Test the list of videos with other settings of Soft-NMS, and the messages of errors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")
pytest.importorskip("uvicorn", reason="needs the extra 'server'")

from actspan.evaluation.matching import count_unshared
from actspan.evaluation.recall import evaluate_video
from actspan.server.changed_runs import Setting
from actspan.server.library import Library
from tests.report.runs import synthetic_videos, write_synthetic_run, write_truth
from tests.server.live import Live, serving

VIDEOS = synthetic_videos(12)
CHANGED = "0:0.3,0.4,0.75,7"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("changed")
    for seed, name in enumerate(("first", "second")):
        write_synthetic_run(folder / name, VIDEOS, seed=seed)
    write_truth(folder / "set", VIDEOS)
    return folder


@pytest.fixture(scope="module")
def live(folder: Path) -> Iterator[Live]:
    runs = (folder / "first", folder / "second")
    with serving(folder / "data", results=runs, ground_truth=folder / "set") as live:
        yield live


def listed(live: Live, **query: object) -> list[dict]:
    """Return the rows of the list, once everything is evaluated."""
    for _ in range(200):
        page = live.ask("/api/browse/videos", **query).json
        if not page["evaluating"]:
            rows: list[dict] = page["videos"]
            return rows
        time.sleep(0.02)
    raise AssertionError("the evaluation does not end")


def test_changed_settings_give_the_figures_of_what_is_shown(live: Live, folder: Path) -> None:
    before, after = listed(live), listed(live, suppression=CHANGED)
    library = Library([folder / "first"])
    setting = Setting.parse(CHANGED)
    for video, old, new in zip(VIDEOS[:-1], before, after, strict=False):
        run = library.run(0)
        proposals = run.suppressed(video.id, setting.config(run)).proposals
        auc, missed = evaluate_video(video, proposals)
        assert new["runs"][0]["metrics"] == {"auc": auc, "missed": missed, "own": 0}
        assert new["runs"][0]["proposals"] == len(proposals) == 7
        assert new["runs"][1] == old["runs"][1]  # of the other run


def test_the_list_is_ordered_by_changed_figures(live: Live) -> None:
    rows = listed(live, suppression=CHANGED, order="auc")
    means = [
        sum(run["metrics"]["auc"] for run in row["runs"]) / 2
        for row in rows
        if row["runs"][0]["metrics"]
    ]
    assert means == sorted(means)
    assert len(means) == len(VIDEOS) - 1


def test_the_best_segments_are_those_of_the_changed_settings(live: Live) -> None:
    for row in listed(live, suppression=CHANGED, segments=5):
        short, long = CHANGED.split(":")[1].split(",")[:2]
        query = {"threshold_short": short, "threshold_long": long, "decay": 0.75, "keep": 7}
        found = live.ask("/api/browse/suppressed", id=row["id"], run=0, **query).json
        edges = [list(pair) for pair in zip(found["start"], found["end"], strict=True)]
        assert row["runs"][0]["best"] == edges[:5]
        assert row["runs"][0]["score"] == found["score"][0]


def test_the_list_is_filtered_by_changed_misses(live: Live) -> None:
    one = "0:0.3,0.4,0.75,1"
    rows = {row["id"]: row["runs"][0]["metrics"] for row in listed(live, suppression=one)}
    expected = [name for name, metrics in rows.items() if metrics and metrics["missed"]]
    found = [row["id"] for row in listed(live, suppression=one, missed_by=0)]
    assert found == expected
    assert len(found) > len(listed(live, missed_by=0))


def test_changes_are_counted_with_changed_settings(live: Live, folder: Path) -> None:
    library, setting = Library([folder / "first", folder / "second"]), Setting.parse(CHANGED)
    first, second = library.runs
    changed = {
        name: first.suppressed(name, setting.config(first)).proposals for name in library.ids
    }
    counts = count_unshared(changed, second.result, library.ids, 0.5, 20)
    expected = sorted(library.ids, key=dict(zip(library.ids, counts, strict=True)).__getitem__)
    rows = listed(live, suppression=CHANGED, order="changes")
    assert [row["id"] for row in rows] == expected
    assert expected != [row["id"] for row in listed(live, order="changes")]


def test_corrections_replace_the_ground_truth_of_changed_runs(folder: Path) -> None:
    with serving(folder / "corrected", results=(folder / "first",)) as live:
        before = listed(live, suppression=CHANGED)
        segment = {"start": 0.0, "end": 0.001, "label": ""}
        body = {"revision": 0, "segments": [segment]}
        route = "/api/browse/corrections"
        assert live.ask(route, method="PUT", id="video3", body=body).status == 200
        after = listed(live, suppression=CHANGED)
        changed = [new for old, new in zip(before, after, strict=True) if new != old]
        assert [row["id"] for row in changed] == ["video3"]
        assert changed[0]["runs"][0]["metrics"] == {"auc": 0.0, "missed": 1, "own": 0}
        assert live.ask(route, method="DELETE", id="video3", revision=1).status == 200
        assert listed(live, suppression=CHANGED) == before


def test_many_settings_are_answered_one_after_another(live: Live) -> None:
    for keep in range(1, 20):
        (row, *_) = live.ask("/api/browse/videos", suppression=f"1:0.3,0.4,0.75,{keep}").json[
            "videos"
        ]
        assert row["runs"][1]["proposals"] <= keep


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"suppression": "nonsense"}, "RUN:SHORT,LONG,DECAY,KEEP is needed"),
        ({"suppression": "0:3,0.4,0.75,7"}, "the tIoU thresholds must be from 0 to 1"),
        ({"suppression": "0:0.3,0.4,0,7"}, "decay must be up to 100"),
        ({"suppression": "0:0.3,0.4,...,7"}, "could not convert string to float"),
    ],
)
def test_wrong_settings_are_refused(live: Live, query: dict[str, str], detail: str) -> None:
    answer = live.ask("/api/browse/videos", **query)
    assert answer.status == 422
    assert detail in answer.json["detail"]


def test_a_run_that_is_not_served_is_refused(live: Live) -> None:
    assert live.ask("/api/browse/videos", suppression="5:0.3,0.4,0.75,7").status == 404


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"keep": "abc"}, "keep must be a valid integer, not 'abc'"),
        ({"keep": 0}, "keep must be greater than or equal to 1, not '0'"),
        ({"decay": "much"}, "decay must be a valid number, not 'much'"),
        ({"id": None}, "id is missing"),
        ({"id": "x" * 1001}, "id must have at most 1000 characters"),
    ],
)
def test_errors_name_the_field_and_say_what_it_must_be(
    live: Live, query: dict[str, object], detail: str
) -> None:
    given = {name: value for name, value in ({"id": "video0"} | query).items() if value is not None}
    answer = live.ask("/api/browse/suppressed", run=0, **given)
    assert (answer.status, answer.json["detail"]) == (422, detail)
