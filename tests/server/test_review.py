"""Test the review queue: its order, and decisions that survive a restart and can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from actspan.jobs.run import Run
from tests.report.runs import label_run, synthetic_videos, write_synthetic_run, write_truth
from tests.server.live import Answer, Live, serving

VIDEOS = synthetic_videos(6)
BROWSE = "/api/browse"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review")
    run = write_synthetic_run(folder / "run", VIDEOS, seed=1)
    label_run(run, VIDEOS, Run.load(run).proposals())
    write_truth(folder / "set", VIDEOS)
    return folder


@pytest.fixture
def live(folder: Path, tmp_path: Path) -> Iterator[Live]:
    with serving(tmp_path / "data", results=(folder / "run",)) as live:
        yield live


def queue(live: Live, **query: Any) -> dict[str, Any]:
    answer = live.ask(f"{BROWSE}/review", **query)
    assert answer.status == 200, answer.body
    return answer.json


def decide(live: Live, item: dict[str, Any], state: str, **more: Any) -> Answer:
    revision = live.ask(f"{BROWSE}/corrections", id=item["video"]).json["revision"]
    body = {"start": item["start"], "end": item["end"], "state": state, "revision": revision}
    return live.ask(f"{BROWSE}/review", method="PUT", id=item["video"], body=body | more)


def segments(live: Live, video: str) -> list[list[Any]] | None:
    found = live.ask(f"{BROWSE}/corrections", id=video).json["segments"]
    return found and [[one["start"], one["end"], one["label"]] for one in found]


def test_the_queue_is_the_proposals_best_first(live: Live, folder: Path) -> None:
    page = queue(live, top=3, limit=500)
    found = Run.load(folder / "run").proposals()
    best = sorted((s for p in found.values() for s in np.sort(p.score)[::-1][:3]), reverse=True)
    assert [item["score"] for item in page["items"]] == pytest.approx(best)
    assert page["counts"] == {"open": len(best), "accepted": 0, "rejected": 0, "edited": 0}
    part = queue(live, top=3, limit=2, offset=3)
    assert (part["items"], part["total"]) == (page["items"][3:5], page["total"])
    own = queue(live, id="video2", top=1000)["items"]
    assert [item["rank"] for item in own] == list(range(len(found["video2"])))


def test_decisions_change_the_corrections_and_can_be_taken_back(live: Live) -> None:
    first, second, third = queue(live, id="video1")["items"][:3]
    accepted = decide(live, first, "accepted").json
    own = [round(first["start"], 6), round(first["end"], 6), first["label"]]
    assert first["label"] in ("jump", "throw")
    assert accepted["item"]["state"] == "accepted"
    assert segments(live, "video1") == [own]
    decide(live, second, "rejected")
    assert segments(live, "video1") == [own]
    moved = {"start": 1.25, "end": 2.5, "label": "new"}
    decide(live, third, "edited", segment=moved)
    assert segments(live, "video1") == sorted([own, [1.25, 2.5, "new"]])
    counts = queue(live, id="video1")["counts"]
    assert (counts["accepted"], counts["rejected"], counts["edited"]) == (1, 1, 1)
    assert queue(live, id="video1", state="edited")["items"][0]["segment"] == moved
    decide(live, third, "edited", segment=moved | {"end": 3.0})  # again: moved further
    assert segments(live, "video1") == sorted([own, [1.25, 3.0, "new"]])
    for item in (first, second, third):
        assert decide(live, item, "open").status == 200
    assert segments(live, "video1") == []
    assert queue(live, id="video1")["counts"]["open"] == queue(live, id="video1")["total"]


def test_a_decision_can_be_taken_back_after_other_corrections_are_saved(live: Live) -> None:
    first, second = queue(live, id="video1")["items"][:2]
    decide(live, first, "accepted")
    saved = live.ask(f"{BROWSE}/corrections", id="video1").json
    rows = [*saved["segments"], {"start": 0.5, "end": 1.0, "label": "new"}]
    body = {"revision": saved["revision"], "segments": rows}  # times as the page got them
    assert live.ask(f"{BROWSE}/corrections", method="PUT", id="video1", body=body).status == 200
    decide(live, first, "open")
    decide(live, second, "rejected")
    assert segments(live, "video1") == [[0.5, 1.0, "new"]]


def test_a_label_can_be_given_with_the_decision(live: Live) -> None:
    (item,) = queue(live, limit=1)["items"]
    label = {"start": item["start"], "end": item["end"], "label": "better"}
    decide(live, item, "accepted", segment=label)
    times = [round(value, 6) for value in list(label.values())[:2]]
    assert segments(live, item["video"]) == [[*times, label["label"]]]


def test_decisions_survive_a_restart(folder: Path, tmp_path: Path) -> None:
    for start in (True, False):
        with serving(tmp_path / "data", results=(folder / "run",)) as live:
            if start:
                (item,) = queue(live, limit=1)["items"]
                decide(live, item, "rejected")
            assert queue(live, state="rejected", limit=1)["items"][0]["start"] == item["start"]


def test_corrections_start_from_the_ground_truth(folder: Path, tmp_path: Path) -> None:
    given = {"results": (folder / "run",), "ground_truth": folder / "set"}
    with serving(tmp_path / "data", **given) as live:
        (item,) = queue(live, id="video1", limit=1)["items"]
        decide(live, item, "accepted")
        truth = [list(instance) for instance in VIDEOS[1].instances()]
        found = segments(live, "video1")
        assert found is not None
        assert len(found) == len(truth) + 1
        assert all(any(np.allclose(t[:2], f[:2]) for f in found) for t in truth)


def test_the_most_doubtful_lie_between_what_was_decided(live: Live) -> None:
    items = queue(live, limit=500, top=1000)["items"]
    decide(live, items[1], "accepted")
    decide(live, items[9], "rejected")
    middle = (items[1]["score"] + items[9]["score"]) / 2
    doubtful = queue(live, order="doubt", limit=500, top=1000)["items"]
    distances = [abs(item["score"] - middle) for item in doubtful]
    assert distances == sorted(distances)
    assert len(doubtful) == len(items) - 2


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"start": 0.123}, 404),
        ({"state": "edited"}, 422),
        ({"state": "perhaps"}, 422),
        ({"revision": 7}, 409),
    ],
)
def test_wrong_decisions_are_refused(live: Live, change: dict[str, Any], status: int) -> None:
    (item,) = queue(live, limit=1)["items"]
    assert decide(live, item, **({"state": "rejected"} | change)).status == status
    assert queue(live)["counts"]["rejected"] == 0


def test_an_export_says_what_it_contains_and_is_never_empty(live: Live) -> None:
    path = f"{BROWSE}/corrections/export"
    assert live.ask(path).status == 409
    first, second = queue(live, limit=2)["items"]
    decide(live, first, "accepted")
    decide(live, second, "rejected")
    answer = live.ask(path)
    assert (answer.headers["actspan-videos"], answer.headers["actspan-segments"]) == ("1", "1")
    contents = live.ask(f"{BROWSE}/corrections/contents").json
    assert contents == {"videos": 1, "segments": 1, "empty_videos": 0}
