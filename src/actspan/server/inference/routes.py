"""`/v2`: health, metadata and inference, as the Open Inference Protocol defines them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Request, Response
from fastapi import Path as InPath

from actspan import __version__
from actspan.core.wording import suggestion
from actspan.server.bodies import Bodies
from actspan.server.inference.models import InferenceModel
from actspan.server.inference.tensors import (
    InferAnswer,
    InferRequest,
    TensorSpec,
    check_outputs,
    read_request,
    write_answer,
)
from actspan.server.openapi import BINARY, answered, body, json_response, reference
from actspan.server.problems import ProblemError, may_fail

_VERSIONED = "/models/{model}/versions/{version}"
HEADER_LENGTH = "Inference-Header-Content-Length"
# Above these numbers of bytes, of JSON and in total, parsing would block other requests.
_LARGE, _VERY_LARGE = 1 << 18, 1 << 23


class ServerMetadata(msgspec.Struct, frozen=True):
    """Metadata of the service, as the protocol defines it."""

    name: str
    version: str
    extensions: list[str]


class Live(msgspec.Struct, frozen=True):
    """Liveness of the service."""

    live: bool


class Ready(msgspec.Struct, frozen=True):
    """Readiness of the service."""

    ready: bool


class ModelReady(msgspec.Struct, frozen=True):
    """Readiness of a model."""

    name: str
    ready: bool


class ModelMetadata(msgspec.Struct, frozen=True):
    """Inputs and outputs of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


STRUCTS = (ServerMetadata, Live, Ready, ModelReady, ModelMetadata, InferRequest, InferAnswer)

ModelName = Annotated[str, InPath(description="tem, pem or pipeline.")]
Version = Annotated[str, InPath(description="1, the only one.")]
HeaderLength = Annotated[
    int | None,
    Header(
        alias=HEADER_LENGTH, ge=0, description="Bytes of JSON; binary tensors follow behind them."
    ),
]


def router(
    models: Mapping[str, InferenceModel], bodies: Bodies, *, is_ready: Callable[[], bool]
) -> APIRouter:
    """Return all operations of the protocol."""
    routes = APIRouter(prefix="/v2", tags=["inference protocol v2"])
    _add_server(routes, is_ready)
    _add_models(routes, models, is_ready)
    _add_infer(routes, models, bodies)
    return routes


def _add_server(routes: APIRouter, is_ready: Callable[[], bool]) -> None:
    @routes.get(
        "",
        response_class=Response,
        responses=answered(ServerMetadata, "The service."),
    )
    async def server() -> Response:
        """Return the name, the version and the extensions of the service."""
        return json_response(ServerMetadata("actspan", __version__, ["binary_tensor_data"]))

    @routes.get(
        "/health/live",
        response_class=Response,
        responses=answered(Live, "It lives."),
    )
    async def live() -> Response:
        """Return whether the service is alive."""
        return json_response(Live(True))

    @routes.get(
        "/health/ready",
        response_class=Response,
        responses=answered(Ready, "It is ready.") | may_fail(503),
    )
    async def ready() -> Response:
        """Return whether the service accepts requests."""
        if not is_ready():
            raise ProblemError(503, "the service starts or stops")
        return json_response(Ready(True))


def _add_models(
    routes: APIRouter, models: Mapping[str, InferenceModel], is_ready: Callable[[], bool]
) -> None:
    described = answered(ModelMetadata, "The model.") | may_fail(404, 422)
    told = answered(ModelReady, "The model.") | may_fail(404, 422)

    @routes.get("/models/{model}", response_class=Response, responses=described)
    async def metadata(model: ModelName) -> Response:
        """Return the inputs and outputs of a model."""
        return json_response(_metadata(_found(models, model)))

    @routes.get(_VERSIONED, response_class=Response, responses=described)
    async def version_metadata(model: ModelName, version: Version) -> Response:
        """Return the inputs and outputs of a version of a model."""
        return json_response(_metadata(_found(models, model, version)))

    @routes.get("/models/{model}/ready", response_class=Response, responses=told)
    async def model_ready(model: ModelName) -> Response:
        """Return whether a model is ready."""
        return json_response(ModelReady(_found(models, model).name, is_ready()))

    @routes.get(f"{_VERSIONED}/ready", response_class=Response, responses=told)
    async def version_ready(model: ModelName, version: Version) -> Response:
        """Return whether a version of a model is ready."""
        return json_response(ModelReady(_found(models, model, version).name, is_ready()))


def _add_infer(routes: APIRouter, models: Mapping[str, InferenceModel], bodies: Bodies) -> None:
    run = answered(InferAnswer, "What the model gave; binary tensors follow behind the JSON.")
    run[200]["content"]["application/octet-stream"] = {"schema": BINARY}
    run |= may_fail(404, 408, 413, 415, 422, 429, 503, 504)
    media = {"application/json": reference(InferRequest), "application/octet-stream": BINARY}
    described = body(media, "A request: JSON, or JSON and binary tensors behind it.")

    @routes.post(
        "/models/{model}/infer",
        response_class=Response,
        responses=run,
        openapi_extra=described,
    )
    async def infer(request: Request, model: ModelName, header: HeaderLength = None) -> Response:
        """Run a model."""
        return await _infer(request, _found(models, model), bodies, header)

    @routes.post(
        f"{_VERSIONED}/infer", response_class=Response, responses=run, openapi_extra=described
    )
    async def version_infer(
        request: Request, model: ModelName, version: Version, header: HeaderLength = None
    ) -> Response:
        """Run a version of a model."""
        return await _infer(request, _found(models, model, version), bodies, header)


def _found(models: Mapping[str, InferenceModel], name: str, version: str = "1") -> InferenceModel:
    if name not in models:
        there = ", ".join(models)
        raise ProblemError(404, f"no model {name!r}{suggestion(name, models)}; there are: {there}")
    if version != "1":
        raise ProblemError(404, f"model {name!r} has no version {version!r}; its only version is 1")
    return models[name]


async def _infer(
    request: Request, model: InferenceModel, bodies: Bodies, header: int | None
) -> Response:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ProblemError(415, "compressed bodies are not taken; send it as it is")
    async with bodies.read(request) as data:
        if (len(data) if header is None else header) > _LARGE or len(data) > _VERY_LARGE:
            asked, tensors = await asyncio.to_thread(read_request, data, header, model.inputs)
        else:
            asked, tensors = read_request(data, header, model.inputs)
        check_outputs(asked, model.outputs)
        outputs = await model.infer(tensors, asked.parameters)
    content, head = write_answer(model.name, asked, outputs, model.outputs)
    if head is None:
        return Response(content, media_type="application/json")
    headers = {HEADER_LENGTH: str(head)}
    return Response(content, headers=headers, media_type="application/octet-stream")


def _metadata(model: InferenceModel) -> ModelMetadata:
    return ModelMetadata(model.name, ["1"], "actspan", model.inputs, model.outputs)
