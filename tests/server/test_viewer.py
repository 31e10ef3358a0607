"""The viewer in a real browser: look, scrub, filter, compare, correct, export."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")
pytest.importorskip("uvicorn", reason="needs the extra 'server'")

import actspan.server
from actspan import Video
from actspan.data.synthetic_dataset import write_synthetic_dataset
from tests.conftest import ROOT
from tests.report.runs import synthetic_videos, write_synthetic_run, write_truth
from tests.server.live import Live, serving

VIEWER = Path(actspan.server.__file__).parent / "viewer"
PHONE, DESKTOP = 390, 1280
VIDEOS = synthetic_videos(60)
NASTY = '"><img src=x onerror=alert(1)>/../ü&é'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("viewer")
    named = Video(NASTY, 60.0, "validation", [[5.0, 40.0]], (NASTY,))
    videos = [*VIDEOS, named]
    for seed, name in enumerate(("first", "second")):
        write_synthetic_run(folder / name, videos, seed=seed)
    write_truth(folder / "set", videos)
    return folder


@pytest.fixture(scope="module")
def live(folder: Path) -> Iterator[Live]:
    runs = (folder / "first", folder / "second")
    with serving(folder / "data", results=runs, ground_truth=folder / "set") as live:
        yield live


class Visit:
    """A page that was opened, and what it complained of or asked for."""

    def __init__(self, browser: Any, live: Live, width: int = DESKTOP, **how: Any) -> None:
        phone = {"has_touch": True, "is_mobile": True} if width == PHONE else {}
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, **{**phone, **how}
        )
        self.page = self.context.new_page()
        self.live = live
        self.complaints: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.live.url, "blob:")):
            self.complaints.append(f"asked for {request.url}")

    def open(self, video: str | None = "video0") -> Visit:
        hash_ = "" if video is None else f"#id={video}"
        self.page.goto(f"{self.live.url}/{hash_}")
        self.page.wait_for_selector("body[data-ready]")
        return self

    def close(self) -> None:
        self.context.close()

    def text(self, selector: str) -> str:
        found: str = self.page.locator(selector).text_content()
        return found

    def seconds(self) -> float:
        """Where the position is, as it is told to those who cannot see it."""
        return float(self.page.locator("#overlay").get_attribute("aria-valuenow"))

    def row(self, kind: str) -> tuple[float, float]:
        """The timeline's left edge, and the middle of its ruler or track of corrections."""
        self.page.locator("#name").scroll_into_view_if_needed()
        box = self.page.locator("#overlay").bounding_box()
        middle = {"ruler": 8, "curves": 24 + 4 + 28 + 30 + 40, "corrections": 24 + 4 + 28 + 11}[
            kind
        ]
        return box["x"], box["y"] + middle

    def drag(self, kind: str, first: float, last: float) -> None:
        x, y = self.row(kind)
        self.page.mouse.move(x + first, y)
        self.page.mouse.down()
        self.page.mouse.move(x + last, y, steps=5)
        self.page.mouse.up()

    def times(self) -> list[tuple[float, float]]:
        """Starts and ends in the table of corrections."""
        values = self.page.locator("#segments .moment").evaluate_all("e => e.map((x) => +x.value)")
        return list(zip(values[::2], values[1::2], strict=True))

    def until(self, condition: str, value: Any = None) -> None:
        """Wait for an expression; Playwright's own way is stopped by the page's policy."""
        for _ in range(500):
            if self.page.evaluate(condition, value):
                return
            self.page.wait_for_timeout(20)
        pytest.fail(f"never: {condition} {value or ''}")

    def until_text(self, id_: str, text: str) -> None:
        self.until("([id, t]) => document.getElementById(id).textContent === t", [id_, text])

    def until_rows(self, room: str, count: int) -> None:
        rows = "([id, n]) => document.querySelectorAll(`#${id} tbody tr`).length === n"
        self.until(rows, [room, count])

    def until_saved(self) -> None:
        self.until_text("saved", "saved")


@pytest.fixture
def visit(browser: Any, live: Live) -> Iterator[Visit]:
    visit = Visit(browser, live)
    yield visit.open()
    visit.close()
    assert visit.complaints == []


def painted(visit: Visit) -> int:
    """How many pixels of the base have colour."""
    count: int = visit.page.evaluate(
        """() => { const c = document.getElementById("base");
        const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        return data.filter((v, i) => i % 4 === 3 && v > 0).length; }"""
    )
    return count


def test_a_video_is_shown_with_its_tracks(visit: Visit) -> None:
    assert visit.text("#name") == "video0"
    assert "2 instances" in visit.text("#about")
    visit.page.wait_for_timeout(200)
    assert painted(visit) > 20_000
    assert visit.page.locator("#proposals tbody tr").count() == 40  # 20 a run
    assert visit.text("#count").startswith("61 videos")


def test_scrubbing_moves_the_position(visit: Visit) -> None:
    visit.drag("ruler", 100, 500)
    first = visit.seconds()
    visit.drag("curves", 500, 700)
    second = visit.seconds()
    assert 0 < first < second < VIDEOS[0].duration
    assert visit.text("#time").startswith(f"{second:.1f} s")


def test_the_keyboard_moves_zooms_and_helps(visit: Visit) -> None:
    keys = visit.page.keyboard
    visit.page.locator("#overlay").focus()
    for _ in range(3):
        keys.press("ArrowRight")
    assert visit.seconds() == 3.0
    keys.press("Shift+ArrowRight")
    keys.press("ArrowLeft")
    assert visit.seconds() == 12.0
    keys.press("End")
    assert visit.seconds() == pytest.approx(VIDEOS[0].duration, abs=0.1)
    keys.press("Home")
    visit.page.wait_for_timeout(300)  # for the curves
    before = visit.page.locator("#base").screenshot()
    keys.press("+")
    visit.page.wait_for_timeout(100)
    assert visit.page.locator("#base").screenshot() != before
    keys.press("0")
    visit.page.wait_for_timeout(100)
    assert visit.page.locator("#base").screenshot() == before
    keys.press("?")
    assert visit.page.get_by_role("dialog", name="Keyboard").is_visible()
    keys.press("Escape")
    keys.press("/")
    assert visit.page.evaluate("document.activeElement.id") == "find"


def test_single_keys_can_be_switched_off(visit: Visit) -> None:
    visit.page.keyboard.press("?")
    visit.page.get_by_label("single-key shortcuts").uncheck()
    visit.page.keyboard.press("Escape")
    visit.page.locator("#overlay").focus()
    visit.page.keyboard.press("m")
    visit.page.keyboard.press("ArrowRight")
    assert visit.seconds() == 1.0
    assert visit.times() == []


def test_the_wheel_zooms_where_it_points(visit: Visit) -> None:
    x, y = visit.row("ruler")
    visit.page.mouse.move(x + 400, y)
    visit.page.mouse.click(x + 400, y)
    before = visit.seconds()
    for _ in range(4):
        visit.page.mouse.wheel(0, -200)
    visit.page.mouse.click(x + 400, y)
    assert visit.seconds() == pytest.approx(before, abs=0.11)
    visit.page.mouse.click(x + 500, y)
    assert visit.seconds() - before < 0.4 * 100 / 800 * VIDEOS[0].duration


def test_a_proposal_is_played_alone(visit: Visit) -> None:
    page = visit.page
    page.get_by_label("Speed").select_option("16")
    cells = page.locator("#proposals tbody tr").first.locator("td").all_text_contents()
    end = float(re.sub(r"[^\d.]", "", cells[2]))
    page.get_by_role("button", name="Play proposal 1 of A", exact=True).click()
    visit.until("document.getElementById('play').ariaLabel === 'Play'")
    assert visit.seconds() == pytest.approx(end, abs=0.06)


def test_the_list_is_found_and_ordered(visit: Visit) -> None:
    page = visit.page
    visit.until("!document.getElementById('count').textContent.includes('evaluated')")
    page.get_by_label("Find a video").fill("video1")
    visit.until_text("count", "11 videos")
    page.get_by_label("Order of the videos").select_option(label="worst AUC first")
    visit.until("document.querySelectorAll('#rows .row-facts').length === 11")
    page.wait_for_timeout(200)
    facts = page.locator("#rows .row-facts").all_text_contents()
    found = [re.findall(r"[AB] ([\d.]+)", text) for text in facts if "AUC" in text]
    means = [sum(map(float, pair)) / 2 for pair in found]
    assert means == sorted(means)
    page.locator("#rows a").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    visit.until("document.getElementById('name').textContent !== 'video0'")
    assert page.locator("#rows a").nth(1).get_attribute("aria-current") == "true"


def test_only_rows_in_view_are_drawn(visit: Visit) -> None:
    rows = visit.page.locator("#rows a")
    assert rows.count() < 40
    visit.page.locator("#list").evaluate("(e) => { e.scrollTop = e.scrollHeight; }")
    visit.until(
        "document.querySelector('#rows li:last-child .row-name')?.textContent.includes('onerror')"
    )
    assert rows.count() < 40
    rows.last.click()
    visit.until_text("name", NASTY)
    assert visit.page.locator("img").count() == 0


def test_runs_are_compared(visit: Visit) -> None:
    page = visit.page
    both = page.locator("#overlay").bounding_box()["height"]
    page.get_by_role("button", name="B second").click()
    assert page.locator("#proposals tbody tr").count() == 20
    assert page.locator("#overlay").bounding_box()["height"] < both - 76
    page.locator("#overlay").focus()
    page.keyboard.press("2")
    assert page.get_by_role("button", name="B second").get_attribute("aria-pressed") == "true"
    assert page.locator("#overlay").bounding_box()["height"] == both


def test_scores_and_suppression_act_at_once(visit: Visit, live: Live) -> None:
    page = visit.page
    page.get_by_label("At most").select_option("all")
    all_ = page.locator("#proposals tbody tr").count()
    page.get_by_label("Score at least").fill("0.3")
    scores = page.locator("#proposals tbody tr td:nth-child(5)").all_text_contents()
    assert 0 < len(scores) < all_
    assert min(map(float, scores)) >= 0.3
    page.get_by_label("Score at least").fill("0")
    settings = {"threshold_short": 0.3, "threshold_long": 0.4, "decay": 0.75, "keep": 7}
    for label, name in (
        ("tIoU, short", "threshold_short"),
        ("tIoU, long", "threshold_long"),
        ("Keep", "keep"),
    ):
        page.get_by_label(label).fill(str(settings[name]))
    visit.until_rows("proposals", 14)
    found = live.ask("/api/browse/suppressed", id="video0", run=0, **settings).json
    shown = page.locator("#proposals tbody tr:has(.run0) td:nth-child(5)").all_text_contents()
    assert shown == [f"{score:.3f}" for score in found["score"]]
    page.get_by_role("button", name="As run").click()
    visit.until_rows("proposals", all_)


def test_corrections_are_drawn_changed_and_taken_back(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("video5")
    page, seconds = visit.page, VIDEOS[5].duration
    visit.drag("corrections", 200, 400)
    ((start, end),) = visit.times()
    assert 0 < start < end < seconds
    visit.drag("corrections", 399, 500)  # its end
    ((same, later),) = visit.times()
    assert same == start
    assert later > end
    visit.drag("corrections", 300, 350)  # all of it
    ((moved, moved_end),) = visit.times()
    assert moved > start
    assert moved_end - moved == pytest.approx(later - start, abs=0.02)
    page.get_by_label("Label of segment 1").fill("jump")
    page.get_by_label("Start of segment 1, seconds").fill("0:01.5")
    page.keyboard.press("Tab")
    assert visit.times()[0][0] == 1.5
    page.get_by_role("button", name="Add", exact=True).click()
    assert len(visit.times()) == 2
    page.get_by_role("button", name="Delete segment 1").click()
    page.locator("#overlay").focus()
    for _ in range(4):
        page.keyboard.press("Control+z")
    assert visit.times() == [(moved, moved_end)]
    page.keyboard.press("Control+Shift+Z")
    assert page.get_by_label("Label of segment 1").input_value() == "jump"
    visit.until_saved()
    page.get_by_role("button", name="Discard").click()
    visit.until_saved()
    assert live.ask("/api/browse/corrections", id="video5").json["segments"] is None
    visit.close()
    assert visit.complaints == []


def test_corrections_come_by_keyboard_are_kept_and_exported(
    browser: Any, live: Live, tmp_path: Path
) -> None:
    visit = Visit(browser, live).open("video7")
    page = visit.page
    page.get_by_role("button", name="From ground truth").click()
    visit.until_saved()
    truth = [(round(s, 2), round(e, 2)) for s, e, _ in VIDEOS[7].instances()]
    assert visit.times() == truth
    page.locator("#overlay").focus()
    page.keyboard.press("]")
    page.keyboard.press("c")
    page.keyboard.press("Home")
    page.keyboard.press("i")
    page.keyboard.press("l")
    page.keyboard.type("throw")
    page.keyboard.press("Tab")
    visit.until_saved()
    visit.open("video7")  # anew
    visit.until_rows("segments", len(truth) + 1)
    assert visit.times()[0][0] == 0.0
    assert page.get_by_label("Label of segment 1").input_value() == "throw"
    assert (
        "corrected" in page.locator("#rows li", has_text=re.compile("^video7corr")).text_content()
    )
    page.get_by_role("button", name="Export corrections").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "corrections.json")
    exported = json.loads((tmp_path / "corrections.json").read_text())["database"]
    assert len(exported["video7"]["annotations"]) == len(truth) + 1
    visit.close()
    assert visit.complaints == []


def test_without_a_run_videos_can_be_annotated(browser: Any, folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "data", ground_truth=folder / "set") as live:
        visit = Visit(browser, live).open("video5")
        visit.page.get_by_role("button", name="From ground truth").click()
        visit.until_saved()
        kept = live.ask("/api/browse/corrections", id="video5").json["segments"]
        assert len(kept) == len(VIDEOS[5].segments)
        visit.close()
        assert visit.complaints == []


def test_a_change_of_somebody_elses_is_not_overwritten(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("video9")
    body = {"revision": 0, "segments": [{"start": 1.0, "end": 2.0, "label": "jump"}]}
    assert live.ask("/api/browse/corrections", method="PUT", body=body, id="video9").status == 200
    visit.drag("corrections", 300, 400)
    visit.until("document.getElementById('saved').textContent.startsWith('Someone else')")
    assert visit.times() == [(1.0, 2.0)]
    visit.close()
    assert all("409" in complaint for complaint in visit.complaints)


def test_something_new_is_uploaded_and_proposed(browser: Any, tmp_path: Path) -> None:
    write_synthetic_dataset(tmp_path / "set", validation=1, seed=3)
    features = next((tmp_path / "set" / "features").glob("*.npy"))
    (tmp_path / "bad.npy").write_bytes(b"no features")
    with (
        as_file(files("actspan.model") / "demo") as bundle,
        serving(tmp_path / "data", model=bundle) as live,
    ):
        visit = Visit(browser, live).open(None)
        page = visit.page
        assert "No run is served" in visit.text("#empty")
        page.get_by_role("button", name="Propose in a new file").click()
        page.get_by_label("Features").set_input_files(tmp_path / "bad.npy")
        page.get_by_role("button", name="Propose", exact=True).click()
        visit.until("document.getElementById('propose-state').textContent.includes('neither')")
        assert [c for c in visit.complaints if "415" not in c] == []
        visit.complaints.clear()
        page.get_by_label("Features").set_input_files(features)
        page.get_by_role("button", name="Propose", exact=True).click()
        visit.until_text("name", features.name)
        assert page.locator("#proposals tbody tr").count() == 20
        page.get_by_role("button", name="Play proposal 1", exact=True).click()
        assert page.get_by_role("button", name="Pause").is_visible()
        assert not page.locator("#corrections").is_visible()
        visit.close()
        assert visit.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_axe_finds_nothing(browser: Any, live: Live, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe (dev)")
    visit = Visit(browser, live, width, color_scheme=scheme).open("video7")
    page = visit.page
    page.get_by_label("At most").select_option("10")
    page.get_by_role("button", name="Add", exact=True).click()
    for opens, place in (
        (None, "body"),
        ("Keyboard and help", "#help"),
        ("Export corrections", "#export"),
        ("Videos" if width == PHONE else None, "#side"),
    ):
        if opens:
            page.get_by_role("button", name=opens, exact=True).click()
        found = axe.Axe().run(page, context=place)
        assert found.violations_count == 0, found.generate_report()
        page.keyboard.press("Escape")
    visit.close()
    assert visit.complaints == []


def test_the_theme_can_be_chosen(visit: Visit) -> None:
    page, colour = visit.page, "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.get_by_role("button", name="Dark colours").click()
    assert page.evaluate(colour) != light
    visit.open()
    assert page.evaluate(colour) != light  # kept
    page.get_by_role("button", name="Light colours").click()
    assert page.evaluate(colour) == light


def test_a_phone_scrolls_in_one_direction_and_has_large_targets(browser: Any, live: Live) -> None:
    visit = Visit(browser, live, PHONE).open("video7")
    page = visit.page
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE
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
    assert visit.complaints == []


def test_two_fingers_zoom(browser: Any, live: Live) -> None:
    visit = Visit(browser, live, PHONE).open()
    page = visit.page
    session = visit.context.new_cdp_session(page)
    box = page.locator("#overlay").bounding_box()
    y, middle = box["y"] + 100, box["x"] + 180

    def fingers(kind: str, apart: float) -> None:
        points = [{"x": middle - apart, "y": y, "id": 0}, {"x": middle + apart, "y": y, "id": 1}]
        touched = [] if kind == "touchEnd" else points
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})

    page.wait_for_timeout(300)  # for the curves
    before = page.locator("#base").screenshot()
    fingers("touchStart", 30)
    for apart in (50, 80, 120):
        fingers("touchMove", apart)
    fingers("touchEnd", 0)
    page.wait_for_timeout(100)
    assert page.locator("#base").screenshot() != before
    page.get_by_role("button", name="All").tap()
    page.wait_for_timeout(100)
    assert page.locator("#base").screenshot() == before
    visit.close()


def test_every_module_is_loaded_at_once() -> None:
    page = (VIEWER / "index.html").read_text()
    preloaded = set(re.findall(r'modulepreload" href="([\w.]+)"', page))
    assert preloaded == {f.name for f in VIEWER.glob("*.js")} - {"main.js", "theme.js"}


def test_nothing_is_inline() -> None:
    page = (VIEWER / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)


def test_the_documented_keys_are_those_of_the_page() -> None:
    script = (VIEWER / "keys.js").read_text()
    known = re.findall(r'\["([^"]+)", "([^"]+)", "\w+"\]', script)
    written = re.findall(r"^\| (`.*`) \| (.*) \|$", (ROOT / "docs/viewer.md").read_text(), re.M)
    assert [(keys.replace("`", ""), what) for keys, what in written] == known
