"""The ASGI application: everything that answers requests, from settings to the routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from actspan import __version__
from actspan.core.colours import style_sheet
from actspan.server import browse_routes, inference_routes
from actspan.server.corrections import Corrections
from actspan.server.database import Database
from actspan.server.error_handlers import install_handlers
from actspan.server.error_responses import (
    ParameterCheck,
    ProblemDetails,
    check_ready,
    failures,
)
from actspan.server.inference_tensors import InferRequest
from actspan.server.job_runner import JobRunner
from actspan.server.job_store import UploadStore, WorkStore
from actspan.server.kept_uploads import KeptUploads
from actspan.server.library import Library
from actspan.server.media import Media, MediaFile
from actspan.server.proposal_routes import direct_router, job_router
from actspan.server.requests import Metrics, RequestMiddleware
from actspan.server.review import Reviews
from actspan.server.run_figures import Figures
from actspan.server.served_model import ServedModel
from actspan.server.served_work import ServedWork
from actspan.server.service import ProposalService
from actspan.server.settings import Limits, ServeSettings
from actspan.server.watch import Watch
from actspan.server.work_routes import work_router

VIEWER = Path(__file__).parent / "viewer"  # static assets, served at /


def create_app(settings: ServeSettings) -> FastAPI:
    """Return the service as an ASGI application.

    The model and the database are opened here, so that errors in them are reported before a server
    starts. They are closed when the application's lifespan ends. Raises BundleError or BackendError
    if the model cannot be opened, DataError if the data folder or a run cannot be used.
    """
    settings.check()
    with ExitStack() as opened:
        metrics = Metrics()
        database = opened.enter_context(closing(Database(settings.data)))
        service = None
        if settings.model is not None:
            service = ProposalService(database, settings, metrics)
            opened.enter_context(closing(service))
        app = FastAPI(
            title="ActSpan",
            version=__version__,
            summary="Temporal action proposals: when do actions happen in a long video?",
            lifespan=_lifespan,
            docs_url=None,  # these pages load scripts from other hosts
            redoc_url=None,
            openapi_url="/openapi.json",
            telemetry={"auto_configure": False},
            responses=failures(400, 401, 403, 503),
        )
        install_handlers(app)
        media = Media(settings.data / "media", settings.limits, metrics)
        opened.enter_context(closing(media))
        library = Library(
            *(settings.results, settings.ground_truth, settings.videos),
            probe=lambda path: media.length(MediaFile.of(path)),
        )
        model = None if service is None else service.model
        corrections = Corrections(database)
        store = WorkStore(database, settings.limits.kept_jobs)
        reviews = Reviews(database, library, corrections)
        work = ServedWork(database, store, library, corrections, reviews, settings)
        runner = opened.enter_context(closing(JobRunner(store, work, metrics)))
        uploads = UploadStore(database, settings.data, settings.limits.kept_jobs)
        kept = KeptUploads(database, uploads, library, settings.data)
        figures = Figures(library, corrections, work.learned_from)
        routers = [
            _operations(model, settings.limits, metrics),
            browse_routes.router(library, corrections, media, reviews, figures),
            work_router(store, work, runner, kept),
        ]
        runners = [runner]
        if service is not None:
            runners.append(service.runner)
            routers += [direct_router(service), job_router(service)]
            routers.append(inference_routes.router(service))
        checked = [Depends(ParameterCheck())]
        for router in routers:
            app.include_router(router, dependencies=checked)
        app.frontend("/", directory=VIEWER, fallback=None)
        _complete_schemas(app)
        app.state.watch = opened.enter_context(closing(Watch(database, runners)))
        app.state.service, app.state.library, app.state.is_ready = service, library, False
        app.state.opened = opened.pop_all()  # setup succeeded, so everything stays open
    app.add_middleware(RequestMiddleware, settings=settings, metrics=metrics)
    return app


class Health(BaseModel):
    """Answer of the probes."""

    status: str = "ok"


class ModelInfo(BaseModel):
    """Model that proposes. Stride and length are seconds, if the model fixes them.

    `labels` are those of its classifier, none without one.
    """

    name: str
    backend: str
    mode: str
    channels: int
    stride: float | None
    length: float | None
    takes_videos: bool
    labels: list[str]


class LimitsInfo(BaseModel):
    """Limits: bytes per direct request and per job, seconds per recording."""

    request_bytes: int
    upload_bytes: int
    recording_seconds: float


class ServiceInfo(BaseModel):
    """Description of the service. `model` is null if it only shows results."""

    version: str
    model: ModelInfo | None
    limits: LimitsInfo


def _operations(model: ServedModel | None, limits: Limits, metrics: Metrics) -> APIRouter:
    """Return the probes (without a token), `/metrics`, `/colours.css` and `/api/service`."""
    routes = APIRouter(tags=["operations"])

    @routes.get("/healthz")
    async def healthz() -> Health:
        """Return whether the process answers."""
        return Health()

    @routes.get("/readyz", responses=failures(503))
    async def readyz(request: Request) -> Health:
        """Return whether requests are accepted: the model is open, jobs can be stored and run."""
        check_ready(request)
        return Health()

    @routes.get(
        "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}
    )
    def prometheus() -> Response:
        """Return metrics in Prometheus' text format."""
        content = generate_latest(metrics.registry)
        return Response(content, headers={"Content-Type": CONTENT_TYPE_LATEST})

    @routes.get(
        "/colours.css", response_class=Response, responses={200: {"content": {"text/css": {}}}}
    )
    async def colours() -> Response:
        """Return the colours of the viewer, which are those of reports and pictures."""
        return Response(style_sheet(), media_type="text/css")

    @routes.get("/api/service")
    async def service() -> ServiceInfo:
        """Return the version, the model and the limits of the service."""
        allowed = LimitsInfo.model_validate(limits, from_attributes=True)
        if model is None:
            return ServiceInfo(version=__version__, model=None, limits=allowed)
        info = ModelInfo(
            name=model.bundle.path.resolve().name,
            backend=model.backend,
            mode=model.config.mode,
            channels=model.channels,
            stride=model.bundle.features.stride_seconds,
            length=model.bundle.features.length_seconds,
            takes_videos=model.takes_videos,
            labels=list(model.labels),
        )
        return ServiceInfo(version=__version__, model=info, limits=allowed)

    return routes


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    with app.state.opened:
        if app.state.service is not None:
            app.state.service.runner.start()
        app.state.watch.start()
        app.state.is_ready = True
        yield
        app.state.is_ready = False


def _complete_schemas(app: FastAPI) -> None:
    """Add the schemas to the OpenAPI document that no operation states as its type."""
    _, schemas = models_json_schema(
        [(ProblemDetails, "serialization"), (InferRequest, "validation")],
        ref_template="#/components/schemas/{model}",
    )
    generate: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document["components"]["schemas"].update(schemas["$defs"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]
