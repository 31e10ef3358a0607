"""Fixtures of the tests that follow pages of the documentation."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.material import Material
from tests.docs.runner import Reader


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Return the files that pages assume, made once."""
    return Material(tmp_path_factory.mktemp("material"))


@pytest.fixture
def reader(tmp_path: Path, material: Material, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """Yield a reader in an empty folder, with the commands of this environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
    with Reader(tmp_path, material) as reader:
        yield reader
