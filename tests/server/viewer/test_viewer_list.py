"""Test the list of videos and the address in a real browser."""

from __future__ import annotations

import re
from typing import Any

from tests.server.live import Live
from tests.server.viewer.conftest import NASTY
from tests.server.viewer.visits import RULER, Visit


def test_the_list_is_found_and_ordered(visit: Visit) -> None:
    page = visit.page
    visit.until("!document.getElementById('count').textContent.includes('evaluating')")
    page.get_by_label("Find a video").fill("video1")
    visit.until_text("count", "11 videos")
    page.get_by_label("Order of the videos").select_option(label="worst AUC first")
    visit.until("document.querySelectorAll('#rows .row-facts').length === 11")
    visit.settle()
    texts = page.locator("#rows .row-auc").all_text_contents()
    found = [re.findall(r"[AB] ([\d.]+)", text) for text in texts if text]
    means = [sum(map(float, pair)) / 2 for pair in found]
    assert means == sorted(means)
    page.locator("#rows a").first.focus()
    visit.press("ArrowDown", "Enter")
    visit.until("document.getElementById('name').textContent !== 'video0'")
    assert page.locator("#rows a").nth(1).get_attribute("aria-current") == "true"


def test_only_rows_in_view_are_drawn(visit: Visit) -> None:
    rows = visit.page.locator("#rows a")
    assert rows.count() < 40
    visit.page.locator("#list").evaluate("(e) => { e.scrollTop = e.scrollHeight; }")
    last = "document.querySelector('#rows li:last-child .row-name')?.textContent"
    visit.until(f"{last}.includes('onerror')")
    assert rows.count() < 40
    rows.last.click()
    visit.until_text("name", NASTY)
    assert visit.page.locator("img").count() == 0


def test_the_list_can_be_hidden_and_stays_so(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="Videos").click()
    assert not page.locator("#side").is_visible()
    visit.open()
    assert not page.locator("#side").is_visible()
    page.get_by_role("button", name="Videos").click()
    assert page.locator("#side").is_visible()


def test_the_next_video_is_found_after_the_current_one_was_filtered_out(visit: Visit) -> None:
    visit.page.get_by_label("Find a video").fill("video1")
    visit.until_text("count", "11 videos")
    visit.press("Enter")  # leaves the field
    visit.press("n")
    visit.until_text("name", "video1")
    visit.press("n")
    visit.until_text("name", "video10")
    visit.press("p")
    visit.until_text("name", "video1")


def test_the_next_video_is_found_after_the_current_one_has_left_the_list(
    browser: Any, live: Live
) -> None:
    ids = ("video30", "video31", "video32")
    body = {"revision": 0, "segments": [{"start": 1.0, "end": 2.0, "label": ""}]}
    for name in ids:
        live.ask("/api/browse/corrections", method="PUT", body=body, id=name)
    visit = Visit(browser, live).open("video31", "Corrections")
    page = visit.page
    page.get_by_label("corrected", exact=True).check()
    visit.until_text("count", "3 videos")
    page.get_by_role("button", name="Discard").click()
    visit.until_text("count", "2 videos")
    visit.press("n")
    visit.until_text("name", "video32")
    visit.press("p")
    visit.until_text("name", "video30")
    for name in ("video30", "video32"):
        live.ask("/api/browse/corrections", method="DELETE", id=name, revision=1)
    visit.close()


def test_space_plays_after_a_click_on_a_video(visit: Visit) -> None:
    visit.page.locator("#rows a").nth(3).click()
    visit.until_text("name", "video3")
    visit.press("Space")
    assert visit.page.get_by_role("button", name="Pause").is_visible()


def test_space_plays_after_a_click_on_any_button(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Zoom in").click()
    visit.press("Space")
    assert visit.page.get_by_role("button", name="Pause").is_visible()


def test_back_shows_what_the_address_names(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("video0")
    assert visit.text("#name") == "video0"
    visit.page.locator("#rows a").nth(2).click()
    visit.until_text("name", "video2")
    visit.page.locator("#rows a").nth(4).click()
    visit.until_text("name", "video4")
    visit.page.go_back()
    visit.until_text("name", "video2")
    visit.page.go_back()
    visit.until_text("name", "video0")
    visit.close()


def test_the_skip_link_keeps_the_video(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("video3")
    visit.press("Tab")
    assert visit.page.evaluate("document.activeElement.className") == "skip"
    visit.press("Enter")
    assert visit.page.evaluate("document.activeElement.id") == "overlay"
    visit.page.wait_for_timeout(200)
    assert visit.text("#name") == "video3"
    assert visit.page.url.endswith("#id=video3")
    visit.close()


def test_an_unknown_address_shows_no_video(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("video3")
    visit.page.goto(f"{live.url}/#id=nothing")
    visit.page.wait_for_selector("#empty:not([hidden])")
    assert "no video 'nothing' is served" in visit.text("#empty")
    assert not visit.page.locator("#video").is_visible()
    assert visit.text("#name") == ""  # keys do not act on the video before
    visit.page.get_by_role("link", name="Show all videos").click()
    visit.page.wait_for_selector("#cards a")
    assert not visit.page.locator("#empty").is_visible()
    visit.close("404")


def test_one_click_needs_few_requests(visit: Visit) -> None:
    # Only saved corrections cause requests: of the rows in view, not of the whole list.
    visit.tab("Corrections")
    visit.focus_timeline()
    visit.press("m")
    visit.until_saved()
    visit.settle()
    visit.requests.clear()
    visit.page.get_by_label("Label of segment 1").click()
    visit.page.mouse.click(*visit.point(300, RULER))
    visit.page.wait_for_timeout(300)
    assert visit.requests == []
    visit.press("m")
    visit.until_saved()
    visit.page.wait_for_timeout(300)
    assert len(visit.requests) == 2  # saved, and the list
    visit.page.get_by_role("button", name="Discard").click()
    visit.until_saved()
