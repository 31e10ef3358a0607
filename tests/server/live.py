"""Run a service on an ephemeral port of loopback while a block runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen


@dataclass(frozen=True)
class Answer:
    """Response to a request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Live:
    """Running service."""

    url: str

    def ask(
        self, path: str, *, method: str = "GET", body: Any = None, headers: Any = None, **query: Any
    ) -> Answer:
        """Send a request; a name of `query` may end with `_`, which is dropped."""
        parameters = urlencode({key.rstrip("_"): value for key, value in query.items()})
        data = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        address = f"{self.url}{path}" + (f"?{parameters}" if parameters else "")
        request = Request(address, data, {**kind, **(headers or {})}, method=method)
        try:
            with urlopen(request, timeout=30) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read())


@contextmanager
def serving(data: Path, **settings: Any) -> Iterator[Live]:
    """Serve with these settings; the service has ended when the block has."""
    import uvicorn

    from actspan.server.app import create_app
    from actspan.server.http_server import server_config
    from actspan.server.settings import Limits, ServeSettings

    app = create_app(ServeSettings(data=data, **settings))
    listening = socket()
    listening.bind(("127.0.0.1", 0))
    limits = settings.get("limits", Limits(stop_seconds=5))
    server = uvicorn.Server(server_config(app, limits))
    thread = Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        assert server.started, "the service did not start"
        yield Live(f"http://127.0.0.1:{listening.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join(timeout=60)
        listening.close()
    assert not thread.is_alive(), "the service did not end"
