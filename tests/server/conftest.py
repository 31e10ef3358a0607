"""Provide small models, and services with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.examples import CHANNELS, STRIDE, write_bundle

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from fastapi.testclient import TestClient

from actspan import Bundle, Pipeline
from actspan.config.stages import FeatureSpec
from tests.server.services import client_of

GRID = FeatureSpec(channels=CHANNELS, stride_seconds=STRIDE, length_seconds=STRIDE)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("served") / "bundle", features=GRID)


@pytest.fixture(scope="session")
def window_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(
        tmp_path_factory.mktemp("windows") / "bundle", features=GRID, mode="window", length=20
    )


@pytest.fixture(scope="session")
def pipeline(bundle: Bundle) -> Iterator[Pipeline]:
    with Pipeline.load(bundle, backend="onnxruntime", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client_of(tmp_path_factory.mktemp("data"), model=bundle.path) as opened:
        yield opened
