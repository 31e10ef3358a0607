"""Runs in a real browser: proposals, comparing, and Soft-NMS per run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from actspan import Proposals, Video
from actspan.evaluation.recall import evaluate_video
from tests.server.live import Live
from tests.server.viewer.visits import Visit, parse_clock

SETTINGS = {"threshold_short": 0.3, "threshold_long": 0.4, "decay": 0.75, "keep": 7}


def column(visit: Visit, letter: str, cell: int) -> list[str]:
    return [row[cell] for row in visit.rows() if row[1] == letter]


def change_settings(visit: Visit) -> None:
    for label, name in (
        ("tIoU, short", "threshold_short"),
        ("tIoU, long", "threshold_long"),
        ("Keep", "keep"),
    ):
        visit.page.get_by_label(label).fill(str(SETTINGS[name]))


@pytest.fixture
def all_shown(visit: Visit) -> Iterator[Visit]:
    visit.tab("Settings").page.get_by_label("At most").select_option("all")
    return visit


def test_a_proposal_is_played_alone_and_that_is_seen(visit: Visit) -> None:
    page = visit.page
    page.get_by_label("Speed").select_option("16")
    end = parse_clock(visit.rows()[0][3])
    page.get_by_role("button", name="Play proposal 1 of A", exact=True).click()
    assert visit.text("#range").startswith("Only 0:")
    visit.until("document.getElementById('play').ariaLabel === 'Play'")
    assert visit.seconds() == pytest.approx(end, abs=0.06)
    visit.press("Escape")
    assert not page.locator("#leave-range").is_visible()
    visit.press("Space")
    visit.until(f"document.getElementById('overlay').ariaValueNow > {end + 0.2}")


def test_proposals_follow_each_other_by_rank_and_by_time(visit: Visit) -> None:
    def chosen() -> list[str]:
        found: list[str] = visit.page.locator("#proposal-rows tr.chosen").evaluate(
            "(row) => [...row.cells].map((cell) => cell.textContent)"
        )
        return found[:2]

    visit.focus_timeline()
    ranks = []
    for _ in range(4):
        visit.press("]")
        ranks.append(chosen())
    assert ranks == [["1", "A"], ["1", "B"], ["2", "A"], ["2", "B"]]
    visit.press("[")
    assert chosen() == ["2", "A"]
    starts = []
    for _ in range(40):
        visit.press("}")
        starts.append(visit.seconds())
    back = [later < earlier for earlier, later in pairwise(starts)]
    assert sum(back) == 1  # from the last proposal to the first
    assert len(set(starts)) > 3


def test_runs_are_compared(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="B second").click()
    assert {row[1] for row in visit.rows()} == {"A"}
    visit.focus_timeline()
    visit.press("2")
    assert page.get_by_role("button", name="B second").get_attribute("aria-pressed") == "true"
    assert {row[1] for row in visit.rows()} == {"A", "B"}


def test_scores_filter_at_once(all_shown: Visit) -> None:
    before = len(all_shown.rows())
    all_shown.page.get_by_label("Score at least").fill("0.3")
    scores = [float(row[4]) for row in all_shown.rows()]
    assert 0 < len(scores) < before
    assert min(scores) >= 0.3


def test_each_run_keeps_its_own_suppression(all_shown: Visit, live: Live) -> None:
    visit, page = all_shown, all_shown.page
    of_b = column(visit, "B", 4)
    change_settings(visit)
    visit.until("document.querySelectorAll('#proposal-rows .letter.run0').length === 7")
    found = live.ask("/api/browse/suppressed", id="video0", run=0, **SETTINGS).json
    assert column(visit, "A", 4) == [f"{score:.3f}" for score in found["score"]]
    assert column(visit, "B", 4) == of_b
    assert not [url for url in visit.requests if "suppressed" in url and "run=1" in url]
    page.get_by_role("radio", name="B second").check()
    assert page.get_by_label("Keep").input_value() == "100"
    page.locator("#rows a").nth(1).click()
    visit.until_text("name", "video1")
    assert len(column(visit, "A", 4)) == 7  # also of other videos
    assert len(column(visit, "B", 4)) == 40
    page.get_by_role("radio", name="A first").check()
    page.get_by_role("button", name="As run").click()
    visit.until("document.querySelectorAll('#proposal-rows .letter.run0').length === 40")


def test_the_auc_in_the_list_follows_the_settings(
    all_shown: Visit, live: Live, videos: list[Video]
) -> None:
    figures = "document.querySelector('#rows .row-auc').textContent"
    visit, page = all_shown, all_shown.page
    visit.until(f"/A .* B /.test({figures})")
    before = re.findall(r"[\d.]+", page.evaluate(figures))
    change_settings(visit)
    found = live.ask("/api/browse/suppressed", id="video0", run=0, **SETTINGS).json
    proposals = Proposals(found["start"], found["end"], *[found["score"]] * 3, unit="seconds")
    auc, _ = evaluate_video(videos[0], proposals)
    assert f"{auc:.1f}" != before[0]
    visit.until(f"{figures} === 'AUC A {auc:.1f} B {before[1]}'")
    page.get_by_role("button", name="As run").click()
    visit.until(f"{figures} === 'AUC A {before[0]} B {before[1]}'")


def test_a_refused_number_is_explained(all_shown: Visit) -> None:
    keep = all_shown.page.get_by_label("Keep")
    keep.fill("2.5")
    assert "Keep must be a whole number from 1 to 2000" in all_shown.text("#keep-error")
    assert keep.get_attribute("aria-invalid") == "true"
    keep.fill("7")
    assert all_shown.text("#keep-error") == ""
    all_shown.until("document.querySelectorAll('#proposal-rows .letter.run0').length === 7")


def test_corrections_start_from_all_shown_runs(browser: Any, live: Live, folder: Path) -> None:
    visit = Visit(browser, live).open("video15", "Corrections")
    shown = {(row[2], row[3]) for row in visit.rows()}
    assert {row[1] for row in visit.rows()} == {"A", "B"}
    visit.page.get_by_role("button", name="From visible proposals").click()
    visit.until_saved()
    segments = live.ask("/api/browse/corrections", id="video15").json["segments"]
    per_run = [live.ask("/api/browse/proposals", id="video15", run=run).json for run in (0, 1)]
    expected = {
        (round(start, 6), round(end, 6))
        for found in per_run
        for start, end in zip(found["start"][:20], found["end"][:20], strict=True)
    }
    assert {(s["start"], s["end"]) for s in segments} == expected
    assert len(expected) > len(shown) / 2
    visit.page.get_by_role("button", name="Discard").click()
    visit.until_saved()
    visit.close()
