"""Visit the viewer in a real browser, and record its requests and errors."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.live import Live

PHONE, DESKTOP = 390, 1280
RULER, CORRECTIONS, CURVES = 8, 64, 100  # pixels below the top, with one lane of ground truth
FILMSTRIP = 50  # pixels by which the pictures of a video move the tracks below
FRAMES = "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"


class Visit:
    """Page in a browser, with its requests and errors."""

    def __init__(self, browser: Any, live: Live, width: int = DESKTOP, **how: Any) -> None:
        phone = {"has_touch": True, "is_mobile": True} if width == PHONE else {}
        self.context = browser.new_context(
            viewport={"width": width, "height": 800}, **{**phone, **how}
        )
        self.page = self.context.new_page()
        self.live = live
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._unanswered: set[Any] = set()
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", self._note)
        self.page.on("requestfinished", self._answered)
        self.page.on("requestfailed", self._answered)

    def _note(self, request: Any) -> None:
        if not request.url.endswith("/icon.svg"):  # Chromium asks when the address changes
            self.requests.append(request.url.removeprefix(self.live.url))
            if request.resource_type != "media":  # which the player reads as it needs it
                self._unanswered.add(request)
        if not request.url.startswith((self.live.url, "blob:")):
            self.complaints.append(f"asked for {request.url}")

    def _answered(self, request: Any) -> None:
        self._unanswered.discard(request)

    def open(self, video: str | None = "video0", tab: str | None = None) -> Visit:
        """Load the page, also if it was open, and wait until all of it is shown."""
        hash_ = "" if video is None else f"#id={video}"
        if self.page.url.startswith(self.live.url):  # another hash alone would load nothing
            self.page.goto("about:blank")
        self._unanswered.clear()
        self.page.goto(f"{self.live.url}/{hash_}")
        self.page.wait_for_selector("body[data-ready]")
        self.settle()
        return self if tab is None else self.tab(tab)

    def settle(self) -> None:
        """Wait until all requests are answered, and the answers are drawn."""
        quiet = 0
        for _ in range(500):
            self.page.evaluate(FRAMES)
            quiet = 0 if self._unanswered else quiet + 1
            if quiet == 2:
                return
        pytest.fail(f"no answer: {[request.url for request in self._unanswered]}")

    def tab(self, name: str) -> Visit:
        """Show a tab: Corrections, Proposals or Settings."""
        self.page.get_by_role("tab", name=name).click()
        return self

    def close(self, *expected: str) -> None:
        """Close the page; fail if it reported errors without an expected text."""
        self.context.close()
        others = [said for said in self.complaints if not any(text in said for text in expected)]
        assert not others, others

    def text(self, selector: str) -> str:
        found: str = self.page.locator(selector).text_content()
        return found

    def seconds(self) -> float:
        """Return the position in seconds, as it is reported to screen readers."""
        return float(self.page.locator("#overlay").get_attribute("aria-valuenow"))

    def point(self, x: float, below: float) -> tuple[float, float]:
        """Return the point on the page of a point of the timeline, pixels."""
        box = self.page.locator("#overlay").bounding_box()
        return box["x"] + x, box["y"] + below

    def drag(self, below: float, first: float, last: float, *, release: bool = True) -> None:
        self.page.mouse.move(*self.point(first, below))
        self.page.mouse.down()
        self.page.mouse.move(*self.point(last, below), steps=5)
        if release:
            self.page.mouse.up()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def focus_timeline(self) -> None:
        self.page.locator("#overlay").focus()

    def times(self) -> list[tuple[float, float]]:
        """Return starts and ends in the table of corrections, seconds."""
        values = self.page.locator("#segments .moment").evaluate_all("e => e.map((x) => x.value)")
        seconds = list(map(parse_clock, values))
        return list(zip(seconds[::2], seconds[1::2], strict=True))

    def rows(self, room: str = "#proposal-rows") -> list[list[str]]:
        """Return the texts of the cells of a table."""
        found: list[list[str]] = self.page.locator(f"{room} tbody tr").evaluate_all(
            "rows => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
        )
        return found

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
        self.until_text("saved", "Saved")


def parse_clock(text: str) -> float:
    """Return the seconds of 1:47.0."""
    *larger, seconds = map(float, text.split(":"))
    for part in reversed(larger):
        seconds += 60 * part
    return seconds
