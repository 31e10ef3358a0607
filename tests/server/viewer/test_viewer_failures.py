"""Test what a real browser shows when the service ends, refuses or changes."""

from __future__ import annotations

from typing import Any

from tests.server.live import Live
from tests.server.viewer.visits import CORRECTIONS, Visit

MESSAGES = "document.getElementById('messages').textContent"


def cut_off(visit: Visit) -> None:
    """Let no request reach the service, as if it had ended."""
    visit.page.route("**/*", lambda route: route.abort())


def reconnect(visit: Visit) -> None:
    visit.page.unroute("**/*")


def test_a_service_that_goes_away_leaves_the_list_and_loses_no_correction(
    browser: Any, live: Live
) -> None:
    visit = Visit(browser, live).open("video20", "Corrections")
    names = visit.page.locator("#rows .row-name").all_text_contents()[:10]
    cut_off(visit)
    visit.drag(CORRECTIONS, 200, 400)
    visit.until(f"{MESSAGES}.includes('does not answer')")
    visit.until(f"{MESSAGES}.includes('The corrections of video20 are not saved yet')")
    assert visit.page.locator("#messages").bounding_box()["y"] < 60
    assert visit.text("#saved") == "Not saved"
    assert visit.page.locator("#rows .row-name").all_text_contents()[:10] == names
    assert visit.text("#count") == "61 videos"
    reconnect(visit)
    visit.until_saved()
    visit.until(f"{MESSAGES} === ''")
    assert len(live.ask("/api/browse/corrections", id="video20").json["segments"]) == 1
    visit.close("ERR_FAILED")


def test_a_video_that_could_not_be_opened_is_opened_later(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("video0")
    cut_off(visit)
    visit.page.locator("#rows a").nth(3).click()
    visit.until(f"{MESSAGES}.includes('does not answer')")
    reconnect(visit)
    visit.until_text("name", "video3")
    visit.close("ERR_FAILED")


def test_a_failed_save_is_tried_again(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("video21", "Corrections")
    refusals = [500, 503]

    def answer(route: Any) -> None:
        if route.request.method == "PUT" and refusals:
            route.fulfill(status=refusals.pop(), body='{"detail": "the disk is full"}')
        else:
            route.continue_()

    visit.page.route("**/api/browse/corrections*", answer)
    visit.drag(CORRECTIONS, 200, 400)
    visit.until(f"{MESSAGES}.includes('the disk is full')")
    visit.page.get_by_role("button", name="Save now").click()
    visit.until_saved()
    assert refusals == []
    visit.close("500", "503")


def test_a_change_of_somebody_elses_is_not_overwritten(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("video9", "Corrections")
    body = {"revision": 0, "segments": [{"start": 1.0, "end": 2.0, "label": "jump"}]}
    assert live.ask("/api/browse/corrections", method="PUT", body=body, id="video9").status == 200
    visit.drag(CORRECTIONS, 300, 400)
    visit.until(f"{MESSAGES}.includes('Someone else changed these corrections')")
    assert visit.times() == [(1.0, 2.0)]
    visit.close("409")


def test_a_segment_that_ends_after_the_video_is_reported(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("video22", "Corrections")
    visit.drag(CORRECTIONS, 200, 400)
    visit.until_saved()
    ((_, end),) = visit.times()
    field = visit.page.get_by_label("End of segment 1, seconds")
    field.fill("99:00")
    visit.press("Tab")
    visit.until(f"{MESSAGES}.includes('ends after the video')")
    assert visit.text("#saved") == "Not saved"
    field.fill(str(end))
    visit.press("Tab")
    visit.until_saved()
    visit.until(f"{MESSAGES} === ''")
    visit.close("422")
