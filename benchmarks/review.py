"""Count the keys that a scripted review of proposals takes in Chromium, without a pointer."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode
from urllib.request import urlopen

import click
import numpy as np

from actspan import BoundaryScores, Proposals, Video
from actspan.core.folders import atomic_folder
from actspan.data.annotations.formats import write_annotations
from actspan.jobs.sinks import run_writer, write_info
from actspan.pipeline.outcomes import Outcome
from benchmarks.harness import benchmark, print_table
from benchmarks.serve import running_service
from benchmarks.viewer import chromium, open_page

SECONDS, EACH, FPS = 120.0, 10, 25  # of a video, proposals of a video, steps per second
LABELS = ("jump", "run", "throw")
SPEED = "4"  # of playback
SHARES = {"right": 0.5, "one edge wrong": 0.15, "both edges wrong": 0.05, "wrong": 0.3}
MOST = {"right": 2, "one edge wrong": 3, "both edges wrong": 3, "wrong": 2}  # keys


class Planned(NamedTuple):
    """Proposal, what is wrong with it, and the segment that a reviewer would mark."""

    kind: str
    start: float
    end: float
    truth: tuple[float, float]
    label: int


def plan(count: int, seed: int) -> Iterator[Planned]:
    """Yield the proposals of one video after another, in parts of their own."""
    rng = np.random.default_rng(seed)
    part = SECONDS / EACH
    for number in range(count):
        kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        start = number % EACH * part + rng.uniform(3, 5)
        end = start + rng.uniform(2.5, 4)
        off = rng.uniform(0.6, 0.95, 2) * rng.choice([-1, 1], 2)
        if kind in ("right", "wrong"):
            off[:] = 0
        elif kind == "one edge wrong":
            off[rng.integers(2)] = 0
        label = int(rng.integers(len(LABELS)))
        yield Planned(kind, start + off[0], end + off[1], (start, end), label)


def write_run(folder: Path, planned: list[Planned], seed: int) -> None:
    """Write a run of these proposals, in random order of score."""
    rng = np.random.default_rng(seed)
    videos = []
    with atomic_folder(folder / "run") as partial:
        with run_writer(partial) as add:
            for first in range(0, len(planned), EACH):
                own = planned[first : first + EACH]
                name = f"video_{first // EACH:03d}"
                videos.append(Video(name, SECONDS, "validation", np.empty((0, 2)), ()))
                score = np.sort(rng.uniform(0.05, 1, len(own)))[::-1]
                order = rng.permutation(len(own))
                start, end = (np.array([one[edge] for one in own])[order] for edge in (1, 2))
                found = Proposals(
                    start / SECONDS, end / SECONDS, score, score, score, unit="fraction"
                )
                scores = BoundaryScores(*np.zeros((3, int(SECONDS * FPS))))
                confidence = score.astype(np.float32)
                add(Outcome(name, SECONDS, scores, found, confidence, found.to_seconds(SECONDS)))
        write_info(partial, {"videos": len(videos)})
    labelled = [Video("labels", 9.0, "training", [[k, k + 1] for k in range(3)], LABELS)]
    (folder / "set").mkdir()
    write_annotations(folder / "set" / "annotations.json", [*videos, *labelled])


class Session:
    """Page on which proposals are reviewed, with a count of the keys."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.keys = 0

    def press(self, key: str) -> None:
        """Press a key, and count it."""
        self.page.keyboard.press(key)
        self.keys += 1

    def until(self, condition: str, value: Any) -> None:
        """Wait until an expression is true."""
        for _ in range(6000):
            if self.page.evaluate(condition, value):
                return
            self.page.wait_for_timeout(5)
        raise click.ClickException(f"never: {condition} {value}")

    def until_decided(self, number: int) -> None:
        """Wait until this many proposals are decided."""
        text = "document.getElementById('review-count').textContent"
        self.until(f"n => {text}.startsWith(`${{n}} of `)", number)

    def span(self) -> list[float]:
        """Return start and end of the proposal that is shown, seconds."""
        text = self.page.locator("#review-span").text_content()
        pairs = (one.split(":") for one in text.split(" – "))
        return [60 * float(minutes) + float(seconds) for minutes, seconds in pairs]

    def mark(self, edge: int, seconds: float) -> None:
        """Press I or O when the playing video reaches a time."""
        now = "Number(document.getElementById('overlay').ariaValueNow)"
        self.until(f"s => {now} >= s - 0.05 && {now} < s + 0.3", seconds)
        self.press("io"[edge])

    def step(self, edge: int, seconds: float) -> None:
        """Move an edge one step towards a time, if it is more than half a step away."""
        off = seconds - self.span()[edge]
        if abs(off) > 0.5 / FPS:
            self.press(("[]", "{}")[edge][int(off > 0)])

    def review(self, one: Planned) -> None:
        """Reject what is wrong, or mark the wrong edges and accept with the label."""
        wrong = [edge for edge in (0, 1) if one[1 + edge] != one.truth[edge]]
        if one.kind == "wrong":
            self.press("x")
            return
        for edge in wrong:
            self.mark(edge, one.truth[edge])
        if len(wrong) == 1:
            self.step(wrong[0], one.truth[wrong[0]])
        self.press(str(one.label + 1))


def ask(url: str, path: str, **query: Any) -> Any:
    with urlopen(f"{url.rstrip('/')}/api/browse/{path}?{urlencode(query)}") as answer:
        return json.load(answer)


def run_session(browser: Any, url: str, planned: list[Planned]) -> dict[str, list[int]]:
    """Review all proposals, best first; return the keys of each by its kind."""
    at = {(round(one.start, 3), index // EACH): one for index, one in enumerate(planned)}
    items = ask(url, "review", top=1000, limit=500)["items"]
    page = open_page(browser, f"{url.rstrip('/')}/#id={items[0]['video']}")
    page.locator("#rate").select_option(SPEED)
    session = Session(page)
    session.press("r")
    keys = defaultdict(list)
    for number, item in enumerate(items):
        session.until_decided(number)
        session.until("id => document.getElementById(id).checkVisibility()", "review-item")
        one = at[round(item["start"], 3), int(item["video"].removeprefix("video_"))]
        before = session.keys
        session.review(one)
        keys[one.kind].append(session.keys - before)
    session.until_decided(len(items))
    session.until("t => document.getElementById('review-saved').textContent === t", "Saved")
    page.close()
    return keys


def distances(url: str, planned: list[Planned]) -> list[float]:
    """Return how far the edges in the corrections are from those that were to be marked, seconds.

    Raises ClickException if a segment is missing, is not wanted, or has another label.
    """
    found = []
    for first in range(0, len(planned), EACH):
        wanted = [one for one in planned[first : first + EACH] if one.kind != "wrong"]
        stored = ask(url, "corrections", id=f"video_{first // EACH:03d}")["segments"] or []
        if [one["label"] for one in stored] != [LABELS[one.label] for one in wanted]:
            raise click.ClickException(f"the corrections of video {first // EACH} differ")
        for one, segment in zip(wanted, stored, strict=True):
            found += [abs(segment["start"] - one.truth[0]), abs(segment["end"] - one.truth[1])]
    return found


@benchmark(seed=True)
@click.option("--proposals", default=100, help="Number of proposals to review.")
def main(folder: Path, proposals: int, seed: int) -> None:
    """Review proposals by keyboard only, and count the keys.

    The script accepts right proposals with a label, marks wrong edges while the video plays, and
    rejects the others. It fails if the stored corrections are not what it marked.

    \b
    Example:
      python -m benchmarks.review
    """
    planned = list(plan(proposals, seed))
    write_run(folder, planned, seed)
    served = ("--results", folder / "run", "--ground-truth", folder / "set")
    service = running_service("--data", folder / "data", *served)
    with service as (url, _), chromium() as browser:
        keys = run_session(browser, url, planned)
        off = distances(url, planned)
    lines = [
        (kind, str(len(own)), str(sum(own)), str(max(own)), f"<= {MOST[kind]}")
        for kind, own in sorted(keys.items())
    ]
    print_table(("proposals", "number", "keys", "most keys for one", "target"), lines)
    total = sum(map(sum, keys.values()))
    click.echo(f"{total} keys for {proposals} proposals, and 1 to start; no pointer")
    click.echo(
        f"edges are {np.mean(off):.3f} s from the right time on average, {max(off):.2f} s at most"
    )


if __name__ == "__main__":
    main()
