"""The application: its parts put together, in the order in which a request meets them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI

from actspan import __version__
from actspan.bundle import NETS, Bundle
from actspan.server import browse, inference, jobs, operations, problems, propose
from actspan.server.answers import JobAnswer, JobList, ProposeAnswer
from actspan.server.bodies import Bodies
from actspan.server.database import Database
from actspan.server.decoding import Decoder
from actspan.server.job_runner import JobRunner
from actspan.server.job_store import JobStore
from actspan.server.metrics import Measured, Metrics
from actspan.server.model import ServedModel
from actspan.server.openapi import describe_structs
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
    """The service as an ASGI application.

    The model and the database are opened here, so that what is wrong with them is said before a
    server starts; they are closed when the application's lifespan ends.

    Raises
    ------
    BundleError, BackendError
        The model cannot be opened.
    DataError
        The data folder cannot be used.
    """
    metrics = Metrics()
    service = _Service(settings, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.stop()

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
    try:
        service.add_routes(app)
    except BaseException:
        service.stop()
        raise
    app.frontend("/", directory=VIEWER, fallback=None)
    describe_structs(app, STRUCTS)
    app.add_middleware(Guard, settings=settings, body_limit=lambda path: _limit(settings, path))
    app.add_middleware(Measured, metrics=metrics)
    return app


class _Service:
    """All that is opened and closed, and the operations over it."""

    def __init__(self, settings: ServeSettings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self.database = Database(settings.data)
        self._store = JobStore(self.database, settings.data, settings.limits.kept_jobs)
        self._decoder = Decoder(settings.limits, for_job=False)
        self._is_ready = False
        with ExitStack() as opened:
            opened.callback(self.database.close)
            self._model = None
            if settings.model is not None:
                self._model = ServedModel(Bundle.load(settings.model), settings, metrics)
            opened.pop_all()  # all is well, so it stays open
        for state in self._store.counts():
            metrics.jobs.labels(state).set_function(partial(self._count, state))
        self._runner = (
            None if self._model is None else JobRunner(self._store, self._model, settings, metrics)
        )

    def _count(self, state: str) -> int:
        return self._store.counts()[state]

    def add_routes(self, app: FastAPI) -> None:
        """Those of the model only where there is one."""
        settings, limits, model = self._settings, self._settings.limits, self._model
        app.include_router(
            operations.router(model, limits, self._metrics, is_ready=lambda: self._is_ready)
        )
        app.include_router(browse.router(settings, self.database))
        if model is None or self._runner is None:
            return
        bodies = Bodies(limits, self._metrics)
        app.include_router(propose.router(model, bodies, limits, self._decoder))
        app.include_router(
            jobs.router(model, bodies, self._store, self._runner, limits, self._metrics)
        )
        callable_models: list[inference.InferenceModel] = [
            inference.Network(model, name) for name in NETS
        ]
        callable_models.append(inference.WholePipeline(model, limits.recording_seconds))
        app.include_router(
            inference.router(
                {m.name: m for m in callable_models}, bodies, is_ready=lambda: self._is_ready
            )
        )

    def start(self) -> None:
        """Begin to answer, and take up jobs that were interrupted."""
        if self._model is not None and self._runner is not None:
            self._model.start()
            self._runner.start()
        self._is_ready = True

    def stop(self) -> None:
        """Let go of everything; the job that runs is put back."""
        self._is_ready = False
        if self._model is not None and self._runner is not None:
            self._runner.close()
            self._model.close()
        self._decoder.close()
        self.database.close()


def _limit(settings: ServeSettings, path: str) -> int:
    limits = settings.limits
    return limits.upload_bytes if path == jobs.JOBS else limits.request_bytes
