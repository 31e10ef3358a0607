"""Bytes that a client sends to the service, before they are a request; in memory."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from actspan.server.error_responses import ProblemError
from actspan.server.http_protocol import limited_protocol
from actspan.server.settings import Limits

_LIMITS = Limits(head_bytes=512, connections=2)
_PIECE = 64  # bytes that arrive together


def connection(path: Path) -> None:
    """Send the bytes of a file to the server, in pieces; every answer must be HTTP."""
    answered = asyncio.run(_exchange(path.read_bytes()))
    assert not answered or answered.startswith((b"HTTP/1.1 ", b"HTTP/1.0 "))


async def _exchange(data: bytes) -> bytes:
    config, loop, transport = _config(), asyncio.get_running_loop(), _Transport()
    protocol = limited_protocol(_LIMITS)(config, ServerState(), {}, loop)
    protocol.connection_made(transport)
    for first in range(0, len(data), _PIECE):
        if transport.is_closing():
            break
        protocol.data_received(data[first : first + _PIECE])
        await asyncio.sleep(0)
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)
    return bytes(transport.written)


@cache
def _config() -> uvicorn.Config:
    config = uvicorn.Config(_answer, ws="none", log_level="critical")
    config.load()
    return config


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as the application does: after the body, or at once to what it refuses."""
    if not scope["path"].startswith("/refused"):
        while (await receive()).get("more_body"):
            pass
    await ProblemError(404, "nothing is here").response()(scope, receive, send)


class _Transport(asyncio.Transport):
    """Transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self._is_closing = False

    def write(self, data: Any) -> None:
        """Keep bytes."""
        self.written += data

    def get_write_buffer_size(self) -> int:
        """Return 0: everything is sent."""
        return 0

    def pause_reading(self) -> None:
        """Do nothing: what arrives is at hand."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def is_closing(self) -> bool:
        """Return whether the connection ends."""
        return self._is_closing

    def close(self) -> None:
        """End the connection."""
        self._is_closing = True

    def abort(self) -> None:
        """End the connection."""
        self._is_closing = True
