"""Every command and every code block of the documentation runs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("jinja2", reason="needs the extra 'report'")
pytest.importorskip("fastapi", reason="needs the extra 'server'")
pytest.importorskip("nncf", reason="needs the extra 'openvino'")
pytest.importorskip("huggingface_hub", reason="needs the extra 'hub'")
pytest.importorskip("threadpoolctl", reason="needs the extra 'bench'")

from actspan.data.annotations.formats import read_annotations
from tests.conftest import ROOT
from tests.docs.fixtures import material, reader  # noqa: F401  fixtures
from tests.docs.loopback import Loopback
from tests.docs.material import NAMES, Material
from tests.docs.pages import PAGES, Block, blocks, check_reason
from tests.docs.runner import Reader

PARTS = {str(page.relative_to(ROOT)): blocks(page) for page in PAGES}
# tests/jobs/cluster/test_page.py has a running Ray, tests/test_container.py a container engine
ELSEWHERE = {"docs/deploy/cluster.md", "docs/deploy/docker.md"}
RUN = [page for page, parts in PARTS.items() if parts and page not in ELSEWHERE]
LEFT_OUT = [block for parts in PARTS.values() for block in parts if "not run" in block.marks]


def first_segments() -> None:
    assert "label-free" in Path("first.html").read_text()
    assert len(list(Path("first-clips").iterdir())) == len(NAMES) * 10


def segments() -> None:
    assert Path("best.csv").read_text().count("\n") == 1 + len(NAMES) * 20
    assert len(list(Path("best").iterdir())) == len(NAMES) * 3
    assert all(path.stem.endswith("_jump") for path in Path("labelled").iterdir())


def correct() -> None:
    videos = read_annotations("next").videos
    assert {video.id for video in videos} == set(NAMES)
    assert all(len(video.segments) == 10 for video in videos)
    assert {file.name for file in Path("cuts").iterdir()} == {f"{name}.edl" for name in NAMES}


def staged() -> None:
    """Compare the result with that of networks that ActSpan itself ran."""
    assert Path("result.json").read_bytes() == Path("stage/result.json").read_bytes()


RESULTS: dict[str, Callable[[], None]] = {
    "docs/start/first-segments.md": first_segments,
    "docs/how-to/segments.md": segments,
    "docs/how-to/correct.md": correct,
    "docs/deploy/staged.md": staged,
}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch, of its own ways
@pytest.mark.parametrize("page", RUN)
def test_blocks_of_the_page(page: str, reader: Reader) -> None:  # noqa: F811
    for block in PARTS[page]:
        reader.follow(block)
    RESULTS.get(page, lambda: None)()


@pytest.mark.parametrize("block", LEFT_OUT, ids=str)
def test_blocks_that_do_not_run_have_a_reason(block: Block) -> None:
    """Report each block as a test that is skipped, with its reason."""
    check_reason(block.marks["not run"])
    pytest.skip(f"not run: {block}: {block.marks['not run'].partition(';')[0]}")


def test_all_material_is_needed() -> None:
    marks = [block.marks.get("runs on", "") for parts in PARTS.values() for block in parts]
    needed = {name.split()[0] for mark in marks for name in mark.split(",") if name.strip()}
    source = inspect.getsource(Material) + inspect.getsource(Loopback)
    needed |= set(re.findall(r'(?:_made|contents)\("([\w-]+)"\)', source))
    made = [name.removeprefix("_make_") for name in vars(Material) if name.startswith("_make_")]
    assert made
    assert [name for name in made if name.replace("_", "-") not in needed] == []
