"""Test how the page looks and can be used: axe, themes, phones, print, forced colours."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.live import Live
from tests.server.viewer.visits import DESKTOP, PHONE, Visit

BACKGROUND = "getComputedStyle(document.body).backgroundColor"
SCROLLS = "document.documentElement.scrollWidth"


@pytest.mark.parametrize(
    ("width", "how"),
    [
        (DESKTOP, {"color_scheme": "light"}),
        (1920, {"color_scheme": "dark", "reduced_motion": "reduce"}),
        (PHONE, {"color_scheme": "dark"}),  # no colour depends on the width
        (DESKTOP, {"forced_colors": "active"}),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else str(value),
)
def test_axe_finds_nothing(browser: Any, live: Live, width: int, how: dict[str, Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe (dev)")
    visit = Visit(browser, live, width, **how).open("video7", "Corrections")
    page = visit.page
    page.get_by_role("button", name="Add", exact=True).click()

    def check(place: str) -> None:
        found = axe.Axe().run(page, context=place)
        assert found.violations_count == 0, found.generate_report()

    check("body")
    for tab in ("Proposals", "Settings"):
        visit.tab(tab)
        check(".beside")
    visit.tab("Corrections")
    page.get_by_label("Start of segment 1, seconds").fill("soon")
    visit.press("Tab")
    check("#corrections")
    for opens, place in (("Keyboard and help", "#help"), ("Export corrections", "#export")):
        page.get_by_role("button", name=opens, exact=True).click()
        check(place)
        visit.press("Escape")
    if width == PHONE:
        page.get_by_role("button", name="Videos", exact=True).click()
        check("#side")
    visit.close()


def test_the_theme_can_be_chosen(visit: Visit) -> None:
    page = visit.page
    light = page.evaluate(BACKGROUND)
    page.get_by_role("button", name="Dark colours").click()
    assert page.evaluate(BACKGROUND) != light
    visit.open()
    assert page.evaluate(BACKGROUND) != light  # kept
    page.get_by_role("button", name="Light colours").click()
    assert page.evaluate(BACKGROUND) == light


@pytest.mark.parametrize("widths", [(1920, DESKTOP, 1024, 768), (PHONE,)], ids=["large", "phone"])
def test_no_width_scrolls_sideways(browser: Any, live: Live, widths: tuple[int, ...]) -> None:
    visit = Visit(browser, live, widths[0]).open("video7")
    for width in widths:
        visit.page.set_viewport_size({"width": width, "height": 800})
        visit.settle()
        for tab in ("Corrections", "Proposals", "Settings"):
            visit.tab(tab)
            assert visit.page.evaluate(SCROLLS) == width
    visit.close()


def test_a_phone_names_the_runs_and_shows_all_columns(browser: Any, live: Live) -> None:
    visit = Visit(browser, live, PHONE).open("video7", "Proposals")
    page = visit.page
    outside = """(selector) => [...document.querySelectorAll(selector)]
      .filter((e) => { const box = e.getBoundingClientRect();
        return box.width === 0 || box.left < 0 || box.right > innerWidth; })
      .map((e) => e.textContent)"""
    assert page.locator("#runs").inner_text().split() == ["A", "first", "B", "second"]
    assert page.evaluate(outside, "#runs .chip") == []
    assert page.evaluate(outside, "#proposals th, #proposals td") == []
    visit.tab("Corrections").page.get_by_role("button", name="Add", exact=True).click()
    assert page.evaluate(outside, "#segments th, #segments td") == []
    visit.close()


def test_a_phone_has_large_targets(browser: Any, live: Live) -> None:
    visit = Visit(browser, live, PHONE).open("video7", "Proposals")
    page = visit.page
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input:not([type=checkbox]), a")]
        .filter((e) => e.checkVisibility() && !e.classList.contains("skip"))
        .filter((e) => e.getBoundingClientRect().height < 44).map((e) => e.outerHTML)"""
    )
    assert small == []
    page.get_by_role("button", name="Videos").click()
    page.locator("#rows a").nth(2).tap()
    visit.until_text("name", "video2")
    assert not page.locator("#side").is_visible()
    visit.close()


def test_print_shows_the_whole_timeline(visit: Visit) -> None:
    page = visit.page
    page.locator("#timeline").evaluate("(e) => { e.style.height = '120px'; }")
    page.emulate_media(media="print")
    visit.until("document.getElementById('timeline').clientHeight > 300")
    assert page.evaluate(
        """() => { const room = document.getElementById("timeline");
        const canvas = document.getElementById("base").getBoundingClientRect();
        return room.scrollHeight <= room.clientHeight + 1 && canvas.height >= room.clientHeight - 1
          && getComputedStyle(document.body).overflow === "visible"; }"""
    )
    assert not page.locator("header .actions").is_visible()
    page.emulate_media(media="screen")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forced_colours_keep_the_overview(browser: Any, live: Live, scheme: str) -> None:
    # Segments and the frame of the visible part stand out from the colour that is forced.
    visit = Visit(browser, live, forced_colors="active", color_scheme=scheme).open("video7")
    visit.focus_timeline()
    visit.press("+", "+")
    visit.settle()
    background, *others = visit.page.evaluate(
        """() => { const c = document.getElementById("base"), ratio = devicePixelRatio;
        const { data } = c.getContext("2d").getImageData(86 * ratio, c.height - 14 * ratio,
          c.width - 96 * ratio, 1);
        const seen = new Map();
        for (let i = 0; i < data.length; i += 4) {
          const colour = [...data.slice(i, i + 3)];
          seen.set(colour.join(), colour);
        }
        const forced = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g);
        return [forced.slice(0, 3).map(Number), ...seen.values()]; }"""
    )
    assert sum(contrast(colour, background) >= 3 for colour in others) >= 2
    visit.close()


def contrast(first: list[int], second: list[int]) -> float:
    """Return the contrast of two colours, by WCAG."""

    def luminance(colour: list[int]) -> float:
        parts = [x / 255 for x in colour]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)
