"""A small model, and services that answer in this process or in one of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.made_up import CHANNELS, STRIDE, write_bundle

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from fastapi.testclient import TestClient

from actspan import Bundle, Pipeline
from actspan.config import FeatureSpec
from actspan.server import ServeSettings, create_app
from tests.server.live import Live

Opened = Callable[..., Any]
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


@contextmanager
def client_of(data: Path, **settings: Any) -> Iterator[TestClient]:
    """A client of a service in this process."""
    told = {"backend": "onnxruntime", "threads": 2, **settings}
    app = create_app(ServeSettings(data=data, **told))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def client(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client_of(tmp_path_factory.mktemp("data"), model=bundle.path) as opened:
        yield opened


def features(snippets: int = 40, seed: int = 0, channels: int = CHANNELS) -> np.ndarray:
    """Snippet features, (n, C) float32."""
    return np.random.default_rng(seed).normal(size=(snippets, channels)).astype(np.float32)


class Process:
    """`actspan serve` in a process of its own."""

    def __init__(self, *words: object) -> None:
        program = Path(sys.executable).with_name("actspan")
        command = [str(program), "serve", "--port", "0", "--backend", "onnxruntime"]
        self.process = subprocess.Popen(
            [*command, *map(str, words)],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert self.process.stderr is not None
        greeting = self.process.stderr.readline()
        assert greeting.startswith("ActSpan is at"), greeting + self.process.stderr.read()
        self.live = Live(greeting.split()[3].rstrip("/"))

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        assert "Traceback" not in errors, errors
        return self.process.returncode


@contextmanager
def process_of(*words: object) -> Iterator[Process]:
    """A service in a process of its own; it is gone when the block ends."""
    opened = Process(*words)
    try:
        yield opened
    finally:
        if opened.process.poll() is None:
            opened.process.kill()
            opened.process.communicate()
