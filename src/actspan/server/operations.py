"""Health probes, metrics, and the description of the service."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from actspan import __version__
from actspan.server.metrics import Metrics
from actspan.server.model import ServedModel
from actspan.server.openapi import Responses, answered, json_response
from actspan.server.problems import ProblemError, may_fail
from actspan.server.settings import Limits


class Health(msgspec.Struct, frozen=True):
    """Answer of the probes."""

    status: str = "ok"


class ModelInfo(msgspec.Struct, frozen=True):
    """Model that proposes. Stride and length are seconds, if the model fixes them."""

    name: str
    backend: str
    mode: str
    channels: int
    stride: float | None
    length: float | None
    takes_videos: bool


class LimitsInfo(msgspec.Struct, frozen=True):
    """Limits: bytes per direct request and per job, seconds per recording."""

    request_bytes: int
    upload_bytes: int
    recording_seconds: float


class ServiceInfo(msgspec.Struct, frozen=True):
    """Description of the service. `model` is null if it only shows results."""

    version: str
    model: ModelInfo | None
    limits: LimitsInfo


def router(
    model: ServedModel | None, limits: Limits, metrics: Metrics, *, is_ready: Callable[[], bool]
) -> APIRouter:
    """Return `/healthz`, `/readyz` (both without a token), `/metrics` and `/api/service`."""
    routes = APIRouter(tags=["operations"])
    text: Responses = {200: {"description": "Metrics.", "content": {"text/plain": {}}}}

    @routes.get(
        "/healthz",
        response_class=Response,
        responses=answered(Health, "The process answers."),
    )
    async def healthz() -> Response:
        """Return whether the process answers."""
        return json_response(Health())

    @routes.get(
        "/readyz",
        response_class=Response,
        responses=answered(Health, "Requests are taken.") | may_fail(503),
    )
    async def readyz() -> Response:
        """Return whether requests are accepted: the model is open, no stop is under way."""
        if not is_ready():
            raise ProblemError(503, "the service starts or stops")
        return json_response(Health())

    @routes.get(
        "/metrics",
        response_class=Response,
        responses=text,
    )
    def prometheus() -> Response:
        """Return metrics in Prometheus' text format."""
        content = generate_latest(metrics.registry)
        return Response(content, headers={"Content-Type": CONTENT_TYPE_LATEST})

    @routes.get(
        "/api/service",
        response_class=Response,
        responses=answered(ServiceInfo, "The service."),
    )
    async def service() -> Response:
        """Return the version, the model and the limits of the service."""
        sizes = (limits.request_bytes, limits.upload_bytes, limits.recording_seconds)
        found = None if model is None else _model_info(model)
        return json_response(ServiceInfo(__version__, found, LimitsInfo(*sizes)))

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
