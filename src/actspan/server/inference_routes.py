"""`/v2`: the networks and the whole pipeline by the Open Inference Protocol v2."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, NamedTuple

import numpy as np
from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi import Path as InPath
from numpy.typing import NDArray
from pydantic import BaseModel

from actspan import __version__
from actspan.core.types import Features
from actspan.core.wording import suggestion
from actspan.model.nets import FORMS, Net, input_shape, output_shapes
from actspan.server.error_responses import (
    BINARY,
    ProblemError,
    Responses,
    check_ready,
    failures,
    request_body,
)
from actspan.server.inference_tensors import (
    LARGE,
    Datatype,
    InferAnswer,
    NetworkParameters,
    PipelineParameters,
    Tensors,
    TensorSpec,
    check_outputs,
    read_parameters,
    read_request,
    write_answer,
)
from actspan.server.proposal_answers import ProposalOptions
from actspan.server.served_model import ServedModel
from actspan.server.service import ProposalService
from actspan.server.settings import INFER

HEADER_LENGTH = "Inference-Header-Content-Length"
_VERY_LARGE = 1 << 23  # bytes of a body whose check would block other requests
_LARGE_ANSWER = 1 << 16  # bytes of outputs, which are more in JSON
_TOO_MUCH_JSON = (
    "the JSON has more than {} bytes, which is the limit here; send the tensors as bytes after it, "
    f"with {HEADER_LENGTH} and binary_data_size"
)
_ANSWER: Responses = {200: {"content": {"application/octet-stream": BINARY}}}
_REQUEST = request_body(
    {
        "application/json": {"schema": {"$ref": "#/components/schemas/InferRequest"}},
        "application/octet-stream": BINARY,
    },
    "A request: JSON, or JSON and binary tensors after it.",
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


class InferenceModel(NamedTuple):
    """Model, as the protocol defines it.

    `infer` maps tensors, with the shapes and types of the inputs, and the parameters of a request
    to the outputs. It raises ProblemError if the inputs do not fit together (400), or if there is
    too much work (429, 504).
    """

    metadata: ModelMetadata
    infer: Callable[[Tensors, Mapping[str, Any]], Awaitable[Tensors]]


ModelName = Annotated[str, InPath(description="tem and pem, or bmn; pipeline.")]
Version = Annotated[str, InPath(description="1, the only version.")]
HeaderLength = Annotated[
    int | None,
    Header(alias=HEADER_LENGTH, ge=0, description="Bytes of JSON; binary tensors follow."),
]


def router(service: ProposalService) -> APIRouter:
    """Return all operations of the protocol."""
    routes = APIRouter(prefix="/v2", tags=["inference protocol v2"])
    models: dict[str, InferenceModel] = {
        name: _network(service.model, name) for name in service.model.sessions
    }
    models["pipeline"] = _pipeline(service.model, service.limits.recording_seconds)

    def find(model: ModelName) -> InferenceModel:
        if model not in models:
            known, close = ", ".join(models), suggestion(model, models)
            raise ProblemError(404, f"no model {model!r}{close}; available: {known}")
        return models[model]

    def find_version(model: ModelName, version: Version) -> InferenceModel:
        inference_model = find(model)
        if version != "1":
            detail = f"model {model!r} has no version {version!r}; its only version is 1"
            raise ProblemError(404, detail)
        return inference_model

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

    _add_model(routes, "/models/{model}", Depends(find), service)
    _add_model(routes, "/models/{model}/versions/{version}", Depends(find_version), service)
    return routes


def _add_model(routes: APIRouter, path: str, model: Any, service: ProposalService) -> None:
    """Add the operations of one model; `model` is the dependency that finds it by the path."""

    @routes.get(path, responses=failures(404, 422))
    async def metadata(served: InferenceModel = model) -> ModelMetadata:
        """Return the inputs and outputs of a model."""
        return served.metadata

    @routes.get(f"{path}/ready", responses=failures(404, 422))
    async def model_ready(request: Request, served: InferenceModel = model) -> ModelReady:
        """Return whether a model is ready."""
        return ModelReady(name=served.metadata.name, ready=request.app.state.is_ready)

    @routes.post(
        f"{path}{INFER}",
        response_model=InferAnswer,
        response_description="Outputs; binary tensors follow the JSON.",
        responses=_ANSWER | failures(404, 408, 413, 415, 422, 429, 503, 504),
        openapi_extra=_REQUEST,
    )
    async def infer(
        request: Request, served: InferenceModel = model, header: HeaderLength = None
    ) -> Response:
        """Run a model."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise ProblemError(415, "compressed bodies are not accepted; send the body as it is")
        about = served.metadata
        async with service.bodies.read(request) as data:
            json_bytes = min(len(data), header or len(data))
            if json_bytes > service.limits.tensor_json_bytes:
                raise ProblemError(413, _TOO_MUCH_JSON.format(service.limits.tensor_json_bytes))
            if json_bytes > LARGE:
                work = partial(service.read_json, data, header, about.inputs)
                data, header = await asyncio.to_thread(work)
            if len(data) > _VERY_LARGE:
                asked, tensors = await asyncio.to_thread(read_request, data, header, about.inputs)
            else:
                asked, tensors = read_request(data, header, about.inputs)
            check_outputs(asked, about.outputs)
            outputs = await served.infer(tensors, asked.parameters)
        write = partial(write_answer, about.name, asked, outputs, about.outputs)
        is_long = sum(array.nbytes for array in outputs.values()) > _LARGE_ANSWER
        content, json_size = await asyncio.to_thread(write) if is_long else write()
        if json_size is None:
            return Response(content, media_type="application/json")
        headers = {HEADER_LENGTH: str(json_size)}
        return Response(content, headers=headers, media_type="application/octet-stream")


def _network(model: ServedModel, name: Net) -> InferenceModel:
    """Return a network: input rows to output rows, in [0, 1].

    TEM maps `video` (B, C, T) to `output` (B, 3, T): actionness, start and end; with S learnt
    curves, (B, 5 + S, T). PEM maps `video_feature`, the features of candidates, (N, 32) without
    curves, to `output` (N, 1). BMN maps `video` (B, C, T) to
    `confidence_map` (B, 2, R, T), `start` (B, T) and `end` (B, T).
    """
    form, shapes = FORMS[name], output_shapes(model.config, name)

    async def infer(tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        read_parameters(parameters, NetworkParameters)
        rows = _required(tensors, form.input)
        if not len(rows):
            raise ProblemError(400, f"input {form.input!r} has no rows")
        return await model.rows[name].answer(rows, len(rows))

    inputs = [_spec(form.input, "FP32", -1, *input_shape(model.config, name))]
    outputs = [_spec(out, "FP32", -1, *shape) for out, shape in shapes.items()]
    return InferenceModel(_metadata(name, inputs, outputs), infer)


def _pipeline(model: ServedModel, longest: float) -> InferenceModel:
    """Return the pipeline from features of B videos, up to `longest` seconds, to their proposals.

    Both are concatenated over the videos. Input `features` (sum of n, C) contains the snippets of
    all videos, `lengths` (B) the number of snippets of each (default: one video), `stride` (1 or B)
    the seconds from snippet to snippet (default: the model's). Outputs `segments` (sum of N,
    2), seconds, and `score` (sum of N) contain the proposals of all videos, best first within each
    video, and `count` (B) the number of proposals of each. Parameters `top` and `min_score` choose
    among them.
    """

    async def infer(tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        rows = _required(tensors, "features")
        lengths = tensors.get("lengths", np.array([len(rows)]))
        stride_tensor = tensors.get("stride")
        _check_lengths(lengths, len(rows))
        chosen = read_parameters(parameters, PipelineParameters).model_dump()
        if stride_tensor is not None:
            if len(stride_tensor) not in (1, len(lengths)) or not (stride_tensor > 0).all():
                raise ProblemError(
                    400, f"input 'stride': 1 or {len(lengths)} positive numbers are needed"
                )
            chosen["stride"] = float(stride_tensor[0])
        options = ProposalOptions.model_construct(**chosen).with_grid(model.bundle.features)
        stride, length = options.known_grid()
        strides = np.broadcast_to(stride if stride_tensor is None else stride_tensor, len(lengths))
        if (lengths * strides).max() > longest:
            raise ProblemError(413, f"a video lasts longer than {longest:g} s")
        parts = np.split(rows, np.cumsum(lengths)[:-1])
        grids = zip(parts, strides.tolist(), strict=True)
        videos = [Features(part, stride, length) for part, stride in grids]
        selected = [options.select(p) for p in await model.videos.answer(videos, len(videos))]
        starts, ends, scores = (
            np.concatenate([getattr(proposals, name) for proposals in selected])
            for name in ("start", "end", "score")
        )
        count = np.array([len(proposals) for proposals in selected])
        return {"segments": np.stack([starts, ends], axis=1), "score": scores, "count": count}

    inputs = [
        _spec("features", "FP32", -1, model.channels),
        _spec("lengths", "INT64", -1),
        _spec("stride", "FP64", -1),
    ]
    outputs = [
        _spec("segments", "FP64", -1, 2),
        _spec("score", "FP64", -1),
        _spec("count", "INT64", -1),
    ]
    return InferenceModel(_metadata("pipeline", inputs, outputs), infer)


def _metadata(name: str, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> ModelMetadata:
    return ModelMetadata(
        name=name, versions=["1"], platform="actspan", inputs=inputs, outputs=outputs
    )


def _spec(name: str, datatype: Datatype, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, shape=list(shape))


def _required(tensors: Tensors, name: str) -> NDArray[Any]:
    if name not in tensors:
        raise ProblemError(400, f"input {name!r} is missing")
    return tensors[name]


def _check_lengths(lengths: NDArray[Any], rows: int) -> None:
    if not len(lengths) or lengths.min() < 1 or lengths.max() > rows or lengths.sum() != rows:
        raise ProblemError(
            400, f"input 'lengths': numbers of at least 1 are needed that sum to {rows} snippets"
        )
