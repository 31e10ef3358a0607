"""Test the timeline in a real browser: look, scrub, zoom, resize."""

from __future__ import annotations

from typing import Any

import pytest

from actspan import Video
from tests.server.live import Live
from tests.server.viewer.visits import CURVES, PHONE, RULER, Visit, parse_clock


def painted(visit: Visit) -> int:
    """Count the pixels of the base that have colour."""
    count: int = visit.page.evaluate(
        """() => { const c = document.getElementById("base");
        const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        return data.filter((v, i) => i % 4 === 3 && v > 0).length; }"""
    )
    return count


def test_a_video_is_shown_with_its_tracks(visit: Visit) -> None:
    assert visit.text("#name") == "video0"
    assert "2 instances" in visit.text("#about")
    assert painted(visit) > 20_000
    assert len(visit.rows()) == 40  # 20 a run
    assert visit.text("#count").startswith("61 videos")


def test_scrubbing_moves_the_position(visit: Visit, videos: list[Video]) -> None:
    visit.drag(RULER, 100, 500)
    first = visit.seconds()
    visit.drag(CURVES, 500, 700)
    second = visit.seconds()
    assert 0 < first < second < videos[0].duration
    assert parse_clock(visit.text("#time")) == pytest.approx(second, abs=0.1)


def test_times_are_minutes_and_seconds_everywhere(visit: Visit) -> None:
    written = "[...document.querySelectorAll('#time, #length, #about, #proposal-rows td')]"
    texts = visit.page.evaluate(f"{written}.map((e) => e.textContent)")
    assert not [text for text in texts if text.endswith(" s")]
    assert visit.text("#time") == "0:00.0"
    assert visit.text("#length") in visit.text("#about")
    facts = visit.page.locator("#rows .row-facts").first.text_content()
    assert facts.startswith(visit.text("#length"))


def test_the_keyboard_moves_zooms_and_helps(visit: Visit, videos: list[Video]) -> None:
    page = visit.page
    visit.focus_timeline()
    visit.press("ArrowRight", "ArrowRight", "ArrowRight")
    assert visit.seconds() == 3.0
    visit.press("Shift+ArrowRight", "ArrowLeft")
    assert visit.seconds() == 12.0
    visit.press("End")
    assert visit.seconds() == pytest.approx(videos[0].duration, abs=0.1)
    visit.press("Home")
    visit.settle()
    before = page.locator("#base").screenshot()
    visit.press("+")
    visit.settle()
    assert page.locator("#base").screenshot() != before
    visit.press("0")
    visit.settle()
    assert page.locator("#base").screenshot() == before
    visit.press("?")
    assert page.get_by_role("dialog", name="Keyboard").is_visible()
    visit.press("Escape", "/")
    assert page.evaluate("document.activeElement.id") == "find"


def test_single_keys_can_be_switched_off(visit: Visit) -> None:
    visit.press("?")
    visit.page.get_by_label("single-key shortcuts").uncheck()
    visit.press("Escape")
    visit.focus_timeline()
    visit.press("m", "ArrowRight")
    assert visit.seconds() == 1.0
    assert visit.times() == []


def test_the_wheel_zooms_where_it_points(visit: Visit, videos: list[Video]) -> None:
    visit.page.mouse.click(*visit.point(400, RULER))
    before = visit.seconds()
    for _ in range(4):
        visit.page.mouse.wheel(0, -200)
    visit.page.mouse.click(*visit.point(400, RULER))
    assert visit.seconds() == pytest.approx(before, abs=0.11)
    visit.page.mouse.click(*visit.point(500, RULER))
    assert visit.seconds() - before < 0.4 * 100 / 800 * videos[0].duration


def test_the_timeline_is_resized_and_stays_so(visit: Visit) -> None:
    page, bar = visit.page, visit.page.get_by_role("separator", name="Height of the timeline")

    def height() -> float:
        found: float = page.locator("#timeline").bounding_box()["height"]
        return found

    automatic = height()
    box = bar.bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 63, steps=4)
    page.mouse.up()
    assert height() == pytest.approx(automatic - 60, abs=2)
    bar.focus()
    visit.press("ArrowUp")
    assert height() == pytest.approx(automatic - 40, abs=2)
    visit.open()
    assert height() == pytest.approx(automatic - 40, abs=2)
    bar.focus()
    visit.press("Enter")
    assert height() == automatic


def test_nothing_needed_scrolls_away(visit: Visit) -> None:
    # The page does not scroll; tracks that do not fit scroll below the ruler.
    page = visit.page
    inside = """() => ["stage", "play", "tab-corrections", "splitter", "overlay", "open-export"]
      .map((id) => document.getElementById(id).getBoundingClientRect())
      .every((box) => box.top >= 0 && box.bottom <= innerHeight && box.right <= innerWidth)"""
    visit.tab("Corrections").page.get_by_role("button", name="Add", exact=True).click()
    for tab in ("Corrections", "Proposals", "Settings"):
        visit.tab(tab)
        assert page.evaluate(inside)
        panel = f"document.getElementById('{tab.lower()}')"
        assert page.evaluate(f"{panel}.scrollWidth <= {panel}.clientWidth")
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    before = page.locator("#base").screenshot()
    page.locator("#timeline").evaluate("(e) => { e.style.height = '160px'; }")
    visit.settle()
    page.locator("#timeline").evaluate("(e) => { e.scrollTop = 60; }")
    visit.settle()
    assert page.locator("#base").screenshot() != before
    page.mouse.click(*visit.point(600, RULER))  # the ruler is still at the top
    assert visit.seconds() > 10
    visit.tab("Corrections").page.get_by_role("button", name="Discard").click()
    visit.until_saved()


def test_two_fingers_zoom(browser: Any, live: Live) -> None:
    visit = Visit(browser, live, PHONE).open()
    page = visit.page
    session = visit.context.new_cdp_session(page)
    middle, y = visit.point(180, CURVES)

    def fingers(kind: str, apart: float) -> None:
        points = [{"x": middle - apart, "y": y, "id": 0}, {"x": middle + apart, "y": y, "id": 1}]
        touched = [] if kind == "touchEnd" else points
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})

    visit.settle()
    before = page.locator("#base").screenshot()
    fingers("touchStart", 30)
    for apart in (50, 80, 120):
        fingers("touchMove", apart)
    fingers("touchEnd", 0)
    visit.settle()
    assert page.locator("#base").screenshot() != before
    page.get_by_role("button", name="All").tap()
    visit.settle()
    assert page.locator("#base").screenshot() == before
    visit.close()
