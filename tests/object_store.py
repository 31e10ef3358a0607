"""An S3 server on this machine (of moto), with faults that a test chooses."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

Fault = Literal["none", "slow", "flaky", "short", "twice", "dead"]
FAULTS: tuple[Fault, ...] = ("none", "slow", "flaky", "short", "twice")  # a job must survive these
BUCKET = "bucket"


@dataclass
class FaultyStore:
    """A WSGI application between the clients and the store, which adds faults.

    - slow: every answer takes 50 ms longer
    - flaky: the first of every four equal requests is answered by 503
    - short: every third body ends in its middle
    - twice: every request that writes is carried out twice
    - dead: every request is answered by 503
    """

    application: Callable[..., Iterable[bytes]]
    fault: Fault = "none"
    requests: int = 0
    _alike: Counter[tuple[str, ...]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        alike = tuple(environ.get(k, "") for k in ("REQUEST_METHOD", "PATH_INFO", "HTTP_RANGE"))
        with self._lock:
            self.requests += 1
            third = self.requests % 3 == 0
            fourth = self._alike[alike] % 4 == 0  # independent of the requests of other threads
            self._alike[alike] += self.fault == "flaky"
        if self.fault == "dead" or (self.fault == "flaky" and fourth):
            start("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        if self.fault == "slow":
            time.sleep(0.05)
        if self.fault == "twice" and environ["REQUEST_METHOD"] == "PUT":
            length = environ.get("CONTENT_LENGTH")
            body = environ["wsgi.input"].read(*([int(length)] if length else []))
            self._answer(environ, body, lambda *_: None)
            return self._answer(environ, body, start)
        if self.fault == "short" and third and environ["REQUEST_METHOD"] == "GET":

            def start_short(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                return start(status, [*headers, ("Connection", "close")], *rest)

            whole = b"".join(self.application(environ, start_short))
            return [whole[: len(whole) // 2]]  # shorter than the announced length
        return self.application(environ, start)

    def _answer(
        self, environ: dict[str, Any], body: bytes, start: Callable[..., Any]
    ) -> list[bytes]:
        import io

        return list(self.application({**environ, "wsgi.input": io.BytesIO(body)}, start))


@contextmanager
def object_store(patch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    """Serve an empty bucket on the loopback interface, and point s3:// to it."""
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs")
    server = pytest.importorskip("moto.server", reason="needs moto[server]")
    import boto3
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    store = FaultyStore(server.DomainDispatcherApplication(server.create_backend_app))
    http = make_server("127.0.0.1", 0, store, threaded=True)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{http.server_port}",
        "AWS_MAX_ATTEMPTS": "1",  # The driver must not retry, so that the faults reach our code.
    }.items():
        patch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # of other servers
    try:
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield store
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
        s3fs.S3FileSystem.clear_instance_cache()


def upload(folder: Path, name: str) -> str:
    """Put a folder into the bucket; return its URL."""
    import fsspec

    files = fsspec.filesystem("s3")
    for path in folder.rglob("*"):
        if path.is_file():
            files.put_file(str(path), f"{BUCKET}/{name}/{path.relative_to(folder)}")
    return f"s3://{BUCKET}/{name}"
