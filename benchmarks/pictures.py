"""Take the pictures of the viewer and the workspace, which the documentation shows, in Chromium."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import click

from actspan.data.dataset import Dataset
from actspan.report.demo_run import run_demo
from benchmarks.film import Act, draw_film
from benchmarks.harness import benchmark, path_option, run_new
from benchmarks.review import Session
from benchmarks.serve import running_service
from benchmarks.viewer import DESKTOP, chromium, open_page

SIZE = (900, 640)  # of the moving picture
SHOWN = 2  # video of the demo in the still pictures
FILM = "exercise"
ACTS = (
    *(Act(2, 5, "walk"), Act(7, 9.4, "wave"), Act(11.4, 14.4, "jump")),
    *(Act(16.5, 20, "lift"), Act(22, 25, "throw")),
)
SLOW = 0.1  # speed of playback while frames are taken; the moving picture has the usual speed
STEP = 130  # milliseconds of a frame
LARGEST = 1.5e6  # bytes of the moving picture

# the pointer and the pressed key, which screenshots leave out; slow playback
PREPARE = """() => {
  const mark = (css) => document.body.appendChild(
    Object.assign(document.createElement("div"), { popover: "manual" }),
  ).style.cssText = `position: fixed; margin: 0; border: 0; pointer-events: none; ${css}`;
  mark("inset: 270px auto auto 16px; padding: 4px 12px; border-radius: 8px; color: white;"
    + "background: #14202c; font: 600 17px system-ui");
  mark("inset: 0 auto auto 0; padding: 0; background: none; width: 22px; height: 22px");
  const [key, arrow] = [...document.body.children].slice(-2);
  arrow.innerHTML = `<svg viewBox="0 0 22 22" width="22" height="22">
    <path d="M2 1v17l4.6-4 3 7 3-1.3-3-6.8H16z" fill="black" stroke="white"
      stroke-width="1.5"/></svg>`;
  addEventListener("mousemove", ({ clientX, clientY }) => {
    arrow.style.translate = `${clientX - 2}px ${clientY - 1}px`;
  }, true);
  const player = document.getElementById("player");
  player.playbackRate = SLOW;
  Object.defineProperty(player, "playbackRate", { set() {} }); // the page would set its own
  window.showKey = (text) => { key.textContent = text; key.togglePopover(Boolean(text)); };
  window.showArrow = (isShown) => arrow.togglePopover(isShown);
}"""


class Recorder:
    """Page whose frames become a moving picture."""

    def __init__(self, page: Any) -> None:
        from PIL import Image

        self.page = page
        self.frames: list[Any] = []
        self.times: list[int] = []  # milliseconds of each frame
        self._open = Image.open
        page.evaluate(PREPARE.replace("SLOW", str(SLOW)))

    def take(self, milliseconds: int = STEP) -> None:
        """Add what the page shows as one frame."""
        shot = self._open(BytesIO(self.page.screenshot()))
        self.frames.append(shot.convert("RGB"))
        self.times.append(milliseconds)

    def press(self, key: str, what: str) -> None:
        """Show a key with what it does, and press it."""
        self.page.evaluate("text => showKey(text)", f"{key.upper()}  {what}")
        self.take(700)
        self.page.evaluate("showKey(''); document.activeElement.blur()")  # no outline of the focus
        self.page.keyboard.press(key)
        self.page.wait_for_timeout(700)  # until the pictures of the new range are there
        self.take(500)

    def decide(self) -> None:
        """Accept the reviewed proposal if most of it is an action, or else reject it."""
        start, end = Session(self.page).span()
        common = (min(end, act.end) - max(start, act.start) for act in ACTS)
        self.press(*(("a", "accept") if max(common) > (end - start) / 2 else ("x", "reject")))

    def play(self, start: float, end: float, speed: float = 1.0) -> None:
        """Take frames while the video plays, at even distances in the video."""
        player = self.page.locator("#player")
        player.evaluate("(e, start) => { e.currentTime = start; e.play(); }", start)
        following = start
        while following < end:
            if player.evaluate("e => e.currentTime") >= following:
                self.take()
                following += STEP / 1000 * speed
            self.page.wait_for_timeout(10)

    def play_reviewed(self) -> None:
        """Play the first two seconds of the reviewed proposal."""
        start, _ = Session(self.page).span()
        self.play(max(start - 0.3, 0), start + 2)

    def drag_start(self, by: float) -> None:
        """Drag the start of the reviewed segment by some seconds, with a frame for each step."""
        page = self.page
        page.wait_for_timeout(600)  # the address follows
        seconds = Session(page).span()[0]
        address = parse_qs(urlsplit(page.url).fragment)
        first, last = (float(address[name][0]) for name in ("from", "to"))
        box = page.locator("#overlay").bounding_box()
        left, right = box["x"] + 84, box["x"] + box["width"] - 8  # beside the names of the tracks
        x = left + (seconds - first) / (last - first) * (right - left)
        for y in range(round(box["y"]) + 80, round(box["y"] + box["height"]), 4):
            page.mouse.move(x, y)
            page.wait_for_timeout(40)
            if page.locator("#overlay").evaluate("e => e.style.cursor") == "ew-resize":
                break
        else:
            raise click.ClickException(f"no edge at {seconds} s can be dragged")
        y += 8
        page.evaluate("showArrow(true)")
        for share in (3, 2, 1, 0):  # the pointer comes
            page.mouse.move(x + 60 * share, y + 40 * share)
            self.take()
        page.mouse.down()
        for step in range(1, 7):
            page.mouse.move(x + by / (last - first) * (right - left) * step / 6, y)
            page.wait_for_timeout(250)  # until the frame at the edge is there
            self.take()
        page.mouse.up()
        self.take(700)
        page.evaluate("showArrow(false)")

    def save(self, path: Path) -> None:
        """Write the moving picture as WebP. Raises ClickException if it is too large."""
        first, *others = self.frames
        first.save(
            path,
            save_all=True,
            append_images=others,
            duration=self.times,
            loop=0,
            quality=80,
            method=6,
            minimize_size=False,
            allow_mixed=True,
        )
        if path.stat().st_size > LARGEST:
            raise click.ClickException(f"{path} has {path.stat().st_size:,} bytes")


def record_workspace(path: Path, folder: Path) -> None:
    """Record a review of the label-free proposals of a film: accept, move an edge, reject."""
    films, run = folder / "films", folder / "label-free"
    draw_film(films / f"{FILM}.mp4", 27, ACTS)
    run_new("actspan", "propose", films, "--out", run)
    served = ("--data", folder / "data", "--results", run, "--videos", films)
    with chromium() as browser, running_service(*served) as (url, _):
        page = open_page(browser, f"{url.rstrip('/')}/#id={FILM}", SIZE, color_scheme="light")
        page.wait_for_timeout(3000)  # until all pictures of the video are there
        recorder = Recorder(page)
        recorder.play(2.2, 5.0, speed=2)
        recorder.press("r", "review")
        recorder.play_reviewed()
        recorder.decide()
        recorder.play_reviewed()
        page.keyboard.press("Space")
        recorder.drag_start(by=0.35)
        for _ in range(3):
            recorder.decide()
        page.keyboard.press("Escape")
        page.keyboard.press("0")
        page.wait_for_timeout(1000)
        recorder.take(1800)
        page.close()
    recorder.save(path)


def take_stills(out: Path, folder: Path) -> None:
    """Take pictures of a video of the demo, light and dark."""
    demo = run_demo(folder / "demo")
    video = [one for one in Dataset.load(demo.dataset) if one.subset == "validation"][SHOWN]
    acts = [
        Act(*span, label) for span, label in zip(video.segments, video.labels or (), strict=True)
    ]
    draw_film(folder / "videos" / f"{video.id}.mp4", video.duration, acts)
    options = ("--results", demo.run, "--videos", folder / "videos", "--data", folder / "stored")
    with chromium() as browser, running_service(*options) as (url, _):
        for scheme in ("light", "dark"):
            page = open_page(browser, url, DESKTOP, color_scheme=scheme)
            page.locator("#cards a").nth(SHOWN).click()
            page.wait_for_timeout(700)
            box = page.locator("#overlay").bounding_box()
            page.mouse.click(box["x"] + 0.42 * box["width"], box["y"] + 8)
            page.mouse.move(0, 0)
            page.wait_for_timeout(3000)  # for the pictures of the video and the list's figures
            page.screenshot(path=out / f"viewer-{scheme}-{DESKTOP[0]}.png")
            page.close()


@benchmark()
@path_option("--out", default="docs/images", help="Folder of the pictures.")
def main(folder: Path, out: Path) -> None:
    """Make workspace.webp and the still pictures of the viewer.

    \b
    Example:
      python -m benchmarks.pictures
    """
    record_workspace(out / "workspace.webp", folder)
    take_stills(out, folder)


if __name__ == "__main__":
    main()
