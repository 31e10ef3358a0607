"""Metrics for Prometheus, health probes, and the description of the service."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actspan import __version__
from actspan.server.error_responses import ProblemError, failures
from actspan.server.settings import Limits

if TYPE_CHECKING:
    from actspan.server.served_model import ServedModel

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_JOB_SECONDS = (0.1, 1, 10, 60, 600, 3600, 21600)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


class Metrics:
    """Metrics of one service, in their own registry.

    The label "model" is a network, or "pipeline" for the whole pipeline.
    """

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        PlatformCollector(registry=own)
        self.requests = Counter(
            "actspan_http_requests",
            "Requests that were answered.",
            ("operation", "method", "status"),
            registry=own,
        )
        self.request_seconds = Histogram(
            "actspan_http_request_seconds",
            "Seconds from a request's first byte to the last byte of its answer.",
            ("operation",),
            buckets=_SECONDS,
            registry=own,
        )
        self.waiting = Gauge(
            "actspan_waiting_rows",
            "Videos, or rows of a single network, that wait for a worker.",
            ("model",),
            registry=own,
        )
        self.batch_rows = Histogram(
            "actspan_batch_rows",
            "Videos, or rows of a single network, per batch.",
            ("model",),
            buckets=_ROWS,
            registry=own,
        )
        self.refused = Counter(
            "actspan_refused",
            "Requests that were refused because of a limit: queue, timeout, memory or jobs.",
            ("reason",),
            registry=own,
        )
        self.jobs = Gauge("actspan_jobs", "Jobs that are stored.", ("state",), registry=own)
        self.job_seconds = Histogram(
            "actspan_job_seconds",
            "Seconds from the start of a job to its result.",
            buckets=_JOB_SECONDS,
            registry=own,
        )


class MetricsMiddleware:
    """ASGI middleware that counts and times requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and record its status and duration."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), 500

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note_status)
        finally:
            # A template of a path, since unknown paths must not become labels.
            operation = getattr(scope.get("route"), "path_format", None) or "other"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(operation, method, status).inc()
            self._metrics.request_seconds.labels(operation).observe(perf_counter() - started)


class Health(BaseModel):
    """Answer of the probes."""

    status: str = "ok"


class ModelInfo(BaseModel):
    """Model that proposes. Stride and length are seconds, if the model fixes them."""

    name: str
    backend: str
    mode: str
    channels: int
    stride: float | None
    length: float | None
    takes_videos: bool


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


def check_ready(request: Request) -> None:
    """Raise ProblemError (503) while the service starts or stops."""
    if not request.app.state.is_ready:
        raise ProblemError(503, "the service starts or stops")


def router(model: ServedModel | None, limits: Limits, metrics: Metrics) -> APIRouter:
    """Return `/healthz`, `/readyz` (both without a token), `/metrics` and `/api/service`."""
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

    @routes.get("/api/service")
    async def service() -> ServiceInfo:
        """Return the version, the model and the limits of the service."""
        return ServiceInfo(
            version=__version__,
            model=None if model is None else _model_info(model),
            limits=LimitsInfo.model_validate(limits, from_attributes=True),
        )

    return routes


def _model_info(model: ServedModel) -> ModelInfo:
    spec = model.bundle.features
    return ModelInfo(
        name=model.bundle.path.resolve().name,
        backend=model.backend,
        mode=model.config.mode,
        channels=model.channels,
        stride=spec.stride_seconds,
        length=spec.length_seconds,
        takes_videos=model.takes_videos,
    )
