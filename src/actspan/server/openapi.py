"""The OpenAPI document. Bodies are msgspec structs, described by their docstrings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Response

Responses = dict[int | str, dict[str, Any]]

BINARY = {"type": "string", "format": "binary"}
_REFERENCES = "#/components/schemas/{name}"


def reference(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return a reference to the schema of a struct."""
    return {"$ref": _REFERENCES.format(name=struct.__name__)}


def answered(
    struct: type[msgspec.Struct], description: str, *, status: int = 200, **others: Any
) -> Responses:
    """Return OpenAPI's `responses` of an operation that answers a struct as JSON.

    `others` are further members of the response, such as `headers`.
    """
    content = {"application/json": {"schema": reference(struct)}}
    return {status: {"description": description, "content": content, **others}}


def failing(struct: type[msgspec.Struct], media_type: str, statuses: Iterable[int]) -> Responses:
    """Return OpenAPI's `responses` of an operation that may fail with these statuses."""
    content = {media_type: {"schema": reference(struct)}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }


def body(content: Mapping[str, Any], description: str) -> dict[str, Any]:
    """Return OpenAPI's `requestBody` for media types and their schemas."""
    media = {name: {"schema": schema} for name, schema in content.items()}
    return {"requestBody": {"required": True, "description": description, "content": media}}


def json_response(value: msgspec.Struct, status: int = 200, **headers: str) -> Response:
    """Return a response with a struct as JSON."""
    content = msgspec.json.encode(value)
    return Response(content, status, headers, media_type="application/json")


def describe(app: FastAPI, structs: Iterable[type[msgspec.Struct]], everywhere: Responses) -> None:
    """Add schemas and common errors to the app's document.

    Parameters
    ----------
    structs : iterable of struct types
        Structs that operations refer to.
    everywhere : mapping of status to response
        Errors of all operations; their 422 replaces FastAPI's own, which is never sent.
    """
    _, components = msgspec.json.schema_components(structs, ref_template=_REFERENCES)
    generate: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(components)
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for operations in document["paths"].values():
            for operation in operations.values():
                _complete(operation["responses"], everywhere)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(responses: dict[str, Any], everywhere: Responses) -> None:
    for status, response in everywhere.items():
        is_validation = status == 422  # only for operations with something to validate
        if is_validation == (str(status) in responses):
            responses[str(status)] = response
