"""Operations of the viewer: finished runs, ground truth, videos, and corrections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from actspan.server.browse.corrections import add_corrections
from actspan.server.browse.library import Library
from actspan.server.browse.routes import add_list, add_video
from actspan.server.corrections import Corrections
from actspan.server.database import Database


def router(library: Library, database: Database) -> APIRouter:
    """Return the operations of the viewer under `/api/browse`, for the app to include.

    Large files are read in the background from the start of the app on.

    Parameters
    ----------
    library : Library
        Runs, ground truth and videos; closed with the app.
    database : Database
        Storage of corrections.
    """
    corrections = Corrections(database)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        library.warm()
        yield
        library.close()

    routes = APIRouter(prefix="/api/browse", tags=["browse"], lifespan=lifespan)
    add_list(routes, library, corrections)
    add_video(routes, library, corrections)
    add_corrections(routes, library, corrections)
    return routes
