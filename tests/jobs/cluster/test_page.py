"""The commands and the code of docs/deploy/cluster.md run, on the Ray of the tests."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.conftest import ROOT
from tests.docs.fixtures import material, reader  # noqa: F401  fixtures
from tests.docs.pages import blocks
from tests.docs.runner import Reader


# Ray issues warnings itself
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_blocks_of_the_page(ray: Any, reader: Reader) -> None:  # noqa: F811
    for block in blocks(ROOT / "docs" / "deploy" / "cluster.md"):
        reader.follow(block)
    import pyarrow.parquet

    table = pyarrow.parquet.read_table("proposals")
    assert table.column_names == ["video", "start", "end", "score"]
    assert len(set(table["video"].to_pylist())) == 6
