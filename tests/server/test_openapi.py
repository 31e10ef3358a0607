"""The OpenAPI document, held against what the service does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from actspan import Bundle
from tests.server.conftest import client_of

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")

_OURS = r"^/(api/(propose|jobs|service)|v2|healthz|readyz|metrics)"


@pytest.fixture(scope="module")
def served(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client_of(tmp_path_factory.mktemp("openapi"), model=bundle.path) as client:
        yield client


@pytest.fixture
def api(served: TestClient) -> Any:
    return schemathesis.openapi.from_dict(served.app.openapi())


def test_every_operation_says_how_it_may_fail(served: TestClient) -> None:
    document = served.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            codes = set(operation["responses"])
            assert {"400", "401", "403"} <= codes, (method, path)
            assert "HTTPValidationError" not in str(operation), (method, path)
    referred = set(str(document).split("#/components/schemas/")[1:])
    names = {text.split("'")[0] for text in referred}
    assert names <= set(document["components"]["schemas"])


schema = schemathesis.pytest.from_fixture("api").include(path_regex=_OURS)
