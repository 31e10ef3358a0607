"""The page in a real browser: drawn when seen, usable by keyboard, accessible, closed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actspan import Proposals, Video
from actspan.core.wording import clock
from actspan.data.result_writers import write_result
from actspan.jobs.run import Run
from actspan.report.contents import GroundTruth
from actspan.report.page import PageOptions, write_report
from tests.report.conftest import Material
from tests.report.runs import write_truth
from tests.report.test_page import NASTY

PHONE, DESKTOP = 390, 1280

pytest.importorskip("jinja2", reason="needs the extra 'report'")


class Visit:
    """A page that was opened, and what it complained of or asked for."""

    def __init__(self, browser: Any, path: Path, width: int = DESKTOP, **how: Any) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 800}, **how)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def count(self, selector: str) -> int:
        found: int = self.page.locator(selector).count()
        return found

    def ids(self) -> list[str]:
        texts: list[str] = self.page.locator("#list h4").all_text_contents()
        return texts


@pytest.fixture(scope="module")
def report(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    write_report([material.first, material.second], out, truth=GroundTruth(material.truth))
    return out


@pytest.fixture
def visit(browser: Any, report: Path) -> Iterator[Visit]:
    visit = Visit(browser, report)
    yield visit
    visit.page.close()
    assert visit.complaints == []
    assert visit.requests == [report.as_uri()]


def test_timelines_are_drawn_when_they_come_near(visit: Visit) -> None:
    assert visit.count("#list .card") == 20
    assert visit.count("#list svg.timeline") == 0
    visit.page.locator("#list .card").nth(2).scroll_into_view_if_needed()
    visit.page.wait_for_selector("#list .card:nth-child(3) svg.timeline")
    drawn = visit.page.locator("#list .card").nth(2).locator("svg.timeline")
    assert "Timeline of video2, " in drawn.get_attribute("aria-label")
    assert drawn.locator(".start").count() == 2  # a curve a run
    assert drawn.locator("rect.hit, rect.miss").count() >= 20  # ten proposals a run, and instances
    assert visit.count("#list svg.timeline") < 20


def test_the_list_is_found_and_ordered(visit: Visit) -> None:
    page = visit.page
    page.get_by_label("Order").select_option("worst first")
    worst = page.locator("#videos h3:has-text('Worst') + ol h4").all_text_contents()
    assert visit.ids()[:3] == worst
    page.get_by_label("Order").select_option("by id")
    page.get_by_label("Find").fill("video2")
    page.wait_for_selector("#list .card:nth-child(11):last-child")
    assert page.locator("#count").text_content() == "videos: 11, shown: 11"
    assert visit.ids()[0] == "video2"
    page.get_by_label("Find").fill("THROW")  # a label that every video's proposals have
    page.wait_for_selector("#list .card:nth-child(20)")


def test_more_is_shown_by_keyboard(visit: Visit) -> None:
    more = visit.page.get_by_role("button", name="Show more")
    more.focus()
    visit.page.keyboard.press("Enter")
    assert visit.count("#list .card") == 30
    assert visit.page.evaluate("document.activeElement.textContent") == visit.ids()[20]
    assert not more.is_visible()


def test_proposals_have_a_table(visit: Visit) -> None:
    card = visit.page.locator(".card").first
    card.locator("summary").focus()
    visit.page.keyboard.press("Enter")
    rows = card.locator("table").last.locator("tbody tr")
    rows.last.wait_for()
    assert rows.count() == 10
    assert rows.first.locator("td").last.text_content() in ("jump", "throw")


def test_timelines_share_an_axis_and_a_layout(visit: Visit) -> None:
    page = visit.page
    longest_first = page.get_by_label("Order")
    longest_first.select_option("longest first")

    def layout() -> list[tuple[float, float, str]]:
        """Return pixels per second, height and first row of the first three timelines."""
        found = []
        for card in page.locator("#list .card").all()[:3]:
            card.scroll_into_view_if_needed()
            card.locator("svg.timeline").wait_for()
            ticks = card.locator(".tick[text-anchor=middle]").all()
            x = [float(tick.get_attribute("x")) for tick in ticks[:2]]
            texts = [tick.text_content().split(":") for tick in ticks[:2]]
            seconds = [60 * int(minutes) + float(rest) for minutes, rest in texts]
            box = card.locator("svg.timeline").get_attribute("viewBox").split()
            curve = card.locator(".grid").first.get_attribute("y1")
            found.append((round((x[1] - x[0]) / (seconds[1] - seconds[0]), 3), box[3], curve))
        return found

    assert page.get_by_label("one time axis").is_checked()
    assert len(set(layout())) == 1
    page.get_by_label("one time axis").uncheck()
    assert len({scale for scale, _, _ in layout()}) == 3


def test_an_instance_is_ticked_or_crossed(browser: Any, tmp_path: Path) -> None:
    nested = [[0.0, 50.0], [10.0, 20.0], [30.0, 40.0]]
    video = Video("a", 60.0, "validation", nested, ("long", "found", "missed"))
    write_result(
        tmp_path / "result.json", {"a": Proposals([0, 11], [50, 20], [0.9, 0.5], unit="seconds")}
    )
    truth, out = GroundTruth(write_truth(tmp_path / "set", [video])), tmp_path / "report.html"
    write_report([tmp_path / "result.json"], out, truth=truth)
    visit = Visit(browser, out)
    visit.page.locator("#list .card").scroll_into_view_if_needed()
    visit.page.wait_for_selector("#list svg.timeline")
    marks = visit.page.locator("#list svg.timeline :is(.on-hit, .on-miss)").all_text_contents()
    assert marks == ["✓ long", "✓ found", "✗ missed"]
    tops = [
        float(bar.get_attribute("y"))
        for bar in visit.page.locator("#list svg.timeline rect[height='16']").all()
    ]
    assert tops[1] == tops[2] > tops[0]  # nested instances are below the long one
    tips = visit.page.locator("#list svg.timeline title").all_text_contents()
    assert "found 0:10.0 – 0:20.0: found by proposal 2" in tips
    assert "missed 0:30.0 – 0:40.0: missed" in tips
    visit.page.close()


def test_times_are_written_as_everywhere(visit: Visit) -> None:
    times = [0.0, 59.94, 59.96, 107.0, 3599.99, 3725.25]
    cells = visit.page.locator(".card summary").first
    cells.click()
    shown = visit.page.locator(".card table td").first.text_content()
    assert re.fullmatch(r"\d:\d\d\.\d", shown)
    source = (files("actspan.report") / "assets" / "timeline.js").read_text()
    function = re.search(r"^function clock.*?^}", source, re.MULTILINE | re.DOTALL)
    assert function is not None
    called = f"times => {{ {function[0]}; return times.map((t) => clock(t)); }}"
    written = visit.page.evaluate(called, times)
    assert written == [clock(time) for time in times]


def test_proposals_lead_to_the_viewer(browser: Any, material: Material, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    options = PageOptions(["video3"], viewer="http://127.0.0.1:8000/")
    write_report([material.first], out, truth=GroundTruth(material.truth), options=options)
    visit = Visit(browser, out)
    address = "http://127.0.0.1:8000/#id=video3&t="
    link = visit.page.get_by_role("link", name="Open in the viewer")
    assert link.get_attribute("href") == f"{address}0.00"
    visit.page.locator("#list summary").click()
    best = Run.load(material.first).proposals()["video3"]
    first = visit.page.locator("#list td a").first
    assert first.get_attribute("href") == f"{address}{best.start[0]:.2f}"
    visit.page.close()


def test_the_theme_can_be_chosen(visit: Visit) -> None:
    page = visit.page
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate(colour) != light
    page.reload()
    visit.requests.pop()
    assert page.evaluate(colour) != light  # kept
    page.get_by_role("button", name="Light").click()
    assert page.evaluate(colour) == light


def test_printing_draws_what_is_listed(visit: Visit) -> None:
    assert visit.page.pdf(format="A4").startswith(b"%PDF")
    assert visit.count(".card") == visit.count("svg.timeline")


@pytest.mark.parametrize(("scheme", "width"), [("light", DESKTOP), ("dark", PHONE)])
def test_axe_finds_nothing(
    browser: Any, material: Material, tmp_path: Path, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe (dev)")
    out, runs = tmp_path / "report.html", [material.first, material.second]
    options = PageOptions(["2"], viewer="http://127.0.0.1:8000/")  # axe reads every element
    write_report(runs, out, truth=GroundTruth(material.truth), options=options)
    visit = Visit(browser, out, width, color_scheme=scheme)
    visit.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    visit.page.locator("#list .card").first.scroll_into_view_if_needed()
    visit.page.wait_for_selector("#list svg.timeline")
    found = axe.Axe().run(visit.page)
    assert found.violations_count == 0, found.generate_report()
    visit.page.close()


def test_a_phone_scrolls_in_one_direction(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, PHONE)
    assert visit.page.evaluate("document.documentElement.scrollWidth") == PHONE
    visit.page.close()


def test_without_scripts_all_but_timelines_is_there(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, java_script_enabled=False)
    assert visit.count("svg.chart") > 8
    assert not visit.page.locator("#all").is_visible()
    assert not visit.page.get_by_role("button", name="Dark").is_visible()
    visit.page.close()


def test_names_cannot_break_out(browser: Any, tmp_path: Path) -> None:
    video = Video(NASTY, 60.0, "validation", np.array([[0.0, 40.0]]), (NASTY,))
    result, out = tmp_path / "result.json", tmp_path / "report.html"
    write_result(result, {NASTY: Proposals([0.0], [9.0], [0.5], unit="seconds")})
    write_report([result], out, truth=GroundTruth(write_truth(tmp_path / "set", [video])))
    visit = Visit(browser, out)
    visit.page.locator("#list .card").scroll_into_view_if_needed()
    visit.page.wait_for_selector("#list svg.timeline")
    visit.page.locator("#list summary").click()
    assert visit.ids() == [NASTY]
    assert visit.count("img") == 0
    assert visit.complaints == []
    visit.page.close()


def test_5000_videos_open_at_once(browser: Any, tmp_path: Path) -> None:
    result, out = tmp_path / "result.json", tmp_path / "report.html"
    proposals = Proposals(
        np.arange(20.0), np.arange(20.0) + 5, np.linspace(1, 0, 20), unit="seconds"
    )
    write_result(result, {f"video{i}": proposals for i in range(5000)})
    write_report([result], out)
    visit = Visit(browser, out)
    assert visit.page.locator("#count").text_content() == "videos: 5,000, shown: 20"
    ready = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    assert visit.page.evaluate(ready) < 5000  # ms; some 300 on an idle machine
    assert visit.complaints == []
    visit.page.close()
