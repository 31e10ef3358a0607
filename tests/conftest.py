"""Shared fixtures: real data and a browser, where they are available, and a hub on loopback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.model.loopback_hub import Client, LoopbackHub, loopback_hub
from tests.mounts import Mount, mounts

# the first call of a kernel may compile it; CI draws the same examples every time
settings.register_profile("actspan", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("actspan")

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DATA = Path(os.environ.get("ACTSPAN_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of real data and golden outputs."""
    if not DATA.is_dir():
        pytest.skip(f"needs the real data, which are not at {DATA} (set ACTSPAN_DATA)")
    return DATA


@pytest.fixture(scope="session")
def golden(data: Path) -> Path:
    """Return outputs of the published code."""
    return data / "golden"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start headless Chromium; per module, as only one loop of playwright may run at a time."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra 'dev')")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    """Start a hub on loopback."""
    with loopback_hub() as running:
        yield running


@pytest.fixture
def client(hub: LoopbackHub, tmp_path: Path) -> Client:
    """Return a user of the hub, who has no caches yet."""
    return Client(hub.url, tmp_path / "home")


@pytest.fixture
def mounted() -> Iterator[Mount]:
    """Return a function that mounts a file system until the test ends."""
    with mounts() as mount:
        yield mount
