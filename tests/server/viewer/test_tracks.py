"""The timeline in a real browser: pictures and sound, frames, selections, labels, long recordings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.live import Live, serving
from tests.server.viewer.visits import CORRECTIONS, FILMSTRIP, RULER, Visit

pytest.importorskip("av", reason="needs the extra 'video'")

from tests.streams.example_videos import level, steady, write_video

SECONDS, LEFT, RIGHT = 8.0, 84, 1272  # of the film, and of the tracks in a window of 1280
WAVEFORM = 40 + 6  # pixels
MARKS = CORRECTIONS - 24 + FILMSTRIP + WAVEFORM  # there is no ground truth above

GREY = """([x, y]) => {
  const r = devicePixelRatio, one = new OffscreenCanvas(1, 1).getContext("2d");
  one.drawImage(document.getElementById("base"), x * r, y * r, 1, 1, 0, 0, 1, 1);
  return one.getImageData(0, 0, 1, 1).data[0];
}"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("films")
    (folder / "videos").mkdir()
    for name in ("first", "second"):
        path = folder / "videos" / f"{name}.mp4"
        write_video(path, steady(SECONDS), codec="libx264", size=(120, 160), audio=True)
    (folder / "videos" / "broken.mp4").write_bytes(bytes(2000))
    with serving(folder / "data", videos=folder / "videos") as live:
        yield live


@pytest.fixture
def film(browser: Any, films: Live) -> Iterator[Visit]:
    visit = Visit(browser, films).open("first", "Corrections")
    page = visit.page
    page.evaluate("document.getElementById('side').hidden = true")
    visit.until("document.getElementById('overlay').ariaValueMax >= 7.9")
    visit.until("document.getElementById('overlay').clientWidth > 1200")
    visit.until("document.getElementById('tracks').scrollHeight >= 180")  # with the sound
    yield visit
    visit.close()


def place(seconds: float) -> float:
    """Pixels from the left, while the whole film is visible."""
    return LEFT + seconds / SECONDS * (RIGHT - LEFT)


@pytest.mark.parametrize("seconds", [1.3, 6.4])
def test_the_filmstrip_shows_the_frames_of_its_range(film: Visit, seconds: float) -> None:
    shown = [place(seconds), 22 + 6 + 30]
    film.until(f"p => Math.abs(({GREY})(p) - {level(round(seconds * 25))}) < 40", shown)


def test_a_file_that_cannot_be_read_has_no_filmstrip(browser: Any, films: Live) -> None:
    visit = Visit(browser, films).open("broken", "Corrections")
    visit.until(f"p => ({GREY})(p) === 0", [500, 22 + 6 + 38])  # nothing below the corrections
    visit.close("the server responded with a status of")
