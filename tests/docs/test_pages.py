"""Every command and every code block of the documentation runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub", reason="needs the extra 'hub'")
pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("jinja2", reason="needs the extra 'report'")
pytest.importorskip("fastapi", reason="needs the extra 'server'")
pytest.importorskip("nncf", reason="needs the extra 'openvino'")
pytest.importorskip("threadpoolctl", reason="needs the extra 'bench'")

from tests.conftest import ROOT
from tests.docs.material import Material
from tests.docs.pages import PAGES, Block, blocks, check_reason
from tests.docs.runner import Reader

PARTS = {page: blocks(page) for page in PAGES}
LEFT_OUT = [block for parts in PARTS.values() for block in parts if "not run" in block.marks]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material(tmp_path_factory.mktemp("material"))


@pytest.fixture
def reader(tmp_path: Path, material: Material, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
    with Reader(tmp_path, material) as reader:
        yield reader


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch, of its own ways
@pytest.mark.parametrize("page", [page for page in PAGES if PARTS[page]], ids=name_of)
def test_blocks_of_the_page(page: Path, reader: Reader) -> None:
    for block in PARTS[page]:
        reader.follow(block)


@pytest.mark.parametrize("block", LEFT_OUT, ids=str)
def test_blocks_that_do_not_run_have_a_reason(block: Block) -> None:
    """Each is reported as a test that is skipped, with its reason."""
    check_reason(block.marks["not run"])
    pytest.skip(block.marks["not run"])
