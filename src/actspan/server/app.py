"""The application: its parts put together, in the order in which a request meets them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from actspan import __version__
from actspan.server import browse, health, problems
from actspan.server.security import Guard
from actspan.server.settings import ServeSettings

VIEWER = Path(__file__).parent / "viewer"  # static assets, served at /
UPLOADS = "/api/jobs"


def create_app(settings: ServeSettings) -> FastAPI:
    """The service as an ASGI application; nothing is opened before its lifespan begins.

    Raises
    ------
    ConfigError
        Settings contradict each other.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield

    app = FastAPI(
        title="ActSpan",
        version=__version__,
        summary="When do actions happen in a long video?",
        lifespan=lifespan,
        docs_url=None,  # those pages are fetched from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
        telemetry={"auto_configure": False},
    )
    app.state.settings = settings
    problems.install(app)
    app.include_router(health.router())
    app.include_router(browse.router(settings))
    app.frontend("/", directory=VIEWER, fallback=None)
    app.add_middleware(Guard, settings=settings, body_limit=lambda path: _limit(settings, path))
    return app


def _limit(settings: ServeSettings, path: str) -> int:
    limits = settings.limits
    return limits.upload_bytes if path == UPLOADS else limits.request_bytes
