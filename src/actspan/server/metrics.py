"""Metrics for Prometheus, served at /metrics."""

from __future__ import annotations

from time import perf_counter

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)


class Metrics:
    """Metrics of one service, in their own registry.

    Attributes
    ----------
    registry : CollectorRegistry
    requests, request_seconds
        Labelled by operation; requests also by method and status.
    waiting, batch_rows
        Waiting rows and rows per batch, by network ("pipeline" for the whole pipeline).
    refused
        Labelled by reason: queue, timeout, memory, jobs.
    jobs, job_seconds
        Number of jobs by state, and duration of jobs that are done.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "actspan_http_requests",
            "Requests that were answered.",
            ("operation", "method", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "actspan_http_request_seconds",
            "From a request's first byte to the last of its answer.",
            ("operation",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.waiting = Gauge(
            "actspan_waiting_rows",
            "Videos, or rows of a single network, that wait for a worker.",
            ("model",),
            registry=self.registry,
        )
        self.batch_rows = Histogram(
            "actspan_batch_rows",
            "Videos, or rows of a single network, that were worked on at once.",
            ("model",),
            buckets=_ROWS,
            registry=self.registry,
        )
        self.refused = Counter(
            "actspan_refused",
            "Requests that were refused because there was too much to do.",
            ("reason",),
            registry=self.registry,
        )
        self.jobs = Gauge("actspan_jobs", "Jobs that are kept.", ("state",), registry=self.registry)
        self.job_seconds = Histogram(
            "actspan_job_seconds",
            "From the start of a job to its result.",
            buckets=(0.1, 1, 10, 60, 600, 3600, 21600),
            registry=self.registry,
        )


class Measured:
    """ASGI middleware that counts and times requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and record its status and duration."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 500

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            operation = _operation(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(operation, method, status).inc()
            self._metrics.request_seconds.labels(operation).observe(perf_counter() - began)


def _operation(scope: Scope) -> str:
    """Return the path template of an operation; unknown paths must not become labels."""
    path: str | None = getattr(scope.get("route"), "path_format", None)
    return path or "other"
