"""Errors as JSON problem details (RFC 9457), for wrong addresses and parameters too."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from starlette.exceptions import HTTPException

from actspan.core.errors import ConfigError, DataError, ShapeError
from actspan.core.wording import suggestion

Responses = dict[int | str, dict[str, Any]]  # OpenAPI's `responses` of an operation

MEDIA_TYPE = "application/problem+json"
BINARY = {"schema": {"type": "string", "format": "binary"}}  # OpenAPI's content of a media type
SECURITY_HEADERS: Final = {  # of every answer
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "cache-control": "no-cache",  # revalidate, so that no page mixes two versions
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_BAD_INPUT = (ConfigError, ShapeError, DataError)
_NEEDS_MODEL = re.compile(r"/?(api/propos|api/job|v\d|propos|job)")
# pydantic's sentences, without the reason that repeats them: "Input should be a valid integer, ..."
_SUBJECT = re.compile(
    r"(?:Input|String|List|Tuple|Dictionary|Data|Value) should (.*?)(, unable .*)?"
)
_PLACES = (["query"], ["path"], ["header"], ["body"])  # of FastAPI, before the name of a field
_LONGEST_VALUE = 60  # characters of a value that is repeated in a message
log = logging.getLogger("actspan.server")


class ProblemDetails(BaseModel):
    """Answer to a request that failed.

    `error` repeats `detail`, where clients of the inference protocol look for it.
    """

    type: str
    title: str
    status: int
    detail: str
    error: str


class ProblemError(Exception):
    """Error that ends a request with a status, what is wrong, and what to do about it.

    `headers` are further headers of the answer, such as Retry-After.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    def response(self) -> Response:
        """Return the answer to send."""
        title, text = HTTPStatus(self.status).phrase, self.detail
        details = ProblemDetails(
            type="about:blank", title=title, status=self.status, detail=text, error=text
        )
        return Response(details.model_dump_json(), self.status, self.headers, MEDIA_TYPE)


class RequestBody(BaseModel):
    """Base of request bodies; unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def refuse_unknown_fields(cls, values: Any) -> Any:
        """Return the values unchanged, or raise ValueError with similar field names."""
        fields = values if isinstance(values, dict) else {}
        if unknown := [name for name in fields if name not in cls.model_fields]:
            raise ValueError(unknown_names("field", unknown, cls.model_fields))
        return values


def failures(*statuses: int) -> Responses:
    """Return the `responses` of an operation that may fail with these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"content": content} for status in statuses}


def request_body(content: dict[str, Any], description: str) -> dict[str, Any]:
    """Return OpenAPI's `requestBody` for the content of media types."""
    return {"requestBody": {"required": True, "description": description, "content": content}}


def validation_detail(error: ValidationError | RequestValidationError) -> str:
    """Return one line that names each invalid field or parameter and what is wrong with it."""
    return "; ".join(_fault_in_words(fault) for fault in error.errors())


def _fault_in_words(fault: Mapping[str, Any]) -> str:
    """Return a line on one fault: the field by its own name, what it must be, and what it is."""
    location = [str(part) for part in fault["loc"]]
    name = ".".join(location[1:] if location[:1] in _PLACES else location)
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "missing":
        return f"{name} is missing" if name else "a body is needed"
    said = _SUBJECT.fullmatch(message)
    if said is None:
        return f"{name}: {message}" if name else message
    given = fault.get("input")
    value = f", not {given!r}" if isinstance(given, str | int | float) else ""
    if len(value) > _LONGEST_VALUE:
        value = ""
    return f"{name or 'the body'} must {said[1]}{value}"


def unknown_names(what: str, unknown: Iterable[str], known: Collection[str]) -> str:
    """Return a line on unknown names, with similar names and all known ones.

    Examples
    --------
    >>> unknown_names("field", ["lable"], ["start", "end", "label"])
    "unknown field 'lable' (did you mean 'label'?); available: start, end, label"
    """
    named = ", ".join(f"{name!r}{suggestion(name, known)}" for name in dict.fromkeys(unknown))
    return f"unknown {what} {named}; available: {', '.join(known) or 'none'}"


def check_ready(request: Request) -> None:
    """Raise ProblemError (503) while the service is starting or stopping."""
    if not request.app.state.is_ready:
        raise ProblemError(503, "the service is starting or stopping")


class ParameterCheck:
    """Dependency that refuses query parameters which the requested operation does not have."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], list[str]] = {}  # by method and path

    async def __call__(self, request: Request) -> None:
        """Raise ProblemError (400) for unknown parameters."""
        if not request.query_params:
            return
        known = self._known_to(request)
        unknown = [name for name in request.query_params if name not in known]
        if unknown:
            raise ProblemError(400, unknown_names("parameter", unknown, known))

    def _known_to(self, request: Request) -> list[str]:
        """Return the query parameters of an operation, from its own part of the document alone.

        The document of all operations takes ten times as long, and the first page would wait.
        """
        route = request.scope["route"]
        key = (request.method, route.path_format)
        if key not in self._known:
            ((_, operations),) = get_openapi(title="", version="", routes=[route])["paths"].items()
            described = operations[request.method.lower()].get("parameters", ())
            self._known[key] = [one["name"] for one in described if one["in"] == "query"]
        return self._known[key]


def install_handlers(app: FastAPI) -> None:
    """Register a handler that answers all errors of an app as problem details."""

    async def answer(request: Request, error: Exception) -> Response:
        return _problem(app, request, error).response()

    for kind in (ProblemError, RequestValidationError, *_BAD_INPUT, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def _problem(app: FastAPI, request: Request, error: Exception) -> ProblemError:
    if isinstance(error, ProblemError):
        return error
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
