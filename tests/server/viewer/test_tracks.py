"""Test the timeline in a real browser: pictures, frames, selections, labels, long films."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actspan import Video
from tests.report.runs import write_truth
from tests.server.live import Live, serving
from tests.server.viewer.visits import CORRECTIONS, FILMSTRIP, RULER, Visit

pytest.importorskip("av", reason="needs the extra 'video'")

from tests.streams.example_videos import level, steady, write_video

SECONDS, LEFT, RIGHT = 8.0, 84, 1272  # of the film, and of the tracks in a window of 1280
UNEVEN = [0.0, 0.5, 1.3, 2.0, 3.7, 4.0]  # seconds of frames
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
    write_video(folder / "videos" / "uneven.mp4", UNEVEN, codec="libx264", size=(120, 160))
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
    """Return pixels from the left, while the whole film is visible."""
    return LEFT + seconds / SECONDS * (RIGHT - LEFT)


def test_the_filmstrip_shows_the_frames_of_its_range(film: Visit) -> None:
    for seconds in (1.3, 6.4):
        shown = [place(seconds), 22 + 6 + 30]
        film.until(f"p => Math.abs(({GREY})(p) - {level(round(seconds * 25))}) < 40", shown)


def test_a_file_that_cannot_be_read_has_no_filmstrip(browser: Any, films: Live) -> None:
    visit = Visit(browser, films).open("broken", "Corrections")
    visit.until(f"p => ({GREY})(p) === 0", [500, 22 + 6 + 38])  # nothing below the corrections
    visit.close("the server responded with a status of")


def test_the_frame_under_the_pointer_is_shown(film: Visit) -> None:
    film.page.mouse.move(*film.point(place(4.01), 60))
    film.until_text("preview-caption", "0:04.0 · frame 100")
    shown = "document.getElementById('preview-frame')"
    film.until(f"{shown}.dataset.frame === '100'")
    film.page.mouse.move(*film.point(place(4.01), MARKS))
    film.until("document.getElementById('preview').hidden")


def test_a_dragged_edge_snaps_to_frames_and_shows_its_frame(film: Visit) -> None:
    film.drag(MARKS, place(2.007), place(3.011))
    assert film.times() == [(2.0, 3.0)]
    film.drag(MARKS, place(3.0) - 1, place(5.03), release=False)
    assert film.text("#tip") == "end 0:05.04 · +2.04 s"
    film.until_text("preview-caption", "0:05.0 · frame 126")
    film.page.mouse.up()
    assert film.times() == [(2.0, 5.04)]
    film.page.mouse.click(*film.point(place(6.5), RULER))  # the position, off the frames
    film.focus_timeline()
    film.press(",")
    position = film.seconds()
    film.drag(MARKS, place(5.04) - 1, place(position) + 4, release=False)
    assert film.text("#tip").endswith("· position")
    film.page.keyboard.down("Alt")
    film.page.mouse.move(*film.point(place(5.503), MARKS))
    film.page.mouse.up()
    film.page.keyboard.up("Alt")
    ((_, end),) = film.times()
    assert abs(end / 0.04 - round(end / 0.04)) > 0.1
    discard(film)


def test_steps_of_a_frame_follow_an_uneven_rate(browser: Any, films: Live) -> None:
    visit = Visit(browser, films).open("uneven", "Corrections")
    assert any("/frame-times?" in url for url in visit.requests)
    visit.focus_timeline()
    visit.press(".", ".", ".")
    assert visit.seconds() == 2.0
    visit.press(",", ",")
    assert visit.seconds() == 0.5
    visit.close()


def test_segments_are_marked_while_the_video_plays(film: Visit) -> None:
    film.focus_timeline()
    film.press("Space")
    reach(film, 0.5)
    film.press("i")
    reach(film, 1.0)
    film.press("o")
    film.page.keyboard.down("m")
    reach(film, film.seconds() + 0.6)
    film.page.keyboard.up("m")
    film.press("Space")
    first, second = film.times()
    assert 0.4 < first[0] < first[1] <= second[0] < second[1]
    assert second[1] - second[0] > 0.4
    discard(film)


def test_several_segments_are_labelled_split_joined_and_moved_together(film: Visit) -> None:
    for start in (1.0, 3.0):
        film.drag(MARKS, place(start), place(start + 1))
    film.focus_timeline()
    film.press("l")
    film.page.keyboard.type("jump")
    film.press("Enter", "Control+a")
    assert film.text("#selection-count") == "2 selected"
    film.press("1")
    assert labels(film) == ["jump", "jump"]
    film.drag(MARKS, place(1.5), place(2.02))
    assert film.times() == [(1.52, 2.52), (3.52, 4.52)]
    film.press("Control+ArrowRight", "Control+ArrowLeft", "Control+ArrowLeft", "Control+ArrowRight")
    assert film.times() == [(1.52, 2.52), (3.52, 4.52)]
    film.press("Escape", "Home", ">", ">", "Control+ArrowRight")
    assert film.times() == [(1.52, 2.52), (3.56, 4.56)]
    film.press("<", "j")
    assert film.times() == [(1.52, 4.56)]
    film.page.mouse.click(*film.point(place(3.0), RULER))
    film.press("s")
    ((first, middle), (again, last)) = film.times()
    assert (first, last) == (1.52, 4.56)
    assert middle == again == pytest.approx(3.0, abs=0.05)
    film.page.keyboard.down("Shift")
    film.page.mouse.click(*film.point(place(2.0), MARKS))  # no longer selected
    film.page.keyboard.up("Shift")
    film.press("Delete")
    assert film.times() == [(first, middle)]
    film.press("Control+z", "Control+a", "Control+c", "n")
    film.until("document.getElementById('name').textContent === 'second'")
    film.press("Control+v")
    assert film.times() == [(0.0, middle - first), (middle - first, 3.04)]
    assert labels(film) == ["jump", "jump"]
    discard(film)
    film.press("p")
    film.until("document.getElementById('name').textContent === 'first'")
    discard(film)


def test_many_short_segments_are_a_density_and_open_on_a_click(
    browser: Any, tmp_path: Path
) -> None:
    starts = [100.0 + 20 * k for k in range(60)] + [6000.0 + 10 * k for k in range(60)]
    segments = [[start, start + 4] for start in starts]
    video = Video("long", 7200.0, "validation", segments, ("jump",) * len(segments))
    write_truth(tmp_path / "set", [video])
    with serving(tmp_path / "data", ground_truth=tmp_path / "set") as live:
        visit = Visit(browser, live).open("long", "Corrections")
        visit.page.mouse.move(*visit.point(LEFT + 6100 / 7200 * 924, 40))
        assert visit.text("#tip") == "60 segments · 1:40:00.0 – 1:49:54.0 · click to zoom in"
        visit.page.mouse.click(*visit.point(LEFT + 6100 / 7200 * 924, 40))
        visit.page.mouse.move(*visit.point(LEFT + 300, 30))
        visit.page.mouse.click(*visit.point(LEFT + 924 / 2, RULER))
        assert visit.seconds() == pytest.approx(6297, abs=20)  # the middle of the cluster
        visit.close()


def reach(film: Visit, seconds: float) -> None:
    film.until("t => document.getElementById('overlay').ariaValueNow >= t", seconds)


def labels(film: Visit) -> list[str]:
    found: list[str] = film.page.locator("#segments .label").evaluate_all(
        "e => e.map((x) => x.value)"
    )
    return found


def discard(film: Visit) -> None:
    film.page.get_by_role("button", name="Discard").click()
    film.until_saved()
