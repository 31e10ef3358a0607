"""How soon the viewer answers: its page, a scrub and a zoom, in a headless Chromium on loopback."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from actspan import BoundaryScores, Proposals, Video
from actspan.cli.demo import run_demo
from actspan.core.files import atomic_folder
from actspan.data.annotations.saving import write_annotations
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.run import RunWriter, write_info
from actspan.pipeline.outcomes import Outcome
from benchmarks.measure import print_machine, print_table
from benchmarks.recordings import make_bundle, make_recording

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PROPOSALS, CELLS = 100, 100  # a video of the large run

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


def make_large_run(folder: Path, videos: int, seed: int) -> Path:
    """Write a random run and its ground truth; 5,000 videos give a result of 39 MB."""
    rng = np.random.default_rng(seed)
    annotated = []
    with atomic_folder(folder / "run") as partial:
        with RunWriter(partial) as writer:
            for number in range(videos):
                video, outcome = _random_video(f"video_{number:05d}", rng)
                annotated.append(video)
                writer.add(outcome)
        write_info(partial, {"videos": videos})
    (folder / "set").mkdir()
    write_annotations(folder / "set" / "annotations.json", annotated)
    return folder


def _random_video(name: str, rng: np.random.Generator) -> tuple[Video, Outcome]:
    seconds = float(rng.uniform(20, 200))
    cuts = np.sort(rng.uniform(0, seconds, 4)).reshape(-1, 2)
    edges = np.sort(rng.random((2, PROPOSALS)), axis=0)
    score = np.sort(rng.random(PROPOSALS))[::-1]
    found = Proposals(edges[0], edges[1], score, score, score)
    scores = BoundaryScores(*rng.random((3, CELLS)))
    confidence = score.astype(np.float32)
    outcome = Outcome(name, seconds, scores, found, confidence, found.scaled(seconds))
    return Video(name, seconds, "validation", cuts, ("run", "jump")), outcome


@contextmanager
def served(data: Path, *options: object) -> Iterator[str]:
    """Run `actspan serve` in a new process; yield its address."""
    line = [sys.executable, "-m", "actspan", "serve", "--port", "0", "--data", data, *options]
    with subprocess.Popen([*map(str, line)], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = re.search(r"http://\S+", said)
            if found is None:
                raise click.ClickException(f"actspan serve did not start: {said}")
            yield found[0]
        finally:
            process.terminate()


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


def usable_after(browser: Any, url: str) -> float:
    """Return milliseconds from the start of a visit, without caches, to a video on its timeline."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    after: float = page.evaluate("performance.getEntriesByName('usable')[0].startTime")
    page.close()
    return after


def waits(page: Any, kind: str, moves: int) -> list[float]:
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


def _row(what: str, found: list[float], target: str) -> tuple[str, ...]:
    ranked = sorted(found)
    middle, late = statistics.median(ranked), ranked[int(0.95 * (len(ranked) - 1))]
    return what, f"{middle:.0f} ms", f"{late:.0f} ms", f"{ranked[-1]:.0f} ms", target


def measure(folder: Path, videos: int, hours: float, rounds: int, seed: int) -> list[Any]:
    """Return the rows of the table."""
    large = make_large_run(folder, videos, seed)
    bundle = make_bundle(folder / "bundle", seed)
    dataset = make_recording(folder / "recording", hours, seed)
    propose(ProposeRequest(model=bundle.path, dataset=dataset, out=folder / "long"))
    with chromium() as browser:
        with served(
            folder / "a", "--results", large / "run", "--ground-truth", large / "set"
        ) as url:
            first = [usable_after(browser, url)]
            again = [usable_after(browser, url) for _ in range(rounds)]
        with served(folder / "b", "--results", folder / "long") as url:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(url)
            page.wait_for_selector("body[data-ready]")
            page.wait_for_timeout(500)
            whole = waits(page, "pointermove", 100)
            zooms = waits(page, "wheel", 100)
            page.locator("#zoom-in").click(click_count=5)
            near = waits(page, "pointermove", 100)
    return [
        _row(f"page usable, {videos:,} videos, just started", first, "<= 1000 ms"),
        _row(f"page usable, {videos:,} videos", again, "<= 1000 ms"),
        _row(f"scrub, {hours:g} h, all in view", whole, "<= 50 ms"),
        _row(f"scrub, {hours:g} h, zoomed in", near, "<= 50 ms"),
        _row(f"zoom, {hours:g} h", zooms, "<= 50 ms"),
    ]


def take_screenshots(out: Path, folder: Path, videos: Path | None, runs: tuple[Path, ...]) -> None:
    """Take pictures of the made-up demo, or of given runs with their videos."""
    options: list[object] = [option for run in runs for option in ("--results", run)]
    if videos is not None:
        options += ["--videos", videos, "--ground-truth", videos]
    if not runs:
        options = ["--results", run_demo(folder / "demo").run]
    out.mkdir(parents=True, exist_ok=True)
    name = "viewer" if not runs else "viewer-video"
    with chromium() as browser, served(folder / "data", *options) as url:
        for scheme in ("light", "dark"):
            for width, height in ((1280, 900), (390, 844)):
                path = out / f"{name}-{scheme}-{width}.png"
                _picture(browser, url, scheme, width, height, path)
                click.echo(f"picture  {path}")


def _picture(browser: Any, url: str, scheme: str, width: int, height: int, path: Path) -> None:
    phone = width < 500
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        has_touch=phone,
        is_mobile=phone,
    )
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    page.locator("#rows a").nth(2).evaluate("(link) => link.click()")
    page.wait_for_timeout(700)
    box = page.locator("#overlay").bounding_box()
    page.mouse.click(box["x"] + 0.42 * box["width"], box["y"] + 8)
    page.wait_for_timeout(1500)  # for the list's figures
    page.screenshot(path=path)
    page.close()


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--videos", default=5000, help="Of the large run.")
@click.option("--hours", default=2.0, help="Of the recording that is scrubbed.")
@click.option("--rounds", default=5, help="Times that the page is opened again.")
@click.option("--seed", default=0, help="Of the made-up data.")
@click.option("--screenshots", type=click.Path(path_type=Path), help="Take pictures into here.")
@click.option(
    "--results", multiple=True, type=click.Path(path_type=Path), help="Runs to take pictures of."
)
@click.option("--media", type=click.Path(path_type=Path), help="Dataset with their videos.")
def main(
    videos: int,
    hours: float,
    rounds: int,
    seed: int,
    screenshots: Path | None,
    results: tuple[Path, ...],
    media: Path | None,
) -> None:
    """Measure the viewer on made-up runs, or take its pictures.

    Waits are from the pointer's event to the frame that shows it.

    \b
    Example:
      python -m benchmarks.viewer
      python -m benchmarks.viewer --screenshots docs/images
    """
    with tempfile.TemporaryDirectory() as folder:
        if screenshots is not None:
            take_screenshots(screenshots, Path(folder), media, results)
            return
        print_machine()
        rows = measure(Path(folder), videos, hours, rounds, seed)
    print_table(("viewer", "median", "95 %", "largest", "target"), rows)


if __name__ == "__main__":
    main()
