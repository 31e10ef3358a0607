"""The ASGI application, and the server process from settings to the last answer after SIGTERM."""

from __future__ import annotations

import secrets
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOL_SOCKET, socket
from threading import Thread
from typing import Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from msgspec.structs import replace
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from actspan import __version__
from actspan.core.colours import style_sheet
from actspan.core.errors import ActSpanError, ConfigError
from actspan.server import browse_routes, inference_routes
from actspan.server.corrections import Corrections
from actspan.server.database import Database
from actspan.server.error_responses import (
    ParameterCheck,
    ProblemDetails,
    check_ready,
    failures,
    install_handlers,
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
from actspan.server.settings import Limits, ServeSettings, is_loopback
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
            responses=failures(400, 401, 403),
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
        if service is not None:
            routers += [direct_router(service), job_router(service)]
            routers.append(inference_routes.router(service))
        checked = [Depends(ParameterCheck())]
        for router in routers:
            app.include_router(router, dependencies=checked)
        app.frontend("/", directory=VIEWER, fallback=None)
        _complete_schemas(app)
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
        """Return whether requests are accepted: the model is open, no stop is in progress."""
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
        config = uvicorn.Config(
            app,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=round(settings.limits.stop_seconds),
        )
        # uvicorn raises the signals that ended it again, but an orderly end is no failure.
        before = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            server = _Server(config, lambda: _announce(app, settings, announce))
            server.run(sockets=[listening])
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


def _announce(app: FastAPI, settings: ServeSettings, announce: Callable[[str], None]) -> None:
    """Announce the address, and once results are read, that no video belongs to a run."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    query = "" if settings.token is None else f"?token={settings.token}"
    announce(f"ActSpan is at http://{host}:{settings.port}/{query} (Ctrl-C stops it)")

    def check() -> None:
        with suppress(ActSpanError):  # a request for a damaged result reports the error
            if line := app.state.library.unplayable():
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
