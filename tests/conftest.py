"""Shared fixtures: where the real data lie, if they are here at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# the first call of a kernel may compile it; CI draws the same examples every time
settings.register_profile("actspan", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("actspan")

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("ACTSPAN_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data and golden outputs."""
    if not DATA.is_dir():
        pytest.skip(f"needs the real data, which are not at {DATA} (set ACTSPAN_DATA)")
    return DATA


@pytest.fixture(scope="session")
def golden(data: Path) -> Path:
    """Outputs of the published code."""
    return data / "golden"
