"""Test the loop in a real browser: from videos to a second model, over a restart."""

from __future__ import annotations

import shutil
import signal
import socket
import time
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("torch", reason="needs the extra 'train'")

from actspan.data.synthetic_dataset import write_synthetic_dataset
from tests.server.live import Live, serving
from tests.server.services import process_of
from tests.server.viewer.test_home import DROP
from tests.server.viewer.visits import DESKTOP, PHONE, Visit
from tests.streams.example_videos import cut, steady, write_video

# Number of pixels of the timeline that have nearly the colour of a variable of the page.
PIXELS = """(name) => {
  const rgb = (fill) => { const c = new OffscreenCanvas(1, 1).getContext("2d"); c.fillStyle = fill;
    c.fillRect(0, 0, 1, 1); return c.getImageData(0, 0, 1, 1).data; };
  const probe = document.createElement("span"); document.body.append(probe);
  probe.style.color = `var(${name})`; const [r, g, b] = rgb(getComputedStyle(probe).color);
  probe.remove();
  const base = document.getElementById("base"), all = base.getContext("2d")
    .getImageData(0, 0, base.width, base.height).data;
  let count = 0;
  for (let i = 0; i < all.length; i += 4) {
    count += Math.hypot(all[i] - r, all[i + 1] - g, all[i + 2] - b) < 25;
  }
  return count; }"""
LINE, CHANGES, JOBS = "#work-line", "#changes", "#work-jobs"
CONTAINS = "([selector, text]) => document.querySelector(selector)?.textContent.includes(text)"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loop") / "videos"
    folder.mkdir()
    for number in range(4):
        write_video(folder / f"film{number}.mp4", steady(4.0))
    cut(write_video(folder / "broken.mp4", steady(2.0)), 0.3)
    return folder


@pytest.fixture
def live(videos: Path, tmp_path: Path) -> Iterator[Live]:
    with serving(tmp_path / "data", videos=videos, threads=2) as live:
        yield live


def wait(visit: Visit, selector: str, text: str) -> None:
    """Wait for a text that takes as long as a job."""
    for _ in range(8):
        for _ in range(400):
            if visit.page.evaluate(CONTAINS, [selector, text]):
                return
            visit.page.wait_for_timeout(25)
    pytest.fail(f"never in {selector}: {text}; it is {visit.text(selector)}")


def until_runs(visit: Visit, *names: str) -> None:
    """Wait until these runs are shown, which are added after their jobs are done."""
    shown = "[...document.querySelectorAll('#runs li')].map((one) => one.innerText)"
    visit.until(f"names => JSON.stringify({shown}) === JSON.stringify(names)", list(names))


def correct(visit: Visit, *names: str) -> None:
    """Take the three best proposals of videos as their segments."""
    for name in names:
        visit.page.goto(f"{visit.live.url}/#id={name}")
        visit.until_text("name", name)
        visit.tab("Corrections").focus_timeline()
        for _ in range(3):
            visit.press("]", "c")
        visit.until_saved()


def train(visit: Visit, name: str, epochs: int) -> None:
    """Start a small training by the dialog; leave the dialog open."""
    page = visit.page
    visit.focus_timeline()
    visit.press("w")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_text("Settings", exact=True).last.click()
    page.get_by_label("Preset").select_option("published")
    page.get_by_label("Epochs").fill(str(epochs))
    page.get_by_role("button", name="Train", exact=True).click()


def test_a_folder_of_videos_becomes_a_model_without_leaving_the_page(
    browser: Any, live: Live
) -> None:
    visit = Visit(browser, live).open("film0")
    page = visit.page
    wait(visit, LINE, "5 videos, no proposals yet.")
    page.get_by_role("button", name="Propose in all 5").click()
    wait(visit, LINE, "done: run label-free; 1 video skipped: broken")
    wait(visit, LINE, "then train a model")
    until_runs(visit, "label-free")
    assert visit.text("#name") == "film0"  # what was shown stays
    assert visit.rows()
    correct(visit, "film0", "film1", "film2")
    train(visit, "mine", 2)
    wait(visit, JOBS, "Training mine · done: run mine")
    assert page.locator(".losses figure").count() == 2
    assert "PEM, epoch 2: loss" in visit.text(JOBS)
    wait(visit, CHANGES, "On 3 corrected videos, learned from or not: ")
    assert "On 1 held-out video, which neither model learned from: " in visit.text(CHANGES)
    page.get_by_label("Propose in 5 videos with").select_option(label="mine")
    page.get_by_role("button", name="Propose", exact=True).click()
    wait(visit, JOBS, "Proposing with mine · done: run mine (2)")
    visit.press("Escape")
    until_runs(visit, "A label-free", "B mine", "C mine (2)")
    page.get_by_role("tab", name="Review").click()
    offered = page.locator("#review-run option").all_text_contents()
    assert offered == ["A label-free", "B mine", "C mine (2)"]
    pressed = page.locator("#runs button").evaluate_all("e => e.map((x) => x.ariaPressed)")
    assert pressed == ["false", "true", "true"]
    page.get_by_role("button", name="What changed").click()
    wait(visit, CHANGES, ": C − B is +0.0 points of AUC")  # the same model
    assert "videos are too few for an interval" in visit.text(CHANGES)
    page.get_by_role("button", name="Remove: Training mine").click()
    visit.until("document.querySelectorAll('#work-jobs li').length === 2")
    page.goto(f"{live.url}/#")
    page.reload()
    visit.until("document.querySelectorAll('#runs li').length === 3")
    visit.until("document.querySelectorAll('#cards .row-facts').length === 5")
    cut = "e => e.filter((x) => x.scrollWidth > x.clientWidth).map((x) => x.textContent)"
    assert page.locator("#cards .row-facts").evaluate_all(cut) == []
    visit.close("422")  # no picture of the damaged video


def test_the_page_follows_a_training_over_a_restart(
    browser: Any, videos: Path, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = ("film0", "film1")
    (tmp_path / "two").mkdir()
    for name in names:
        shutil.copy(videos / f"{name}.mp4", tmp_path / "two")
    words = ("--videos", tmp_path / "two", "--data", tmp_path / "data", "--port", port)
    with process_of(*words) as service:
        visit = Visit(browser, service.live).open("film0")
        for name in names:
            visit.page.goto(f"{service.live.url}/#id={name}")
            visit.until_text("name", name)
            visit.focus_timeline()
            visit.press("m")
            visit.until_saved()
        train(visit, "long", 6)
        wait(visit, JOBS, "TEM, epoch ")
        assert service.end(signal.SIGKILL) == -signal.SIGKILL
        wait(visit, "#messages", "The service does not answer.")
    with process_of(*words) as service:
        wait(visit, JOBS, "Training long · done: run long")
        assert "TEM, epoch 6: loss" in visit.text(JOBS)
        (job,) = service.live.ask("/api/work/jobs").json
        assert [one["epoch"] for one in job["status"]["losses"]["TEM"]] == [1, 2, 3, 4, 5, 6]
        visit.press("Escape")
        until_runs(visit, "long")
        assert "does not answer" not in visit.text("#messages")
        visit.close("ERR_CONNECTION", "Failed to load", "ERR_EMPTY_RESPONSE", "ERR_SOCKET")


def test_a_job_can_be_cancelled(browser: Any, live: Live) -> None:
    visit = Visit(browser, live).open("film0")
    page = visit.page
    visit.focus_timeline()
    visit.press("r")
    wait(visit, "#messages", "There is nothing to review")
    visit.press("w")
    assert page.get_by_role("button", name="Train", exact=True).is_disabled()
    assert "Correct some videos first" in visit.text("#work-annotated")
    for _ in range(2):
        page.get_by_role("button", name="Propose", exact=True).click()
    visit.until("document.querySelectorAll('#work-jobs li').length === 2")
    wait(visit, JOBS, "waiting")  # one at a time
    while page.get_by_role("button", name="Cancel: ").count():
        page.get_by_role("button", name="Cancel: ").first.click()
        page.wait_for_timeout(100)
    assert live.ask("/api/work/jobs").json == []
    visit.press("Escape")
    wait(visit, LINE, "no proposals yet")
    visit.close()


@pytest.fixture(scope="module")
def proposed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Yield a service with a run, and a finished job."""
    with serving(tmp_path_factory.mktemp("proposed"), videos=videos, threads=2) as live:
        job = live.ask("/api/work/propose", method="POST", body={}).json["id"]
        while live.ask(f"/api/work/jobs/{job}").json["state"] in ("queued", "running"):
            time.sleep(0.05)
        yield live


def test_axe_finds_nothing_while_a_model_is_trained(browser: Any, proposed: Live) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe (dev)")
    desktop = Visit(browser, proposed, DESKTOP, color_scheme="light").open("film0")
    correct(desktop, "film0")
    phone = Visit(browser, proposed, PHONE, color_scheme="dark").open("film0")
    for visit in (desktop, phone):
        page = visit.page
        page.get_by_role("button", name="Propose and train", exact=True).click()
        page.get_by_text("Settings", exact=True).last.click()
        if visit is desktop:
            page.get_by_role("button", name="Train", exact=True).click()
        wait(visit, JOBS, "% · training boundaries and scores (TEM and PEM), ")
        for place in ("#work", "body"):
            found = axe.Axe().run(page, context=place)
            assert found.violations_count == 0, found.generate_report()
            visit.press("Escape")
    for visit in (desktop, phone):
        visit.page.get_by_role("button", name="Details").click()
    phone.page.get_by_role("button", name="Cancel: ").click()  # asks before epochs are lost
    phone.page.get_by_role("button", name="Discard all its epochs: ").click()
    for visit, width in ((desktop, DESKTOP), (phone, PHONE)):
        visit.until("document.querySelectorAll('#work-jobs li').length === 1")
        assert visit.page.evaluate("document.documentElement.scrollWidth") == width
        visit.close()


JOB: dict[str, Any] = {
    "id": "1", "name": "mine", "kind": "train", "state": "done", "progress": 1, "size": 0,
    "created": 1, "error": None, "result": {"run": "label-free", "skipped": {}},
    "status": {"step": "", "done": 0, "total": 0, "note": "", "warnings": ["it is poor"]},
}  # fmt: skip


def test_the_page_says_what_a_result_is_worth(browser: Any, proposed: Live) -> None:
    visit = Visit(browser, proposed).open(None)
    page = visit.page
    broken = page.locator("#cards li", has_text="broken")
    assert broken.locator(".badge").text_content() == "unreadable"
    assert "proposals" not in broken.text_content()
    visit.page.evaluate(DROP, ["new.mp4", [1, 2, 3]])
    assert "copy it into the folder of the videos" in visit.text("#messages")
    visit.press("r")  # from the home page, into the first video of the review
    visit.until("document.getElementById('review-item').checkVisibility()")
    assert "The best 20 proposals of each video." in visit.text("#review-note")
    visit.press("a")
    visit.until_text("review-saved", "Saved")
    visit.press("Escape", "w")
    wait(visit, "#work-annotated", "Learns from 1 video with corrections")
    wait(visit, "#work-background", "learned as background. 1 video is only partly reviewed")
    visit.press("Escape", "h")
    wait(visit, "#figures", " that A made itself, accepted unchanged: its AUC is too high.")
    visit.until(
        "[...document.querySelectorAll('#cards .row-auc')].some((e) => e.textContent.endsWith('*'))"
    )
    page.get_by_role("button", name="Export corrections").click()
    assert page.locator("#export-form option:checked").text_content() == "ActivityNet's JSON"
    page.get_by_label("Format").select_option("edl")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".edl")
    visit.press("Escape")
    visit.close("422")  # no picture of the damaged video


def test_controls_have_their_size_and_label_free_curves_one_boundary(
    browser: Any, proposed: Live
) -> None:
    visit = Visit(browser, proposed).open("film1", "Review")
    tabs = visit.page.locator(".tabs button")
    heights = {tabs.nth(i).bounding_box()["height"] for i in range(tabs.count())}
    assert len(heights) == 1
    assert heights.pop() < 40  # one line each
    visit.focus_timeline()
    visit.press("0")
    assert visit.page.evaluate(PIXELS, "--start") > 0
    assert visit.page.evaluate(PIXELS, "--end") == 0  # it is the same curve
    visit.press("r")
    visit.page.set_viewport_size({"width": PHONE, "height": 800})
    for name in ("accept", "reject", "later"):
        assert visit.page.locator(f"#review-{name}").bounding_box()["height"] >= 40
    visit.close("willReadFrequently")  # advice of the browser on the pixels


def test_what_a_training_and_new_videos_lack_is_said(browser: Any, proposed: Live) -> None:
    visit = Visit(browser, proposed)
    losses = [{"epoch": n, "training": 1.0, "validation": x} for n, x in ((1, 0.9), (2, 3.9))]
    job = {**JOB, "status": {**JOB["status"], "losses": {"TEM": losses}}}
    visit.page.route("**/api/work/jobs", lambda route: route.fulfill(json=[job]))
    about = {**proposed.ask("/api/work").json, "unproposed": 2}
    visit.page.route("**/api/work?*", lambda route: route.fulfill(json=about))
    visit.open("film0")
    wait(visit, LINE, "2 videos without proposals.")
    visit.press("w")
    wait(visit, JOBS, "The held-out loss was lowest in epoch 1 (0.900) and has risen since")
    assert "Note: it is poor." in visit.text(JOBS)
    visit.close()


def test_without_videos_there_is_nothing_to_propose_in(browser: Any, tmp_path: Path) -> None:
    with serving(tmp_path) as live:
        visit = Visit(browser, live).open(None)
        visit.press("w")
        visit.settle()
        assert not visit.page.locator("#work").is_visible()
        assert not visit.page.locator("#open-work").is_visible()
        visit.close()


def test_an_upload_can_be_kept_and_corrected(browser: Any, tmp_path: Path) -> None:
    write_synthetic_dataset(tmp_path / "set", validation=1, seed=3)
    upload = next((tmp_path / "set" / "features").glob("*.npy"))
    bundle = as_file(files("actspan.model") / "demo")
    with bundle as model, serving(tmp_path / "data", model=model) as live:
        visit = Visit(browser, live).open(None)
        page = visit.page
        page.get_by_role("button", name="Propose in a new file").click()
        page.get_by_label("Features").set_input_files(upload)
        page.get_by_role("button", name="Propose", exact=True).click()
        visit.until_text("name", upload.name)
        assert page.get_by_label("Name of the video").input_value() == upload.stem
        page.get_by_label("Name of the video").fill("my day")
        page.get_by_role("button", name="Keep", exact=True).click()
        visit.until_text("name", "my day")
        assert not page.locator("#keep-upload").is_visible()
        until_runs(visit, "upload my day")
        visit.press("]", "c")
        visit.until_saved()
        page.go_back()
        visit.until_text("name", upload.name)
        page.get_by_role("button", name="Keep", exact=True).click()
        wait(visit, "#upload-error", "are kept already")
        visit.open("my day", "Corrections")
        assert len(visit.times()) == 1
        visit.close("409")
