"""Whether the service lives and can work, what it is, and what it has done."""

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
    """What is proposed with. Stride and length are seconds, where the model fixes them."""

    name: str
    backend: str
    mode: str
    channels: int
    stride: float | None
    length: float | None
    takes_videos: bool


class LimitsInfo(msgspec.Struct, frozen=True):
    """How much may be sent: bytes at once and as a job, seconds of a recording."""

    request_bytes: int
    upload_bytes: int
    recording_seconds: float


class ServiceInfo(msgspec.Struct, frozen=True):
    """What this service is. `model` is null where it only shows results."""

    version: str
    model: ModelInfo | None
    limits: LimitsInfo


def router(
    model: ServedModel | None, limits: Limits, metrics: Metrics, *, is_ready: Callable[[], bool]
) -> APIRouter:
    """`/healthz`, `/readyz` (without a token), `/metrics` and `/api/service`."""
    routes = APIRouter(tags=["operations"])
    text: Responses = {200: {"description": "Metrics.", "content": {"text/plain": {}}}}

    @routes.get(
        "/healthz",
        response_class=Response,
        responses=answered(Health, "The process answers."),
    )
    async def healthz() -> Response:
        """Whether the process answers."""
        return json_response(Health())

    @routes.get(
        "/readyz",
        response_class=Response,
        responses=answered(Health, "Requests are taken.") | may_fail(503),
    )
    async def readyz() -> Response:
        """Whether requests are taken: the model is open, and the service does not stop."""
        if not is_ready():
            raise ProblemError(503, "the service starts or stops")
        return json_response(Health())

    @routes.get(
        "/metrics",
        response_class=Response,
        responses=text,
    )
    def prometheus() -> Response:
        """Metrics in Prometheus' text format."""
        content = generate_latest(metrics.registry)
        return Response(content, headers={"Content-Type": CONTENT_TYPE_LATEST})

    @routes.get(
        "/api/service",
        response_class=Response,
        responses=answered(ServiceInfo, "The service."),
    )
    async def service() -> Response:
        """What this service is, and how much may be sent to it."""
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
