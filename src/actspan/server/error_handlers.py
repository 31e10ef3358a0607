"""Handlers of exceptions: every failed request is answered with problem details."""

from __future__ import annotations

import logging
import re
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from actspan.core.errors import ActSpanError, ConfigError, DataError, ShapeError
from actspan.core.wording import suggestion
from actspan.server.error_responses import SECURITY_HEADERS, ProblemError, validation_detail
from actspan.server.storage_errors import storage_error

_BAD_INPUT = (ConfigError, ShapeError, DataError)
_NEEDS_MODEL = re.compile(r"/?(api/propos|api/job|v\d|propos|job)")
log = logging.getLogger("actspan.server")


def install_handlers(app: FastAPI) -> None:
    """Register a handler that answers all errors of an app as problem details."""

    async def answer(request: Request, error: Exception) -> Response:
        return _problem(app, request, error).response()

    handled = (
        ProblemError,
        RequestValidationError,
        ActSpanError,
        OSError,
        HTTPException,
        Exception,
    )
    for kind in handled:
        app.add_exception_handler(kind, answer)


def _problem(app: FastAPI, request: Request, error: Exception) -> ProblemError:
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, HTTPException) and isinstance(error.__cause__, ProblemError):
        return error.__cause__  # raised while the framework read the body
    if (storage := storage_error(error)) is not None:
        return storage
    if isinstance(error, RequestValidationError):
        return ProblemError(422, validation_detail(error))
    if isinstance(error, _BAD_INPUT):
        return ProblemError(422, str(error))
    path = request.url.path
    if not isinstance(error, HTTPException):
        log.error("%s %s failed", request.method, path, exc_info=error)
        # This answer bypasses all middleware, so it needs the security headers here.
        return ProblemError(500, "the service failed; its log says why", SECURITY_HEADERS)
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = _unknown_path(app, path)
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _methods(app, path)
        detail = f"{path} does not support {request.method}, only {headers['Allow']}"
    return ProblemError(error.status_code, detail, headers)


def _unknown_path(app: FastAPI, path: str) -> str:
    listed = "/openapi.json lists what is served"
    if app.state.service is None and _NEEDS_MODEL.match(path):
        need = "proposals and jobs need a model: actspan serve --model BUNDLE"
        return f"nothing is at {path}: {need}; {listed}"
    close = suggestion(
        path, [_fill_template(template, path) for template in app.openapi()["paths"]]
    )
    return f"nothing is at {path}{close}; {listed}"


def _methods(app: FastAPI, path: str) -> str:
    """Return the methods of a path, for the Allow header."""
    allowed = {
        method.upper()
        for template, operations in app.openapi()["paths"].items()
        if _fill_template(template, path) == path.rstrip("/")
        for method in operations
    }
    return ", ".join(sorted(allowed)) or "GET"


def _fill_template(template: str, path: str) -> str:
    """Return a template with its parameters replaced by the parts of the path."""
    parts = path.strip("/").split("/")
    words = enumerate(template.strip("/").split("/"))
    filled = (parts[i] if word.startswith("{") and i < len(parts) else word for i, word in words)
    return f"/{'/'.join(filled)}"
