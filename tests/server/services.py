"""Start services for tests, in this process or in a new one, and make their requests."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from fastapi.testclient import TestClient

from actspan.server.app import create_app
from actspan.server.settings import ServeSettings
from tests.examples import CHANNELS
from tests.server.live import Live


@contextmanager
def client_of(data: Path, **settings: Any) -> Iterator[TestClient]:
    """Yield a client of a service in this process."""
    settings = {"backend": "onnxruntime", "threads": 2, **settings}
    app = create_app(ServeSettings(data=data, **settings))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def features(snippets: int = 40, seed: int = 0, channels: int = CHANNELS) -> np.ndarray:
    """Return random snippet features, (n, C) float32."""
    return np.random.default_rng(seed).normal(size=(snippets, channels)).astype(np.float32)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def list_table(array: np.ndarray) -> pa.Table:
    """Return a table with one column of lists."""
    flat = pa.array(array.ravel())
    return pa.table({"features": pa.FixedSizeListArray.from_arrays(flat, array.shape[1])})


def column_table(array: np.ndarray) -> pa.Table:
    """Return a table with one column per channel."""
    return pa.table({f"f{i}": column for i, column in enumerate(array.T)})


def arrow(table: pa.Table, open_writer: Any = pa.ipc.new_stream) -> bytes:
    sink = io.BytesIO()
    with open_writer(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


class Process:
    """`actspan serve` in a process of its own."""

    def __init__(self, *words: object) -> None:
        program = Path(sys.executable).with_name("actspan")
        command = [str(program), "serve", "--port", "0"]
        if "--model" in words:
            command += ["--backend", "onnxruntime"]
        self.process = subprocess.Popen(
            [*command, *map(str, words)],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert self.process.stderr is not None
        greeting = self.process.stderr.readline()
        assert greeting.startswith("ActSpan is at"), greeting + self.process.stderr.read()
        self.live = Live(greeting.split()[3].partition("?")[0].rstrip("/"))

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        assert "Traceback" not in errors, errors
        return self.process.returncode


@contextmanager
def process_of(*words: object) -> Iterator[Process]:
    """Run a service in a new process, which ends with the block."""
    opened = Process(*words)
    try:
        yield opened
    finally:
        if opened.process.poll() is None:
            opened.process.kill()
            opened.process.communicate()
