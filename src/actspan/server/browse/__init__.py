"""What the viewer reads: finished runs, curves and corrections."""

from __future__ import annotations

from fastapi import APIRouter

from actspan.server.settings import ServeSettings


def router(settings: ServeSettings) -> APIRouter:
    """Operations of the viewer under `/api`; the app includes them.

    Parameters
    ----------
    settings : ServeSettings
        `results` are the runs to look at, `data` is the folder for what is kept.
    """
    return APIRouter(prefix="/api", tags=["browse"])
