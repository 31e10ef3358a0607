"""Proposals for a new file in a real browser: uploaded, shown, found again after a reload."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest

from actspan.data.synthetic_dataset import write_synthetic_dataset
from tests.server.live import Live, serving
from tests.server.viewer.visits import Visit


@pytest.fixture(scope="module")
def proposing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    data = tmp_path_factory.mktemp("proposing") / "data"
    bundle = as_file(files("actspan.model") / "demo")
    with bundle as model, serving(data, model=model) as live:
        yield live


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "set"
    write_synthetic_dataset(folder, validation=1, seed=3)
    return next((folder / "features").glob("*.npy"))


def submit(visit: Visit, path: Path) -> None:
    visit.page.get_by_role("button", name="Propose in a new file").click()
    visit.page.get_by_label("Features").set_input_files(path)
    visit.page.get_by_role("button", name="Propose", exact=True).click()


def test_a_dropped_file_is_proposed_in(browser: Any, proposing: Live, features: Path) -> None:
    visit = Visit(browser, proposing).open(None)
    visit.page.evaluate(
        """([name, bytes]) => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }""",
        ["dropped.npy", list(features.read_bytes())],
    )
    visit.until_text("name", "dropped.npy")
    assert len(visit.rows()) == 20
    visit.close()


def test_a_new_file_is_proposed_in_and_kept_after_a_reload(
    browser: Any, proposing: Live, features: Path
) -> None:
    visit = Visit(browser, proposing).open(None)
    page = visit.page
    assert "Nothing is served" in visit.text("#empty")
    submit(visit, features)
    visit.until_text("name", features.name)
    assert len(visit.rows()) == 20
    page.get_by_role("button", name="Play proposal 1", exact=True).click()
    assert page.get_by_role("button", name="Pause").is_visible()
    assert not page.get_by_role("tab", name="Corrections").is_visible()
    rows = visit.rows()
    page.reload()
    visit.until_text("name", features.name)
    assert visit.rows() == rows
    visit.open(None)
    page.get_by_role("button", name="Propose in a new file").click()
    page.get_by_role("link", name=features.name).click()
    visit.until_text("name", features.name)
    visit.close()


def test_a_file_that_is_refused_is_explained(browser: Any, proposing: Live, tmp_path: Path) -> None:
    (tmp_path / "bad.npy").write_bytes(b"no features")
    visit = Visit(browser, proposing).open(None)
    submit(visit, tmp_path / "bad.npy")
    visit.until("document.getElementById('propose-state').textContent.includes('neither')")
    visit.close("415")


def test_an_unknown_job_is_explained(browser: Any, proposing: Live) -> None:
    visit = Visit(browser, proposing).open(None)
    visit.page.goto(f"{proposing.url}/#job={'0' * 32}")
    visit.until("document.getElementById('empty').textContent.includes('no job')")
    visit.close("404")
