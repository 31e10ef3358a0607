"""`/v2`: TEM, PEM and the whole pipeline by the Open Inference Protocol v2."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi import Path as InPath
from pydantic import BaseModel

from actspan import __version__
from actspan.core.wording import suggestion
from actspan.model.weights import NETS
from actspan.server.error_responses import (
    BINARY,
    ProblemError,
    Responses,
    failures,
    request_body,
)
from actspan.server.inference_models import InferenceModel, network, whole_pipeline
from actspan.server.inference_tensors import (
    InferAnswer,
    TensorSpec,
    check_outputs,
    read_request,
    write_answer,
)
from actspan.server.operations import check_ready
from actspan.server.service import ProposalService

HEADER_LENGTH = "Inference-Header-Content-Length"
# Above these numbers of bytes, of JSON and in total, parsing would block other requests.
_LARGE, _VERY_LARGE = 1 << 18, 1 << 23
_ANSWER: Responses = {200: {"content": {"application/octet-stream": BINARY}}}
_REQUEST = request_body(
    {
        "application/json": {"schema": {"$ref": "#/components/schemas/InferRequest"}},
        "application/octet-stream": BINARY,
    },
    "A request: JSON, or JSON and binary tensors behind it.",
)


class ServerMetadata(BaseModel):
    """Metadata of the service, as the protocol defines it."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """Liveness of the service."""

    live: bool


class Ready(BaseModel):
    """Readiness of the service."""

    ready: bool


class ModelReady(BaseModel):
    """Readiness of a model."""

    name: str
    ready: bool


class ModelMetadata(BaseModel):
    """Inputs and outputs of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


ModelName = Annotated[str, InPath(description="tem, pem or pipeline.")]
Version = Annotated[str, InPath(description="1, the only version.")]
HeaderLength = Annotated[
    int | None,
    Header(
        alias=HEADER_LENGTH, ge=0, description="Bytes of JSON; binary tensors follow behind them."
    ),
]


def router(service: ProposalService) -> APIRouter:
    """Return all operations of the protocol."""
    routes = APIRouter(prefix="/v2", tags=["inference protocol v2"])
    longest = service.limits.recording_seconds
    pipeline = whole_pipeline(service.model, longest)
    models = {one.name: one for one in (*(network(service.model, n) for n in NETS), pipeline)}

    def find(model: ModelName) -> InferenceModel:
        if model not in models:
            known, close = ", ".join(models), suggestion(model, models)
            raise ProblemError(404, f"no model {model!r}{close}; there are: {known}")
        return models[model]

    def find_version(model: ModelName, version: Version) -> InferenceModel:
        found = find(model)
        if version != "1":
            detail = f"model {model!r} has no version {version!r}; its only version is 1"
            raise ProblemError(404, detail)
        return found

    _add_server(routes)
    _add_model(routes, "/models/{model}", Depends(find), service)
    _add_model(routes, "/models/{model}/versions/{version}", Depends(find_version), service)
    return routes


def _add_server(routes: APIRouter) -> None:
    @routes.get("")
    async def server() -> ServerMetadata:
        """Return the name, the version and the extensions of the service."""
        extensions = ["binary_tensor_data"]
        return ServerMetadata(name="actspan", version=__version__, extensions=extensions)

    @routes.get("/health/live")
    async def live() -> Live:
        """Return whether the service is alive."""
        return Live(live=True)

    @routes.get("/health/ready", responses=failures(503))
    async def ready(request: Request) -> Ready:
        """Return whether the service accepts requests."""
        check_ready(request)
        return Ready(ready=True)


def _add_model(routes: APIRouter, path: str, model: Any, service: ProposalService) -> None:
    """Add the operations of one model; `model` is the dependency that finds it by the path."""

    @routes.get(path, responses=failures(404, 422))
    async def metadata(found: InferenceModel = model) -> ModelMetadata:
        """Return the inputs and outputs of a model."""
        return ModelMetadata(
            name=found.name,
            versions=["1"],
            platform="actspan",
            inputs=found.inputs,
            outputs=found.outputs,
        )

    @routes.get(f"{path}/ready", responses=failures(404, 422))
    async def model_ready(request: Request, found: InferenceModel = model) -> ModelReady:
        """Return whether a model is ready."""
        return ModelReady(name=found.name, ready=request.app.state.is_ready)

    @routes.post(
        f"{path}/infer",
        response_model=InferAnswer,
        response_description="Outputs; binary tensors follow behind the JSON.",
        responses=_ANSWER | failures(404, 408, 413, 415, 422, 429, 503, 504),
        openapi_extra=_REQUEST,
    )
    async def infer(
        request: Request, found: InferenceModel = model, header: HeaderLength = None
    ) -> Response:
        """Run a model."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise ProblemError(415, "compressed bodies are not accepted; send the body as it is")
        async with service.body(request) as data:
            if (len(data) if header is None else header) > _LARGE or len(data) > _VERY_LARGE:
                asked, tensors = await asyncio.to_thread(read_request, data, header, found.inputs)
            else:
                asked, tensors = read_request(data, header, found.inputs)
            check_outputs(asked, found.outputs)
            outputs = await found.infer(tensors, asked.parameters)
        content, json_size = write_answer(found.name, asked, outputs, found.outputs)
        if json_size is None:
            return Response(content, media_type="application/json")
        headers = {HEADER_LENGTH: str(json_size)}
        return Response(content, headers=headers, media_type="application/octet-stream")
