"""Errors as JSON problem details (RFC 9457): what was wrong, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError

from actspan.errors import DataError, ShapeError
from actspan.server.headers import SECURITY
from actspan.server.openapi import Responses, failing
from actspan.wording import suggestion

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger("actspan.server")


class ProblemDetails(msgspec.Struct, frozen=True):
    """What a request that failed is answered.

    `error` is `detail` again, where clients of the inference protocol look for it.
    """

    type: str
    title: str
    status: int
    detail: str
    error: str


class ProblemError(Exception):
    """Ends a request with a status and an explanation.

    Parameters
    ----------
    status : int
    detail : str
        What was wrong, and what to do about it.
    headers : mapping, optional
        Further headers of the answer, such as Retry-After.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    def response(self) -> Response:
        """The answer to send."""
        title = HTTPStatus(self.status).phrase
        details = ProblemDetails("about:blank", title, self.status, self.detail, self.detail)
        content = msgspec.json.encode(details)
        return Response(content, self.status, self.headers, media_type=MEDIA_TYPE)


def may_fail(*statuses: int) -> Responses:
    """OpenAPI's `responses` of an operation that may end with one of these problems.

    What stands before every request (400, 401, 403) is in the document anyway.
    """
    return failing(ProblemDetails, MEDIA_TYPE, statuses)


def install(app: FastAPI) -> None:
    """Let an app answer everything that is raised as a problem."""
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
    """Return a line on names that are not known, with the nearest ones and all that are.

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
    # this answer is made outside of all middleware
    return ProblemError(500, "the service failed; its log says why", SECURITY).response()
