"""Errors as JSON problem details (RFC 9457): what was wrong, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from actspan.errors import DataError, ShapeError

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger("actspan.server")


class ProblemDetails(BaseModel):
    """What a request that failed is answered."""

    type: str = "about:blank"
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="What was wrong, and what to do about it.")
    error: str = Field("", description="The same as `detail`, where the inference protocol looks.")


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
        details = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "error": self.detail,
        }
        content = msgspec.json.encode(details)
        return Response(content, self.status, self.headers, media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` of an operation that may end with one of these problems."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Let an app answer everything that is raised as a problem."""
    app.exception_handler(ProblemError)(_of_problem)
    app.exception_handler(HTTPException)(_of_http)
    app.exception_handler(RequestValidationError)(_of_validation)
    for kind in (ShapeError, DataError):
        app.exception_handler(kind)(_of_input)
    app.exception_handler(Exception)(_of_anything)


async def _of_problem(request: Request, error: ProblemError) -> Response:
    return error.response()


async def _of_http(request: Request, error: HTTPException) -> Response:
    return ProblemError(error.status_code, str(error.detail), error.headers).response()


async def _of_validation(request: Request, error: RequestValidationError) -> Response:
    parts = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return ProblemError(422, "; ".join(parts)).response()


async def _of_input(request: Request, error: Exception) -> Response:
    return ProblemError(422, str(error)).response()


async def _of_anything(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return ProblemError(500, "the service failed; its log says why").response()
