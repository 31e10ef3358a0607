"""Hits and misses, and the review of proposals by keyboard, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from actspan.jobs.run import Run
from tests.report.runs import label_run, synthetic_videos, write_synthetic_run, write_truth
from tests.server.live import Live, serving
from tests.server.viewer.visits import DESKTOP, PHONE, Visit, parse_clock

VIDEOS = synthetic_videos(6, seed=3)
BROWSE = "/api/browse"
MANY = "video2"  # has three instances


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review")
    for seed, name in enumerate(("first", "second")):
        run = write_synthetic_run(folder / name, VIDEOS, seed=seed)
        label_run(run, VIDEOS, Run.load(run).proposals())
    write_truth(folder / "set", VIDEOS)
    return folder


@pytest.fixture
def served(runs: Path, tmp_path: Path) -> Iterator[Live]:
    both = (runs / "first", runs / "second")
    with serving(tmp_path, results=both, ground_truth=runs / "set") as live:
        yield live


@pytest.fixture
def page(browser: Any, served: Live) -> Iterator[Visit]:
    visit = Visit(browser, served).open(MANY)
    yield visit
    visit.close()


def queue(live: Live, **query: Any) -> dict[str, Any]:
    answer = live.ask(f"{BROWSE}/review", **query)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def segments(live: Live, video: str) -> list[dict[str, Any]]:
    return live.ask(f"{BROWSE}/corrections", id=video).json["segments"] or []


def review(visit: Visit, **choices: str) -> None:
    """Start a review by keyboard, and wait for its first proposal."""
    visit.tab("Review")
    for name, value in choices.items():
        visit.page.locator(f"#review-{name}").select_option(value)
    visit.focus_timeline()
    visit.press("r")
    until_shown(visit, 0)


def until_shown(visit: Visit, decided: int) -> None:
    """Wait until this many are decided, and the next one is shown."""
    visit.until(
        """n => document.getElementById("review-count").textContent.startsWith(`${n} of `)
        && document.getElementById("review-item").checkVisibility()""",
        decided,
    )


def stored(visit: Visit) -> None:
    visit.until_text("review-saved", "Saved")


def span(visit: Visit) -> list[float]:
    """Start and end of the reviewed proposal, seconds."""
    return [parse_clock(text) for text in visit.text("#review-span").split(" – ")]


def test_hits_are_those_of_the_service(page: Visit, served: Live) -> None:
    page.tab("Proposals").page.get_by_text("Instances", exact=True).click()
    expected = []
    for tiou in ("0.5", "0.9"):
        page.page.locator("#tiou").select_option(tiou)
        page.settle()
        rows = page.rows("#hit-rows")
        for run in (0, 1):
            matches = served.ask(f"{BROWSE}/matches", id=MANY, run=run, tiou=tiou).json["instances"]
            assert len(matches) == 3
            hits = [
                f"{'✓' if one['found'] else '✗'} #{one['best'] + 1} {one['tiou']:.2f}"
                for one in matches
            ]
            assert [row[2 + run] for row in rows] == hits
            found = sum(one["found"] for one in matches)
            counts = page.page.locator("#hit-counts li").nth(run).text_content()
            assert counts == f"{'AB'[run]}✓ {found} found✗ {len(matches) - found} missed"
            expected += hits
    assert expected[:6] != expected[6:]  # the choice matters


def test_an_instance_is_joined_to_its_best_proposal(page: Visit) -> None:
    for below in range(110, 200, 4):  # the height of the curves above depends on the window
        page.page.mouse.move(*page.point(300, below))
        if "found" in page.text("#tip"):
            break
    assert "✓ found · jump · " in page.text("#tip")
    assert " · best #" in page.text("#tip")
    page.until(
        """() => {
        const hit = getComputedStyle(document.querySelector("#hit-counts .hit")).color;
        const wanted = hit.match(/\\d+/g).map(Number), c = document.getElementById("overlay");
        const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
        return data.filter((alpha, i) => i % 4 === 3 && alpha > 100
          && wanted.every((value, k) => Math.abs(data[i - 3 + k] - value) < 10)).length > 50; }"""
    )  # lines in the colour of a hit, which nothing else there has


def test_keys_go_through_the_missed_instances(page: Visit) -> None:
    page.tab("Proposals").focus_timeline()
    page.press(*"tttttt")
    assert page.page.locator("#tiou").input_value() == "0.95"
    page.press("x")
    first = page.seconds()
    page.press("x")
    assert page.seconds() != first  # another one
    assert page.page.locator("#proposal-rows .chosen").count() <= 1


def test_proposals_are_accepted_rejected_and_labelled_by_one_key(page: Visit, served: Live) -> None:
    items = queue(served, limit=4)["items"]
    review(page)
    for number, key in enumerate(("a", "x", "2", "Enter"), start=1):
        page.press(key)
        until_shown(page, number)
    stored(page)
    assert page.text("#review-count") == "4 of 120, 3 accepted"
    states = {(one["video"], one["start"]): one for one in queue(served, state="accepted")["items"]}
    accepted = [items[0], items[2], items[3]]
    assert set(states) == {(one["video"], one["start"]) for one in accepted}
    labels = [states[one["video"], one["start"]]["segment"]["label"] for one in accepted]
    assert labels == [items[0]["label"], "throw", items[3]["label"]]


def test_a_proposal_loops_with_a_second_of_context(page: Visit, served: Live) -> None:
    (item,) = queue(served, limit=1)["items"]
    review(page)
    start, end = max(item["start"] - 1, 0), item["end"] + 1
    shown = [parse_clock(text) for text in page.text("#range").removeprefix("Only ").split(" – ")]
    assert shown == pytest.approx([start, end], abs=0.06)
    page.page.locator("#rate").select_option("16")
    page.until("s => document.getElementById('overlay').ariaValueNow > s", end - 1.5)
    page.until("s => document.getElementById('overlay').ariaValueNow < s", start + 1.5)
    page.press("Escape")
    assert not page.page.locator("#review-item").is_visible()
    assert not page.page.locator("#leave-range").is_visible()


def test_edges_move_by_keys_and_everything_is_undone(page: Visit, served: Live) -> None:
    first, second = queue(served, limit=2)["items"]
    review(page)
    start, end = span(page)
    page.press("[", "[", "}")
    moved = span(page)
    assert moved[0] < start
    assert moved[1] > end
    assert page.seconds() == pytest.approx(moved[1], abs=0.06)  # the frame of the edge
    page.press("i")  # later than the end
    assert "The start must be before the end" in page.text("#review-fault")
    page.press("9")
    assert page.text("#review-fault") == "No label has the number 9; L types another one."
    page.press("Control+z")
    assert span(page) == [moved[0], end]
    assert page.text("#review-fault") == ""
    page.press("}", "a")
    until_shown(page, 1)
    stored(page)
    (edited,) = queue(served, state="edited")["items"]
    assert edited["segment"]["start"] == pytest.approx(moved[0], abs=0.01)
    assert edited["segment"]["end"] == pytest.approx(moved[1], abs=0.01)
    page.press("x")
    until_shown(page, 2)
    page.press("Control+z")
    until_shown(page, 1)
    assert span(page) == pytest.approx([second["start"], second["end"]], abs=0.01)
    page.press("Control+z")
    until_shown(page, 0)
    assert span(page) == moved
    stored(page)
    assert queue(served)["counts"]["open"] == 120
    assert (first["start"], first["end"]) not in [
        (one["start"], one["end"]) for one in segments(served, first["video"])
    ]
    page.press("Control+Shift+z")
    until_shown(page, 1)
    stored(page)
    assert queue(served)["counts"]["edited"] == 1


def test_a_dragged_edge_has_no_tip_with_the_time_before(page: Visit) -> None:
    review(page)
    page.press(" ")
    start, end = span(page)
    page.page.wait_for_timeout(600)  # the address follows
    shown = parse_qs(urlsplit(page.page.url).fragment)
    first, last = (float(shown[name][0]) for name in ("from", "to"))
    left, right = 84, page.page.locator("#overlay").bounding_box()["width"] - 8
    x = left + (start - first) / (last - first) * (right - left)
    for below in range(60, 260, 4):
        page.page.mouse.move(*page.point(x, below))
        if page.page.locator("#overlay").evaluate("e => e.style.cursor") == "ew-resize":
            break
    assert page.page.locator("#tip").is_visible()
    page.drag(below + 6, x, x + 40, release=False)
    assert span(page)[0] > start
    assert span(page)[1] == end
    assert page.page.locator("#tip").is_hidden()
    page.page.mouse.up()


def test_a_review_survives_a_reload_with_its_undo(page: Visit, served: Live) -> None:
    review(page, order="doubt", top="5")
    page.press("x")
    until_shown(page, 1)
    stored(page)
    page.open(MANY).tab("Review").focus_timeline()
    page.press("r")
    until_shown(page, 1)
    assert page.text("#review-count") == "1 of 30, 0 accepted"
    page.press("Control+z")
    until_shown(page, 0)
    stored(page)
    assert queue(served)["counts"]["rejected"] == 0


def test_what_is_put_off_comes_last_and_one_video_ends(page: Visit, served: Live) -> None:
    items = queue(served, id=MANY, top=3)["items"]
    review(page, scope="one", top="3")
    page.press("s", "x", "x")
    until_shown(page, 2)
    assert span(page) == pytest.approx([items[0]["start"], items[0]["end"]], abs=0.01)
    page.press("l")
    page.page.keyboard.type("new label")
    page.press("Enter")
    page.until_text("review-note", "Everything is reviewed.")
    stored(page)
    assert "new label" in [one["label"] for one in segments(served, MANY)]


def test_decisions_wait_for_a_service_that_is_away(page: Visit, served: Live) -> None:
    review(page, scope="one")
    page.page.route("**/api/browse/review**", lambda route: route.abort())
    page.press("x")
    until_shown(page, 1)
    page.until("document.getElementById('messages').textContent.includes('not saved yet')")
    page.page.unroute("**/api/browse/review**")
    stored(page)
    page.until("!document.getElementById('messages').textContent.includes('not saved yet')")
    assert queue(served)["counts"]["rejected"] == 1
    page.complaints.clear()  # of the request that was not answered


def test_decisions_follow_an_edit_that_someone_else_overtook(page: Visit, served: Live) -> None:
    held: list[Any] = []
    page.page.route(
        "**/api/browse/corrections?*",
        lambda route: held.append(route) if route.request.method == "PUT" else route.continue_(),
    )
    page.tab("Corrections").focus_timeline()
    page.press("m")
    review(page, scope="one")
    page.press("x")
    until_shown(page, 1)
    body = {"revision": 0, "segments": []}
    assert served.ask(f"{BROWSE}/corrections", method="PUT", body=body, id=MANY).status == 200
    held.pop().continue_()
    stored(page)
    assert queue(served)["counts"]["rejected"] == 1
    assert "Someone else changed" in page.text("#messages")
    page.complaints.clear()  # of the request that was refused


@pytest.mark.parametrize(("width", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_axe_finds_nothing_in_a_review(browser: Any, served: Live, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe (dev)")
    visit = Visit(browser, served, width, color_scheme=scheme).open(MANY, "Proposals")
    visit.page.get_by_text("Instances", exact=True).click()
    found = [axe.Axe().run(visit.page)]
    visit.tab("Review")
    found.append(axe.Axe().run(visit.page))
    review(visit)
    found.append(axe.Axe().run(visit.page))
    assert [one.generate_report() for one in found if one.violations_count] == []
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    visit.close()
