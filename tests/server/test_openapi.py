"""Compare the OpenAPI document with what the service does."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from actspan import Bundle
from actspan.server.app import create_app
from actspan.server.settings import ServeSettings
from tests.server.live import Live, serving

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")

EXAMPLES = int(os.environ.get("ACTSPAN_API_EXAMPLES", "3"))  # of each operation
_OURS = r"^/(api/(propose|jobs|service|work)|v2|healthz|readyz|metrics)"


@pytest.fixture(scope="module")
def live(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    data = tmp_path_factory.mktemp("openapi")
    with serving(data, model=bundle.path, backend="onnxruntime", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def api(live: Live) -> Any:
    return schemathesis.openapi.from_url(f"{live.url}/openapi.json")


def test_every_operation_says_how_it_may_fail(live: Live) -> None:
    document = live.ask("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            codes = set(operation["responses"])
            assert {"400", "401", "403"} <= codes, (method, path)
            assert "HTTPValidationError" not in str(operation), (method, path)
    referred = {text.split("'")[0] for text in str(document).split("#/components/schemas/")[1:]}
    assert referred <= set(document["components"]["schemas"])


def test_a_service_is_made_while_a_thread_changes_the_filters_of_warnings(tmp_path: Path) -> None:
    stop = Event()

    def change() -> None:
        while not stop.is_set():
            with warnings.catch_warnings(record=True):  # as while a kernel is compiled
                time.sleep(0.001)

    thread = Thread(target=change)
    thread.start()
    try:
        create_app(ServeSettings(data=tmp_path))
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_the_service_does_what_its_document_says(api: Any, mode: str) -> None:
    # that arrays of features fit together is more than a schema can say
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    checked = set()
    for found in api.include(path_regex=_OURS).get_all_operations():
        operation = found.ok()

        @settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
        def check(case: Any) -> None:
            case.call_and_validate(excluded_checks=[positive_data_acceptance])
            checked.add(case.operation.label)

        with suppress(Unsatisfiable):  # where nothing is taken, nothing can be wrong
            check()
    assert len(checked) >= {"positive": 19, "negative": 8}[mode], checked
