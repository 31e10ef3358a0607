from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.hostile.guard import Guard


@pytest.fixture(scope="session")
def guard() -> Iterator[Guard]:
    """Start one process for all attacks; it is started again if one of them kills it."""
    if sys.platform != "linux":
        pytest.skip("limits of memory, and /proc, are Linux's")
    one = Guard()
    yield one
    one.close()
