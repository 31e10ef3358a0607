"""Errors as JSON problem details (RFC 9457), for wrong addresses and parameters too."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

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
# pydantic's sentences, without the reason that repeats them: "Input should be a valid integer, ..."
_SUBJECT = re.compile(
    r"(?:Input|String|List|Tuple|Dictionary|Data|Value) should (.*?)(, unable .*)?"
)
_PLACES = (["query"], ["path"], ["header"], ["body"])  # of FastAPI, before the name of a field
_LONGEST_VALUE = 60  # characters of a value that is repeated in a message


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
    """Raise ProblemError (503) while the service starts or stops, or cannot store or run jobs."""
    if not request.app.state.is_ready:
        raise ProblemError(503, "the service is starting or stopping")
    request.app.state.watch.check()


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
