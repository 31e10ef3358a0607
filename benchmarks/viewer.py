"""Measure how soon the viewer shows its page, a scrub and a zoom, in a headless Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from actspan import BoundaryScores, Proposals, Video
from actspan.core.folders import atomic_folder
from actspan.data.annotations.formats import write_annotations
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.sinks import run_writer, write_info
from actspan.pipeline.outcomes import Outcome
from benchmarks.data import make_recording, make_window_bundle
from benchmarks.harness import benchmark, print_table
from benchmarks.serve import running_service

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PROPOSALS, CELLS = 100, 100  # per video of the large run
DESKTOP = (1280, 800)

# from a pointer's event to the frame that shows what it did: a message posted in an animation
# frame comes after that frame was painted
WATCH = """(kind) => {
  window.waits = [];
  const canvas = document.getElementById("overlay");
  canvas.addEventListener(kind, (event) => {
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => window.waits.push(performance.now() - event.timeStamp);
      port2.postMessage(0);
    });
  }, { capture: true });
}"""


def make_large_run(folder: Path, videos: int, seed: int) -> None:
    """Write a random run and its ground truth; 5,000 videos give a result of 39 MB."""
    rng = np.random.default_rng(seed)
    annotated = []
    with atomic_folder(folder / "run") as partial:
        with run_writer(partial) as add:
            for number in range(videos):
                name, seconds = f"video_{number:05d}", float(rng.uniform(20, 200))
                cuts = np.sort(rng.uniform(0, seconds, 4)).reshape(-1, 2)
                annotated.append(Video(name, seconds, "validation", cuts, ("run", "jump")))
                edges = np.sort(rng.random((2, PROPOSALS)), axis=0)
                score = np.sort(rng.random(PROPOSALS))[::-1]
                found = Proposals(edges[0], edges[1], score, score, score, unit="fraction")
                scores = BoundaryScores(*rng.random((3, CELLS)))
                confidence = score.astype(np.float32)
                result = found.to_seconds(seconds)
                add(Outcome(name, seconds, scores, found, confidence, result))
        write_info(partial, {"videos": videos})
    (folder / "set").mkdir()
    write_annotations(folder / "set" / "annotations.json", annotated)


@contextmanager
def chromium() -> Iterator[Any]:
    """Run a headless browser."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        raise click.ClickException("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def open_page(browser: Any, url: str, size: tuple[int, int] = DESKTOP, **options: Any) -> Any:
    """Return a new page, once it shows its videos."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, **options)
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    return page


def usable_after(browser: Any, url: str) -> float:
    """Return milliseconds from the start of a visit, without caches, to the videos at home."""
    page = open_page(browser, url)
    after: float = page.evaluate("performance.getEntriesByName('usable')[0].startTime")
    page.close()
    return after


def waits(page: Any, kind: str, moves: int = 100) -> list[float]:
    """Return the milliseconds from each pointer event to its frame."""
    page.evaluate(WATCH, kind)
    box = page.locator("#overlay").bounding_box()
    x, y = box["x"] + 120, box["y"] + 8  # on the ruler
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(moves):
        if kind == "wheel":
            page.mouse.wheel(0, -60 if step % 40 < 20 else 60)
        else:
            page.mouse.move(x + (step * 37) % (box["width"] - 140), y)
        page.wait_for_timeout(25)
    page.mouse.up()
    found: list[float] = page.evaluate("window.waits")
    return found


def measure(
    folder: Path, videos: int, hours: float, rounds: int, seed: int
) -> dict[str, list[float]]:
    """Return the measured milliseconds by what was done."""
    make_large_run(folder, videos, seed)
    bundle = make_window_bundle(folder / "bundle", seed)
    dataset = make_recording(folder / "recording", hours, seed)
    propose(ProposeRequest(model=bundle.path, dataset=dataset, out=folder / "long"))
    large = ("--results", folder / "run", "--ground-truth", folder / "set")
    found = {}
    with chromium() as browser:
        with running_service("--data", folder / "a", *large) as (url, _):
            name = f"page usable, {videos:,} videos"
            found[f"{name}, just started"] = [usable_after(browser, url)]
            found[name] = [usable_after(browser, url) for _ in range(rounds)]
        with running_service("--data", folder / "b", "--results", folder / "long") as (url, _):
            page = open_page(browser, url)
            page.locator("#cards a").first.click()
            page.wait_for_selector("#video:not([hidden])")
            page.wait_for_timeout(500)
            found[f"scrub, {hours:g} h, all in view"] = waits(page, "pointermove")
            found[f"zoom, {hours:g} h"] = waits(page, "wheel")
            page.locator("#zoom-in").click(click_count=5)
            found[f"scrub, {hours:g} h, zoomed in"] = waits(page, "pointermove")
    return found


@benchmark(seed=True)
@click.option("--videos", default=5000, help="Videos of the large run.")
@click.option("--hours", default=2.0, help="Hours of the recording.")
@click.option("--rounds", default=5, help="Number of times the page is opened.")
def main(folder: Path, videos: int, hours: float, rounds: int, seed: int) -> None:
    """Measure the viewer on synthetic runs.

    Waits are from the pointer's event to the frame that shows it.

    \b
    Example:
      python -m benchmarks.viewer
    """
    lines = []
    for what, found in measure(folder, videos, hours, rounds, seed).items():
        late = sorted(found)[int(0.95 * (len(found) - 1))]
        figures = (f"{ms:.0f} ms" for ms in (np.median(found), late, max(found)))
        lines.append((what, *figures, "<= 1000 ms" if "usable" in what else "<= 50 ms"))
    print_table(("viewer", "median", "95 %", "largest", "target"), lines)


if __name__ == "__main__":
    main()
