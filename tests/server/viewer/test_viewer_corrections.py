"""Corrections in a real browser: drawn, dragged, typed, undone and exported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from actspan import Video
from tests.server.live import Live, serving
from tests.server.viewer.visits import CORRECTIONS, Visit


def test_corrections_are_drawn_changed_and_taken_back(
    browser: Any, live: Live, videos: list[Video]
) -> None:
    visit = Visit(browser, live).open("video5", "Corrections")
    page = visit.page
    visit.drag(CORRECTIONS, 200, 400)
    ((start, end),) = visit.times()
    assert 0 < start < end < videos[5].duration
    visit.drag(CORRECTIONS, 399, 500)  # its end
    ((same, later),) = visit.times()
    assert same == start
    assert later > end
    visit.drag(CORRECTIONS, 300, 350)  # all of it
    ((moved, moved_end),) = visit.times()
    assert moved > start
    assert moved_end - moved == pytest.approx(later - start, abs=0.02)
    page.get_by_label("Label of segment 1").fill("jump")
    page.get_by_label("Start of segment 1, seconds").fill("0:01.5")
    visit.press("Tab")
    assert visit.times()[0][0] == 1.5
    page.get_by_role("button", name="Add", exact=True).click()
    assert len(visit.times()) == 2
    page.get_by_role("button", name="Delete segment 1").click()
    visit.focus_timeline()
    visit.press(*["Control+z"] * 4)
    assert visit.times() == [(moved, moved_end)]
    visit.press("Control+Shift+Z")
    assert page.get_by_label("Label of segment 1").input_value() == "jump"
    visit.until_saved()
    page.get_by_role("button", name="Discard").click()
    visit.until_saved()
    assert live.ask("/api/browse/corrections", id="video5").json["segments"] is None
    visit.close()


def test_a_dragged_edge_shows_its_time_and_its_place(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("video11", "Corrections")
    visit.drag(CORRECTIONS, 200, 400)
    ((start, end),) = visit.times()
    visit.until_saved()
    visit.drag(CORRECTIONS, 400, 520, release=False)
    ((same, later),) = visit.times()
    assert (same, later > end) == (start, True)
    assert visit.seconds() == pytest.approx(later, abs=0.06)  # where the video is shown
    change = visit.text("#tip")
    assert change.startswith("end ")
    assert change.endswith(f"+{later - end:.2f} s")
    visit.press("Escape")
    assert visit.times() == [(start, end)]
    visit.page.mouse.up()
    assert visit.times() == [(start, end)]
    visit.page.get_by_role("button", name="Discard").click()
    visit.until_saved()
    visit.close()


def test_segments_are_drawn_inside_others_and_lie_below_them(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("video12", "Corrections")
    page = visit.page
    visit.drag(CORRECTIONS, 200, 600)
    page.keyboard.down("Shift")
    visit.drag(CORRECTIONS, 300, 400)  # over the first, which is selected
    page.keyboard.up("Shift")
    (outer, inner) = visit.times()
    assert outer[0] < inner[0] < inner[1] < outer[1]
    visit.drag(CORRECTIONS, 450, 550)  # the first is not selected any more: a third is drawn
    assert len(visit.times()) == 3
    page.mouse.click(*visit.point(350, CORRECTIONS + 20))  # the second lane
    assert page.locator("#segments tr.chosen .moment").first.input_value() == "0:" + (
        f"{inner[0]:05.2f}"
    )
    page.get_by_role("button", name="Discard").click()
    visit.until_saved()
    visit.close()


def test_text_fields_are_left_by_enter_and_escape(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("video13", "Corrections")
    page = visit.page
    visit.focus_timeline()
    visit.press("m", "l")
    page.keyboard.type("jump")
    visit.press("Enter")
    label = page.get_by_label("Label of segment 1")
    assert label.input_value() == "jump"
    visit.press("l")
    page.keyboard.type("other")
    visit.press("Escape")
    assert label.input_value() == "jump"
    visit.press("Space")
    assert page.get_by_role("button", name="Pause").is_visible()
    page.get_by_role("button", name="Discard").click()
    visit.until_saved()
    visit.close()


def test_a_refused_time_is_explained(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("video14", "Corrections")
    visit.drag(CORRECTIONS, 200, 400)
    before = visit.times()
    for edge, text, reason in (
        ("Start", "soon", "“soon” is not a time; the start stays as it was."),
        ("Start", "59", "The start must be before the end"),
        ("End", "-1", "“-1” is not a time; the end stays as it was."),
        ("End", "0", "The end must be after the start"),
    ):
        field = visit.page.get_by_label(f"{edge} of segment 1, seconds")
        field.fill(text)
        visit.press("Tab")
        assert reason in visit.text("#segment-error")
        assert visit.times() == before
    for edge, text in (("Start", "0:08.5"), ("End", "58")):
        visit.page.get_by_label(f"{edge} of segment 1, seconds").fill(text)
        visit.press("Tab")
        assert visit.text("#segment-error") == ""
    visit.page.get_by_role("button", name="Discard").click()
    visit.until_saved()
    visit.close()


def test_corrections_are_made_by_keyboard_saved_and_exported(
    browser: Any, live: Live, tmp_path: Path, videos: list[Video]
) -> None:
    visit = Visit(browser, live).open("video7", "Corrections")
    page = visit.page
    page.get_by_role("button", name="From ground truth").click()
    visit.until_saved()
    truth = [(round(s, 2), round(e, 2)) for s, e, _ in videos[7].instances()]
    assert visit.times() == truth
    visit.focus_timeline()
    visit.press("]", "c", "Home", "i", "l")
    page.keyboard.type("throw")
    visit.press("Enter")
    visit.until_saved()
    visit.open("video7", "Corrections")
    visit.until_rows("segments", len(truth) + 1)
    assert visit.times()[0][0] == 0.0
    assert page.get_by_label("Label of segment 1").input_value() == "throw"
    assert page.locator("#rows li", has_text=re.compile("^video7corrected")).count() == 1
    page.get_by_role("button", name="Export corrections").click()
    visit.until_text("export-count", f"1 corrected video, {len(truth) + 1} segments.")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "corrections.json")
    exported = json.loads((tmp_path / "corrections.json").read_text())["database"]
    assert len(exported["video7"]["annotations"]) == len(truth) + 1
    visit.close()


def test_nothing_is_exported_without_corrections(
    browser: Any, folder: Path, tmp_path: Path
) -> None:
    with serving(tmp_path / "data", ground_truth=folder / "set") as live:
        visit = Visit(browser, live).open("video5", "Corrections")
        page = visit.page
        page.get_by_role("button", name="Export corrections").click()
        visit.until("document.getElementById('export-count').textContent.includes('nothing')")
        assert page.locator("#download").get_attribute("href") is None
        page.get_by_label("with the ground truth").check()
        assert page.locator("#download").get_attribute("href") is not None
        visit.press("Escape")
        page.get_by_role("button", name="From ground truth").click()  # no run is needed
        visit.until_saved()
        page.get_by_role("button", name="Export corrections").click()
        visit.until("document.getElementById('export-count').textContent.startsWith('61 videos, ')")
        page.get_by_label("Format").select_option("edl")  # no video gives its rate
        page.get_by_role("link", name="Download").click()
        visit.until("document.getElementById('export-error').textContent.includes('frame rate')")
        page.get_by_label("Format").select_option("csv")
        visit.until_text("export-error", "")
        visit.close("422")
