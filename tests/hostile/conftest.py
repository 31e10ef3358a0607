from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.guard import Guard


@pytest.fixture(scope="session")
def guard() -> Iterator[Guard]:
    """One process for all attacks; it is started again where one of them kills it."""
    one = Guard()
    yield one
    one.close()
