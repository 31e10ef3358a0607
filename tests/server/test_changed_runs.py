"""The list of videos with other settings of Soft-NMS, and errors in words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")
pytest.importorskip("uvicorn", reason="needs the extra 'server'")

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
        assert new["runs"][0]["metrics"] == {"auc": auc, "missed": missed}
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
