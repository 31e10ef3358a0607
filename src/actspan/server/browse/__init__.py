"""What the viewer shows: finished runs, ground truth, videos, and corrections of them."""

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
    """Operations of the viewer under `/api/browse`; the app includes them.

    What is large is read in the background, from the start of the app on.

    Parameters
    ----------
    library : Library
        What to look at; closed with the app.
    database : Database
        Where corrections are kept.
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
