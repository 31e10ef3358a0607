"""The server process, from settings to the last answer after SIGTERM."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Callable
from contextlib import closing, suppress
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOL_SOCKET, socket
from threading import Thread
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI
from msgspec.structs import replace

from actspan.core.errors import ActSpanError, ConfigError
from actspan.server.app import create_app
from actspan.server.http_protocol import limited_protocol
from actspan.server.settings import Limits, ServeSettings, is_loopback

_BACKLOG = 1024  # connections that wait in the kernel
_ACCEPTED_AT_ONCE = 64  # before those that are too many are closed


def make_token(host: str, token: str | None) -> str | None:
    """Return the given token, or a new one if other machines can reach the service."""
    if token is None and not is_loopback(host):
        return secrets.token_urlsafe(24)
    return token


def serve(settings: ServeSettings, announce: Callable[[str], None]) -> None:
    """Answer requests until SIGTERM or SIGINT; finish those in progress before returning.

    Port 0 chooses a free port; `announce` is called with the address, once requests are accepted.
    Raises ConfigError if the service cannot listen at the address, others like `create_app`.
    """
    with closing(_listen(settings)) as listening:
        settings = replace(settings, port=listening.getsockname()[1])
        app = create_app(settings)
        config = server_config(app, settings.limits)
        # uvicorn raises the signals that ended it again, but an orderly end is no failure.
        before = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            server = _Server(config, lambda: _announce(app, settings, announce))
            server.run(sockets=[listening])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def server_config(app: FastAPI, limits: Limits) -> uvicorn.Config:
    """Return the settings of the server: what it refuses before the application is asked."""
    return uvicorn.Config(
        app,
        http=limited_protocol(limits),
        ws="none",
        log_level="error",  # anyone can send what is not valid HTTP
        server_header=False,
        backlog=_ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=round(limits.stop_seconds),
    )


class _Server(uvicorn.Server):
    """Server that announces when it accepts requests."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(_BACKLOG)
        self._announce()


def _announce(app: FastAPI, settings: ServeSettings, announce: Callable[[str], None]) -> None:
    """Announce the address, and once results are read, which videos cannot be played."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    query = "" if settings.token is None else f"?token={quote(settings.token, safe='')}"
    announce(f"ActSpan is at http://{host}:{settings.port}/{query} (Ctrl-C stops it)")

    def check() -> None:
        with suppress(ActSpanError):  # a request for a damaged result reports the error
            library = app.state.library
            for line in filter(None, (library.linked(), library.unplayable())):
                announce(f"note: {settings.videos}: {line}")

    Thread(target=check, daemon=True).start()


def _listen(settings: ServeSettings) -> socket:
    listening = socket(AF_INET6 if ":" in settings.host else AF_INET)
    listening.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"{settings.host}:{settings.port}: cannot listen there: {error.strerror}; choose "
            "another --host or --port"
        ) from error
    return listening
