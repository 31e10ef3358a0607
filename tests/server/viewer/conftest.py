"""Provide a service with two runs of synthetic videos, and a page that shows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")
pytest.importorskip("uvicorn", reason="needs the extra 'server'")

from actspan import Video
from tests.report.runs import synthetic_videos, write_synthetic_run, write_truth
from tests.server.live import Live, serving
from tests.server.viewer.visits import Visit

NASTY = '"><img src=x onerror=alert(1)>/../ü&é'


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    return synthetic_videos(60)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("viewer")
    named = Video(NASTY, 60.0, "validation", [[5.0, 40.0]], (NASTY,))
    videos = [*synthetic_videos(60), named]
    for seed, name in enumerate(("first", "second")):
        write_synthetic_run(folder / name, videos, seed=seed)
    write_truth(folder / "set", videos)
    return folder


@pytest.fixture(scope="module")
def live(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    runs = (folder / "first", folder / "second")
    data = tmp_path_factory.mktemp("data")
    with serving(data, results=runs, ground_truth=folder / "set") as live:
        yield live


@pytest.fixture
def visit(browser: Any, live: Live) -> Iterator[Visit]:
    visit = Visit(browser, live).open()
    yield visit
    visit.close()
