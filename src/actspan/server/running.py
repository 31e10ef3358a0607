"""Server process, from settings to the last answer after SIGTERM."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOL_SOCKET, socket
from threading import Thread

import uvicorn
from fastapi import FastAPI

from actspan.core.errors import ActSpanError, ConfigError
from actspan.server.app import create_app
from actspan.server.settings import ServeSettings

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


def made_token(host: str, token: str | None) -> str | None:
    """Return the given token, or a new one if other machines can reach the service."""
    if token is None and host not in _LOOPBACK_NAMES:
        return secrets.token_urlsafe(24)
    return token


def serve(settings: ServeSettings, announce: Callable[[str], None]) -> None:
    """Answer requests until SIGTERM or SIGINT; finish those in progress before returning.

    Parameters
    ----------
    settings : ServeSettings
        Settings; port 0 chooses a free port.
    announce : function of str
        Called with the address, once requests are accepted.

    Raises
    ------
    ConfigError
        The service cannot listen at the address.
    BundleError, BackendError, DataError
        As for `create_app`.
    """
    with closing(_listen(settings)) as listening:
        settings = replace(settings, port=listening.getsockname()[1])
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=round(settings.limits.stop_seconds),
        )
        # uvicorn raises the signals that ended it again, but an orderly end is no failure.
        before = {s: signal.signal(s, _ignore) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            _Server(config, lambda: _greet(app, settings, announce)).run(sockets=[listening])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Server(uvicorn.Server):
    """Server that announces when it accepts requests."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


def _greet(app: FastAPI, settings: ServeSettings, announce: Callable[[str], None]) -> None:
    """Announce the address, and once results are read, videos that fit no run."""
    announce(_greeting(settings))

    def check() -> None:
        with suppress(ActSpanError):  # a request for a damaged result reports the error
            if line := app.state.library.unplayable():
                announce(f"note: {settings.videos}: {line}")

    Thread(target=check, daemon=True).start()


def _ignore(number: int, frame: object) -> None:
    pass


def _greeting(settings: ServeSettings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    query = "" if settings.token is None else f"?token={settings.token}"
    return f"ActSpan is at http://{host}:{settings.port}/{query} (Ctrl-C stops it)"


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
