"""Requests: metrics, security checks, security headers of answers, and bodies with their limits.

A foreign page in the user's browser can send requests to a loopback service. The Host check stops
pages whose name resolves to this service (DNS rebinding). The Origin check stops pages that post.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actspan.core.files import sync
from actspan.server.database import RESERVE
from actspan.server.error_responses import SECURITY_HEADERS, ProblemError
from actspan.server.settings import (
    INFER,
    JOBS_PATH,
    OPEN_PATHS,
    PROPOSE_PATH,
    Limits,
    ServeSettings,
    is_loopback,
)
from actspan.server.storage_errors import disk_error

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_JOB_SECONDS = (0.1, 1, 10, 60, 600, 3600, 21600)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
_BODIES_AT_ONCE = 8  # number of largest bodies that fit in memory together
_BLOCK = 1 << 20  # bytes to collect before a write
_CLOSED = "the connection closed before the end of the body"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = _SAFE_METHODS | {"POST", "PUT", "PATCH", "DELETE"}


class Metrics:
    """Metrics of one service, in their own registry.

    The label "model" is a network, or "pipeline" for the whole pipeline.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        self.requests = counter(
            "actspan_http_requests",
            "Requests that were answered.",
            ("operation", "method", "status"),
        )
        self.request_seconds = histogram(
            "actspan_http_request_seconds",
            "Seconds from a request's first byte to the last byte of its answer.",
            ("operation",),
            buckets=_SECONDS,
        )
        self.waiting = gauge(
            "actspan_waiting_rows",
            "Videos, or rows of a single network, that wait for a worker.",
            ("model",),
        )
        self.batch_rows = histogram(
            "actspan_batch_rows",
            "Videos, or rows of a single network, per batch.",
            ("model",),
            buckets=_ROWS,
        )
        self.refused = counter(
            "actspan_refused",
            "Requests that were refused because of a limit: queue, timeout, memory or jobs.",
            ("reason",),
        )
        self.jobs = gauge("actspan_jobs", "Jobs that are stored.", ("state",))
        self.job_seconds = histogram(
            "actspan_job_seconds",
            "Seconds from the start of a job to its result.",
            buckets=_JOB_SECONDS,
        )

    def refuse(self, reason: str, detail: str, retry_after: int) -> ProblemError:
        """Count a refusal because of a limit, and return its error (429)."""
        self.refused.labels(reason).inc()
        return ProblemError(429, detail, {"Retry-After": str(retry_after)})


class RequestMiddleware:
    """ASGI middleware that counts requests, and refuses those that must not be answered."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        own_hosts = {"localhost", "127.0.0.1", "::1", settings.host}
        self._hosts = {name.lower() for name in own_hosts | set(settings.hosts)}
        # Browsers send a cookie to all ports of a host, so the name contains the port; and the
        # value does not reveal the token to the other applications there.
        self._cookie = f"actspan_{settings.port}"
        self._session = hashlib.sha256(f"actspan cookie {settings.token}".encode()).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on; record its status and duration."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, received, is_complete = perf_counter(), 500, 0, False
        limits, is_upload = self._settings.limits, scope["path"] == JOBS_PATH
        limit = _largest_body(scope["path"], limits)

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        async def receive_limited() -> Message:
            nonlocal received, is_complete
            if is_complete:  # then it is the end of the connection that is waited for
                return await receive()
            # An upload may take long, but no part of it.
            spent = 0.0 if is_upload else perf_counter() - started
            async with _time_limit(limits.body_seconds, spent):
                message = await receive()
            is_complete = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            return message

        try:
            answer = self._check(scope, Headers(scope=scope), limit)
            # The application needs no cookies, and the framework's parser takes quadratic time.
            scope["headers"] = [one for one in scope["headers"] if one[0] != b"cookie"]
            await (answer or self._app)(scope, receive_limited, send_with_headers)
        finally:
            # A template of a path, since unknown paths must not become labels.
            operation = getattr(scope.get("route"), "path_format", None) or "other"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(operation, method, status).inc()
            self._metrics.request_seconds.labels(operation).observe(perf_counter() - started)

    def _check(self, scope: Scope, headers: Headers, limit: int) -> Response | None:
        """Return the answer to a request that is refused, or that signs in a browser."""
        try:
            self._check_host(headers)
            _check_origin(scope, headers)
            if (entry := self._sign_in(scope)) is not None:
                return entry
            self._check_token(scope, headers)
            length = headers.get("content-length", "0")
            if length.isdecimal() and int(length) > limit:
                raise _too_large(limit)
        except ProblemError as problem:
            return problem.response()
        return None

    def _check_host(self, headers: Headers) -> None:
        try:
            name = urlsplit(f"//{headers.get('host', '')}").hostname or ""  # without the port
        except ValueError:
            name = ""
        if is_loopback(self._settings.host) and name not in self._hosts:
            raise ProblemError(
                400, f"host {name!r} is not one of this service; actspan serve --allow-host adds it"
            )

    def _sign_in(self, scope: Scope) -> Response | None:
        """Accept a browser that opens `/?token=...`, and move the token to a cookie."""
        received = QueryParams(scope["query_string"]).get("token", "")
        token = self._settings.token
        if scope["path"] != "/" or token is None or not _equal(received, token):
            return None
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(self._cookie, self._session, httponly=True, samesite="strict")
        return response

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        token = self._settings.token
        if token is None or scope["path"] in OPEN_PATHS:
            return
        scheme, _, received = headers.get("authorization", "").partition(" ")
        is_bearer = scheme.lower() == "bearer" and _equal(received.strip(), token)
        if not (is_bearer or self._has_cookie(headers)):
            raise ProblemError(
                401,
                "a token is needed: send 'Authorization: Bearer TOKEN', or open /?token=TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )

    def _has_cookie(self, headers: Headers) -> bool:
        """Return whether our cookie is among the cookies, whatever those of others look like."""
        wanted = f"{self._cookie}={self._session}"
        cookies = (one for header in headers.getlist("cookie") for one in header.split(";"))
        return any(_equal(cookie.strip(), wanted) for cookie in cookies)


def _check_origin(scope: Scope, headers: Headers) -> None:
    origin = headers.get("origin")
    if origin is None or scope["method"] in _SAFE_METHODS:
        return
    scheme, _, host = origin.partition("://")
    if scheme not in ("http", "https") or host.lower() != headers.get("host", "").lower():
        raise ProblemError(
            403, f"origin {origin!r}: only pages of this service may send requests to it"
        )


def _largest_body(path: str, limits: Limits) -> int:
    """Return the bytes that the body of a request to a path may have."""
    if path == JOBS_PATH:
        return limits.upload_bytes
    takes_arrays = path == PROPOSE_PATH or path.endswith(INFER)
    return limits.request_bytes if takes_arrays else min(limits.json_bytes, limits.request_bytes)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, f"the body is larger than {limit} bytes, which is the limit here")


def _equal(received: str, token: str) -> bool:
    """Compare in constant time, so that the time does not reveal how much matches."""
    return hmac.compare_digest(received.encode("utf-8", "replace"), token.encode())


class Bodies:
    """Reader of the bodies of requests, with limits of time and of memory."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits, self._metrics = limits, metrics
        self._free = _BODIES_AT_ONCE * limits.request_bytes  # bytes of memory for bodies

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytearray]:
        """Yield a body in memory; its memory counts as used until the block ends.

        Raises ProblemError if the body breaks off (400), or others take up the memory (429).
        """
        body, reserved = bytearray(), 0
        try:
            async for chunk in request.stream():
                if len(chunk) > self._free:
                    line = "too many large requests at once; try again"
                    raise self._metrics.refuse("memory", line, 1)
                self._free -= len(chunk)
                reserved += len(chunk)
                body += chunk
            yield body
        except ClientDisconnect:
            raise ProblemError(400, _CLOSED) from None
        finally:
            self._free += reserved

    async def store(self, request: Request, path: Path) -> int:
        """Write a body durably to a new file and return its size. Remove the file on failure.

        Raises ProblemError if the body breaks off (400), or there is no space for it (507).
        """
        free, size = shutil.disk_usage(path.parent).free, request.headers.get("content-length", "0")
        if int(size) + RESERVE > free:
            raise ProblemError(507, f"there is no space for {size} bytes; {free} are free")
        try:
            return await _write(request, path)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, ClientDisconnect):
                raise ProblemError(400, _CLOSED) from None
            if isinstance(error, OSError):
                raise disk_error(error.errno) from error
            raise


async def _write(request: Request, path: Path) -> int:
    size, block = 0, bytearray()
    with path.open("xb") as stream:
        async for chunk in request.stream():
            block += chunk
            if len(block) >= _BLOCK or not chunk:  # the last one is empty
                size += await asyncio.to_thread(stream.write, bytes(block))
                block.clear()
    await asyncio.to_thread(sync, path)
    await asyncio.to_thread(sync, path.parent)
    return size


@asynccontextmanager
async def _time_limit(seconds: float, spent: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(max(seconds - spent, 0)):
            yield
    except TimeoutError:
        raise ProblemError(408, f"the body did not arrive within {seconds:g} s") from None
