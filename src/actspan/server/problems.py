"""Errors as JSON problem details (RFC 9457): what is wrong, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError

from actspan.core.errors import DataError, ShapeError
from actspan.core.wording import suggestion
from actspan.server.headers import SECURITY
from actspan.server.openapi import Responses, failing

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger("actspan.server")


class ProblemDetails(msgspec.Struct, frozen=True):
    """Answer to a request that failed.

    `error` repeats `detail`, where clients of the inference protocol look for it.
    """

    type: str
    title: str
    status: int
    detail: str
    error: str


class ProblemError(Exception):
    """Error that ends a request with a status and an explanation.

    Parameters
    ----------
    status : int
    detail : str
        What is wrong, and what to do about it.
    headers : mapping, optional
        Further headers of the answer, such as Retry-After.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    def response(self) -> Response:
        """Return the answer to send."""
        title = HTTPStatus(self.status).phrase
        details = ProblemDetails("about:blank", title, self.status, self.detail, self.detail)
        content = msgspec.json.encode(details)
        return Response(content, self.status, self.headers, media_type=MEDIA_TYPE)


def may_fail(*statuses: int) -> Responses:
    """Return OpenAPI's `responses` of an operation that may fail with these statuses.

    Statuses that any request may have (400, 401, 403) are in the document anyway.
    """
    return failing(ProblemDetails, MEDIA_TYPE, statuses)


def install(app: FastAPI) -> None:
    """Register handlers that answer all errors of an app as problems."""
    app.exception_handler(ProblemError)(_of_problem)
    app.exception_handler(RequestValidationError)(_of_validation)
    for kind in (ShapeError, DataError):
        app.exception_handler(kind)(_of_input)
    app.exception_handler(Exception)(_of_anything)


async def _of_problem(request: Request, error: ProblemError) -> Response:
    return error.response()


async def _of_validation(request: Request, error: RequestValidationError) -> Response:
    parts = (
        f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}"
        for e in error.errors()
    )
    return ProblemError(422, "; ".join(parts)).response()


def unknown_names(what: str, unknown: Iterable[str], known: Collection[str]) -> str:
    """Return a line on unknown names, with similar names and all known ones.

    Examples
    --------
    >>> unknown_names("field", ["lable"], ["start", "end", "label"])
    "unknown field 'lable' (did you mean 'label'?); there are: start, end, label"
    """
    named = ", ".join(f"{name!r}{suggestion(name, known)}" for name in dict.fromkeys(unknown))
    return f"unknown {what} {named}; there are: {', '.join(known) or 'none'}"


async def _of_input(request: Request, error: Exception) -> Response:
    return ProblemError(422, str(error)).response()


async def _of_anything(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    # This answer bypasses all middleware, so it needs the security headers here.
    return ProblemError(500, "the service failed; its log says why", SECURITY).response()
