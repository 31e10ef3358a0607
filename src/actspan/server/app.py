"""The ASGI application: its parts, in the order in which a request passes through them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI
from starlette.exceptions import HTTPException

from actspan import __version__
from actspan.model.bundle import Bundle
from actspan.server import addresses, browse, inference, jobs, operations, problems
from actspan.server.answers import JobAnswer, JobList, ProposeAnswer
from actspan.server.browse.library import Library
from actspan.server.database import Database
from actspan.server.metrics import Measured, Metrics
from actspan.server.openapi import describe
from actspan.server.proposing import Proposing
from actspan.server.security import Guard
from actspan.server.settings import ServeSettings

VIEWER = Path(__file__).parent / "viewer"  # static assets, served at /
STRUCTS = (
    problems.ProblemDetails,
    ProposeAnswer,
    JobAnswer,
    JobList,
    operations.Health,
    operations.ServiceInfo,
    *inference.STRUCTS,
)


def create_app(settings: ServeSettings) -> FastAPI:
    """Return the service as an ASGI application.

    The model and the database are opened here, so that errors in them are reported before a server
    starts. They are closed when the application's lifespan ends.

    Raises
    ------
    BundleError, BackendError
        The model cannot be opened.
    DataError
        The data folder or a run cannot be used.
    """
    with ExitStack() as opened:
        metrics = Metrics()
        database = opened.enter_context(closing(Database(settings.data)))
        proposing = None
        if settings.model is not None:
            bundle = Bundle.load(settings.model)
            proposing = Proposing(bundle, database, settings, metrics)
            opened.enter_context(closing(proposing))
        app = FastAPI(
            title="ActSpan",
            version=__version__,
            summary="When do actions happen in a long video?",
            lifespan=_lifespan,
            docs_url=None,  # these pages load scripts from other hosts
            redoc_url=None,
            openapi_url="/openapi.json",
            telemetry={"auto_configure": False},
        )
        problems.install(app)
        app.exception_handler(HTTPException)(addresses.explain_refusal)
        app.state.library = Library(settings.results, settings.ground_truth, settings.videos)
        for router in _routers(app, settings, database, proposing, metrics):
            app.include_router(router, dependencies=[Depends(addresses.refuse_unknown_parameters)])
        app.frontend("/", directory=VIEWER, fallback=None)
        describe(app, STRUCTS, problems.may_fail(400, 401, 403, 422))
        app.state.settings, app.state.proposing, app.state.is_ready = settings, proposing, False
        app.state.opened = opened.pop_all()  # setup succeeded, so everything stays open
    app.add_middleware(Guard, settings=settings, body_limit=lambda path: _limit(settings, path))
    app.add_middleware(Measured, metrics=metrics)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    with app.state.opened:
        if app.state.proposing is not None:
            app.state.proposing.start()
        app.state.is_ready = True
        yield
        app.state.is_ready = False


def _routers(
    app: FastAPI,
    settings: ServeSettings,
    database: Database,
    proposing: Proposing | None,
    metrics: Metrics,
) -> Iterator[APIRouter]:
    """Yield all operations; those of the model only if there is a model."""

    def is_ready() -> bool:
        ready: bool = app.state.is_ready
        return ready

    model = None if proposing is None else proposing.model
    yield operations.router(model, settings.limits, metrics, is_ready=is_ready)
    yield browse.router(app.state.library, database)
    if proposing is not None:
        yield from proposing.routers(is_ready)


def _limit(settings: ServeSettings, path: str) -> int:
    limits = settings.limits
    return limits.upload_bytes if path == jobs.JOBS else limits.request_bytes
