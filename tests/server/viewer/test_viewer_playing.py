"""Videos in a real browser: folders without a run, files that end later than expected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.server.live import Live, serving
from tests.server.viewer.visits import CORRECTIONS, FILMSTRIP, RULER, Visit

pytest.importorskip("av", reason="needs the extra 'video'")

from tests.streams.example_videos import write_video

SECONDS = 6.0


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("films")
    (folder / "videos").mkdir()
    times = np.arange(0, SECONDS, 0.04)
    for name in ("first", "second"):
        write_video(folder / "videos" / f"{name}.mp4", times, codec="libx264", size=(120, 160))
    (folder / "videos" / "broken.mp4").write_bytes(bytes(2000))
    with serving(folder / "data", videos=folder / "videos") as live:
        yield live


@pytest.fixture
def film(browser: Any, films: Live) -> Iterator[Visit]:
    visit = Visit(browser, films).open("first")
    yield visit
    visit.close()


def test_a_folder_of_videos_is_annotated_over_their_whole_length(film: Visit) -> None:
    film.until("document.getElementById('overlay').ariaValueMax >= 5.9")
    assert film.text("#length") == f"0:0{SECONDS:.1f}"
    film.page.mouse.click(*film.point(940, RULER))
    assert film.seconds() > 5
    film.drag(CORRECTIONS - 24 + FILMSTRIP, 800, 900)  # there is no ground truth above
    ((start, end),) = film.times()
    assert 4 < start < end
    film.until_saved()
    film.page.get_by_role("button", name="Discard").click()
    film.until_saved()


def test_playback_passes_half_a_second(film: Visit) -> None:
    film.focus_timeline()
    film.press("Space")
    film.until("document.getElementById('overlay').ariaValueNow > 0.8")
    film.press("Space")
    assert film.page.get_by_role("button", name="Play", exact=True).is_visible()


def test_a_click_on_the_picture_plays_and_space_pauses(film: Visit) -> None:
    film.page.locator("#player").click()
    film.until("document.getElementById('play').ariaLabel === 'Pause'")
    film.press("Space")
    film.until("document.getElementById('play').ariaLabel === 'Play'")


def test_the_picture_follows_a_dragged_edge(film: Visit) -> None:
    film.until("document.getElementById('overlay').ariaValueMax >= 5.9")
    below = CORRECTIONS - 24 + FILMSTRIP
    film.drag(below, 200, 500)
    film.drag(below, 500, 700, release=False)
    now = "document.getElementById('player').currentTime"
    film.until(f"Math.abs({now} - document.getElementById('overlay').ariaValueNow) < 0.1")
    assert film.page.evaluate(now) == pytest.approx(film.times()[0][1], abs=0.06)
    film.page.mouse.up()
    film.until_saved()
    film.page.get_by_role("button", name="Discard").click()
    film.until_saved()


def test_a_file_that_cannot_be_played_is_reported(browser: Any, films: Live) -> None:
    visit = Visit(browser, films).open("broken")
    visit.until("document.getElementById('messages').textContent.includes('cannot play')")
    visit.page.locator("#rows a", has_text="first").click()
    visit.until("document.getElementById('messages').textContent === ''")
    visit.until("document.getElementById('overlay').ariaValueMax >= 5.9")
    visit.close("the server responded with a status of")
