"""Errors for a path, a method or a query parameter that the service does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from actspan.core.wording import suggestion
from actspan.server.problems import ProblemError, unknown_names

_OF_MODELS = re.compile(r"/?(api/propos|api/job|v\d|propos|job)")


def unknown_address(app: FastAPI, path: str) -> str:
    """Return the error message for a path that is not served."""
    listed = "/openapi.json lists what is served"
    if app.state.proposing is None and _OF_MODELS.match(path):
        need = "proposals and jobs need a model: actspan serve --model BUNDLE"
        return f"nothing is at {path}: {need}; {listed}"
    close = suggestion(path, [_filled(template, path) for template in _operations(app)])
    return f"nothing is at {path}{close}; {listed}"


def wrong_method(app: FastAPI, method: str, path: str) -> tuple[str, str]:
    """Return the error message for a method that a path does not have, and its methods."""
    allowed = sorted({name.upper() for template in _matching(app, path) for name in template})
    there = ", ".join(allowed) or "GET"
    return f"{path} does not take {method}; it takes {there}", there


async def explain_refusal(request: Request, error: Exception) -> Response:
    """Answer a request for a path or a method that is not served."""
    assert isinstance(error, HTTPException)
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = unknown_address(request.app, request.url.path)
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail, headers["Allow"] = wrong_method(request.app, request.method, request.url.path)
    return ProblemError(error.status_code, detail, headers).response()


async def refuse_unknown_parameters(request: Request) -> None:
    """Raise for a query with parameters that the operation does not have.

    Raises
    ------
    ProblemError
        Names the unknown parameters and similar ones that exist (400).
    """
    if not request.query_params:
        return
    operations = _operations(request.app)[request.scope["route"].path_format]
    described = operations[request.method.lower()].get("parameters", ())
    known = [parameter["name"] for parameter in described if parameter["in"] == "query"]
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise ProblemError(400, unknown_names("parameter", unknown, known))


def _operations(app: FastAPI) -> dict[str, dict[str, Any]]:
    """Return the operations of each path, by method."""
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    return paths


def _matching(app: FastAPI, path: str) -> Iterator[dict[str, Any]]:
    for template, operations in _operations(app).items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path.rstrip("/")):
            yield operations


def _filled(template: str, path: str) -> str:
    """Return a template with its parameters replaced by the parts of the path."""
    parts = path.strip("/").split("/")
    words = template.strip("/").split("/")
    filled = [
        parts[i] if word.startswith("{") and i < len(parts) else word
        for i, word in enumerate(words)
    ]
    return f"/{'/'.join(filled)}"
