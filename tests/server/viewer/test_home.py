"""Test the home page, the comparison on one axis, and addresses, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.live import Live
from tests.server.viewer.visits import DESKTOP, PHONE, Visit, parse_clock

SHOWN = "document.querySelectorAll('#cards a').length"
DROP = """([name, bytes]) => { const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true })); }"""

WRITTEN = """
globalThis.written = new Set();
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
  written.add(text);
  return write.call(this, text, ...where);
};
"""


@pytest.fixture
def home(browser: Any, live: Live) -> Iterator[Visit]:
    visit = Visit(browser, live).open(None)
    visit.until("!document.getElementById('count').textContent.includes('evaluating')")
    visit.page.wait_for_selector(".scatter")
    visit.page.wait_for_selector(".verdict")
    yield visit
    visit.close()


def test_home_shows_the_figures_of_the_service(home: Visit, live: Live) -> None:
    figures = live.ask("/api/browse/figures").json
    all_, *_ = live.ask("/api/browse/comparison", a=0, b=1).json
    difference = all_["difference"]
    rows = home.rows("#figures")
    assert [row[0] for row in rows] == ["A first", "B second"]
    assert [float(row[1]) for row in rows] == [round(one["figures"]["AUC"], 1) for one in figures]
    numbers = [
        float(x.replace("−", "-")) for x in re.findall(r"[−+]\d+\.\d", home.text(".verdict"))
    ]
    assert numbers == [round(difference[key], 1) for key in ("auc", "low", "high")]
    is_clear = difference["low"] > 0 or difference["high"] < 0
    assert ("no clear difference" in home.text(".verdict")) == (not is_clear)


def test_histogram_and_scatter_filter_the_videos(home: Visit) -> None:
    page = home.page
    home.page.locator(".histogram").first.locator(".column").last.click()
    home.until("document.getElementById('count').textContent !== '61 videos'")
    home.settle()
    texts = page.locator("#cards .row-auc").all_text_contents()
    assert texts
    assert all(float(re.findall(r"A ([\d.]+)", text)[0]) >= 94.95 for text in texts)
    assert home.text("#count") == f"{len(texts)} videos"
    page.get_by_role("button", name="AUC of A 95 to 100").click()
    home.until_text("count", "61 videos")
    page.locator(".scatter svg").scroll_into_view_if_needed()
    box = page.locator(".scatter svg").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
    page.mouse.up()
    home.until("document.getElementById('count').textContent !== '61 videos'")
    low = page.get_by_label("AUC of A from, percent")
    assert float(low.input_value()) == pytest.approx(50, abs=2)
    assert float(page.get_by_label("AUC of B to, percent").input_value()) == pytest.approx(
        90, abs=2
    )
    low.fill("0")  # the same by keyboard
    home.press("Tab")
    assert re.match(r"AUC of A 0 to 9\d, B 50 to", home.text("#auc-filter"))


def test_cards_are_reached_by_keyboard_and_only_those_in_view_are_drawn(home: Visit) -> None:
    page = home.page
    assert 0 < page.locator("#cards li").count() < 61
    home.press("/")
    page.keyboard.type("video1")
    home.until_text("count", "11 videos")
    home.press("Enter")
    page.locator("#cards a").first.focus()
    home.press("ArrowRight", "Enter")
    home.until_text("name", "video10")
    home.press("n")  # in the filtered list
    home.until_text("name", "video11")
    home.press("h")
    page.wait_for_selector("#cards a")
    assert home.text("#count") == "11 videos"


def test_cards_draw_the_instances_of_the_video(home: Visit, live: Live) -> None:
    row = live.ask("/api/browse/videos", segments=8, limit=1).json["videos"][0]
    lines = home.page.locator("#cards a").first.locator(".line.truth")
    places = lines.evaluate_all("all => all.map((e) => [e.x.baseVal.value, e.width.baseVal.value])")
    ends = [end for run in row["runs"] for _, end in run["best"]]
    seconds = max(row["seconds"], *ends)
    expected = [[s / seconds * 1000, (e - s) / seconds * 1000] for s, e in row["segments"]]
    assert places == [pytest.approx(one, abs=0.1) for one in expected]


def test_back_returns_to_the_home_page(home: Visit) -> None:
    page = home.page
    page.locator("#cards a").nth(2).click()
    home.until_text("name", "video2")
    assert not page.locator("#home").is_visible()
    page.go_back()
    page.wait_for_selector("#home:not([hidden])")
    assert home.text("#name") == ""
    page.go_forward()
    home.until_text("name", "video2")


def test_an_address_shows_the_moment_the_range_the_runs_and_the_order(
    browser: Any, live: Live
) -> None:
    visit = Visit(browser, live).open("video7")
    page = visit.page
    page.get_by_label("Order of the videos").select_option(label="worst AUC first")
    visit.press("2")
    visit.focus_timeline()
    visit.press("ArrowRight", "ArrowRight", "ArrowRight", "+", "+")
    visit.until("location.hash.includes('from=') && location.hash.includes('order=')")
    visit.until("location.hash.includes('t=3&')")
    address = page.url
    assert "runs=A&order=auc" in address
    other = Visit(browser, live)
    other.page.goto(address)
    other.page.wait_for_selector("body[data-ready]")
    assert other.seconds() == 3
    assert (
        other.page.get_by_role("button", name="B second").get_attribute("aria-pressed") == "false"
    )
    assert other.page.locator("#order option:checked").text_content() == "worst AUC first"
    assert other.page.url == address
    first, last = (other.page.url, visit.page.url)
    assert re.findall(r"from=[\d.]+&to=[\d.]+", first) == re.findall(r"from=[\d.]+&to=[\d.]+", last)
    visit.press("n")  # another video keeps the runs and the order
    visit.until("!document.getElementById('name').textContent.startsWith('video7')")
    visit.until("location.hash.includes('runs=A&order=auc') && !location.hash.includes('from=')")
    page.go_back()
    visit.until_text("name", "video7")
    visit.until("document.getElementById('overlay').ariaValueNow === '3.0'")
    other.close()
    visit.close()


def test_an_address_shows_the_filters(home: Visit, browser: Any, live: Live) -> None:
    home.page.get_by_label("Find a video").fill("video1")
    home.page.get_by_label("with missed instances").check()
    home.page.get_by_label("Missed by").select_option("1")
    home.page.locator("#label").select_option("jump")
    field = home.page.get_by_label("AUC of A to, percent")
    field.fill("95")
    field.press("Enter")
    home.until("location.hash.includes('auc=')")
    assert home.page.url.endswith("#find=video1&missed=B&label=jump&auc=A%3A0-95")
    home.until("!document.getElementById('count').textContent.startsWith('61 ')")
    other = Visit(browser, live)
    other.page.goto(home.page.url)
    other.page.wait_for_selector("body[data-ready]")
    other.until_text("count", home.text("#count"))
    assert other.page.locator("#find").input_value() == "video1"
    assert other.page.locator("#label").input_value() == "jump"
    assert other.text("#auc-filter-text") == "AUC of A 0 to 95"
    other.page.evaluate("location.hash = 'id=video2'")  # another page keeps the filters
    other.until("location.hash.startsWith('#id=video2') && location.hash.includes('missed=B')")
    other.close()


def test_filters_of_an_address_that_are_not_offered_are_named(browser: Any, live: Live) -> None:
    visit = Visit(browser, live)
    visit.page.goto(f"{live.url}/#order=-auc&subset=none&label=unknown")
    visit.page.wait_for_selector("body[data-ready]")
    assert "are ignored: subset=none, label=unknown." in visit.text("#messages")
    visit.until("location.hash === '#order=-auc'")
    visit.close()


def test_keys_that_play_scroll_the_home_page(home: Visit) -> None:
    home.page.locator("#cards a").first.focus()
    home.press("End")
    home.until("document.getElementById('home').scrollTop > 0")


def test_two_runs_are_compared_on_one_axis(browser: Any, live: Live) -> None:
    rows = live.ask("/api/browse/videos", order="changes", descending=True).json["videos"]
    name = next(row["id"] for row in rows if row["id"].startswith("video"))
    visit = Visit(browser, live).open(name)
    page = visit.page
    button = page.get_by_role("button", name="One axis")
    visit.requests.clear()
    visit.press("v")
    visit.settle()
    visit.until("document.getElementById('one-axis').ariaPressed === 'true'")
    visit.until("location.hash.includes('axis=one')")
    shared = live.ask("/api/browse/shared", id=name, a=0, b=1, top=20).json
    assert any(f"shared?id={name}&a=0&b=1&top=20" in one for one in visit.requests)
    assert visit.text("#hidden-lanes") == ""
    found = tips(visit)
    for letter, partners in (("A", shared["a"]), ("B", shared["b"])):
        for rank, group in found[letter].items():
            assert group == (f"only {letter}" if partners[rank - 1] is None else "both")
    groups = {group for of_run in found.values() for group in of_run.values()}
    assert len(groups) > 1
    visit.press("2")  # one run cannot be compared
    assert not button.is_visible()
    visit.close()


def test_one_axis_has_one_track_of_boundaries_that_are_the_same(browser: Any, live: Live) -> None:
    about = live.ask("/api/browse").json
    for run in about["runs"]:
        run["is_label_free"] = True
    visit = Visit(browser, live)
    visit.page.add_init_script(WRITTEN)
    visit.page.route("**/api/browse", lambda route: route.fulfill(json=about))
    visit.open("video1")
    visit.press("v")
    visit.until("written.has('both')")
    assert visit.page.evaluate("['action', 'boundary'].every((name) => written.has(name))")
    assert not visit.page.evaluate("['start', 'end'].some((name) => written.has(name))")
    visit.close()


def tips(visit: Visit) -> dict[str, dict[int, str]]:
    """Return the groups of the proposals under the pointer, by run and rank."""
    found: dict[str, dict[int, str]] = {"A": {}, "B": {}}
    box = visit.page.locator("#overlay").bounding_box()
    starts = [parse_clock(row[2]) for row in visit.rows()]
    seconds = float(visit.page.locator("#overlay").get_attribute("aria-valuemax"))
    x = box["x"] + 84 + (min(starts) + 1.5) / seconds * (box["width"] - 92)
    for below in range(120, int(box["height"]) - 30, 3):
        visit.page.mouse.move(x, box["y"] + below)
        tip = visit.page.locator("#tip")
        text = tip.text_content() if tip.is_visible() else ""
        match = re.match(r"(both|only [AB]) · ([AB]) #(\d+)", text)
        if match:
            found[match[2]][int(match[3])] = match[1]
    return found


def test_the_order_of_changes_starts_with_differences(home: Visit, live: Live) -> None:
    home.page.get_by_label("Order of the videos").select_option(
        label="most changed proposals first"
    )
    rows = live.ask("/api/browse/videos", order="changes", descending=True).json["videos"]
    first = f"document.querySelector('#cards .card-name')?.textContent === '{rows[0]['id']}'"
    home.until(first)


def test_a_file_that_cannot_be_proposed_in_says_why(visit: Visit) -> None:
    visit.page.evaluate(DROP, ["new.npy", [1, 2, 3]])
    assert "start actspan serve with --model" in visit.text("#messages")
    assert visit.text("#proposals-number") == "40 of 80"  # of both runs


@pytest.mark.parametrize(
    ("width", "scheme"),
    [(DESKTOP, "light"), (PHONE, "dark")],  # no colour depends on the width
)
def test_axe_finds_nothing_at_home(browser: Any, live: Live, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe (dev)")
    visit = Visit(browser, live, width, color_scheme=scheme).open(None)
    visit.page.wait_for_selector(".scatter")
    found = axe.Axe().run(visit.page)
    assert found.violations_count == 0, found.generate_report()
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    visit.close()
