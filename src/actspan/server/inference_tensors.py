"""Requests and answers of the Open Inference Protocol v2, and their tensors.

Tensors are JSON, or bytes after a JSON header (the binary tensor extension).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, SkipValidation, ValidationError

from actspan.config.base import NOT_JSON
from actspan.server.error_responses import ProblemError, RequestBody, validation_detail

Datatype = Literal["FP32", "FP64", "INT64"]
Tensors = dict[str, NDArray[Any]]

LARGE = 1 << 18  # bytes of JSON that are read at once; more would block other requests
_PART = 16_384  # numbers that are written at a time
_DTYPES: dict[Datatype, np.dtype[Any]] = {
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "INT64": np.dtype("<i8"),
}


class TensorSpec(BaseModel):
    """Input or output of a model; -1 is a size that varies."""

    name: str
    datatype: Datatype
    shape: list[int]


class StrictBody(RequestBody):
    """Base of the parts of a request: no value is converted to another type."""

    model_config = ConfigDict(strict=True)


class InputTensor(StrictBody):
    """Input of a request: `data` in row-major order, flat or nested, or binary after the header.

    For binary data, `parameters` contain `binary_data_size`, in bytes.
    """

    name: str
    shape: list[int]
    datatype: Datatype
    parameters: dict[str, Any] = Field({})
    data: SkipValidation[list[Any] | None] = None  # checking every number would be slow


class RequestedOutput(StrictBody):
    """Requested output, binary if `parameters` contain `binary_data: true`."""

    name: str
    parameters: dict[str, Any] = Field({})


class InferRequest(StrictBody):
    """Request to run a model. All of its outputs are returned unless some are named."""

    inputs: list[InputTensor]
    id: str = ""
    parameters: dict[str, Any] = Field({})
    outputs: list[RequestedOutput] = Field([])


class NetworkParameters(StrictBody):
    """Parameters of a request that a network accepts: none."""


class PipelineParameters(StrictBody):
    """Parameters of a request that the pipeline accepts."""

    top: int | None = Field(None, ge=1)
    min_score: float = 0.0


class OutputTensor(BaseModel):
    """Output in an answer: `data` in row-major order, or `binary_data_size` in `parameters`."""

    name: str
    shape: list[int]
    datatype: Datatype
    parameters: dict[str, int] = Field({})
    data: list[float] | None = None


class InferAnswer(BaseModel):
    """Outputs of a model."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str = ""


Parameters = TypeVar("Parameters", NetworkParameters, PipelineParameters)


def read_request(
    body: bytes | bytearray, header: int | None, specs: Sequence[TensorSpec]
) -> tuple[InferRequest, Tensors]:
    """Return a request and its tensors; binary tensors are views of the body.

    The first `header` bytes of the body are JSON, or all unless given; `specs` are the inputs of
    the model. Raises ProblemError (400) if the body does not fit the protocol or the model.
    """
    size = len(body)
    if header is not None and header > size:
        raise _bad(f"Inference-Header-Content-Length is {header}, the body has {size} bytes")
    view, end = memoryview(body), size if header is None else header
    try:
        # For long lists of numbers, msgspec takes half the time of pydantic's parser.
        request = InferRequest.model_validate(msgspec.json.decode(view[:end]))
    except NOT_JSON as error:
        raise _bad(f"not a request of the protocol: {error}") from None
    except ValidationError as error:
        raise _bad(f"not a request of the protocol: {validation_detail(error)}") from None
    rest = view[end:]
    known, tensors = {spec.name: spec for spec in specs}, {}
    for tensor in request.inputs:
        if tensor.name not in known or tensor.name in tensors:
            raise _bad(f"input {tensor.name!r}: expected are {', '.join(known)}, each once")
        try:
            tensors[tensor.name], rest = _tensor(tensor, known[tensor.name], rest)
        except (ValueError, OverflowError) as error:  # NumPy's, for nested lists of odd lengths
            raise _bad(f"input {tensor.name!r}: {error}") from None
    if len(rest):
        raise _bad(f"{len(rest)} bytes follow that belong to no input")
    return request, tensors


def as_binary(
    body: bytes, header: int | None, specs: Sequence[TensorSpec]
) -> tuple[bytes, list[NDArray[Any]]]:
    """Return the same request with binary tensors: its JSON, and the tensors that follow it.

    Raises ProblemError (400) as `read_request`, or if the JSON is long without its tensors.
    """
    request, tensors = read_request(body, header, specs)
    for tensor in request.inputs:
        tensor.data = None
        tensor.parameters["binary_data_size"] = tensors[tensor.name].nbytes
    head = request.model_dump_json(exclude_none=True).encode()
    if len(head) > LARGE:
        raise _bad(f"id, names and parameters take {len(head)} bytes; at most {LARGE} are allowed")
    return head, [np.ascontiguousarray(tensors[tensor.name]) for tensor in request.inputs]


def _tensor(
    tensor: InputTensor, spec: TensorSpec, rest: memoryview
) -> tuple[NDArray[Any], memoryview]:
    """Return a tensor, and the remaining bytes after the header; raise ValueError."""
    shape, dtype = tuple(tensor.shape), _DTYPES[tensor.datatype]
    fits = len(shape) == len(spec.shape) and all(
        size >= 0 and expected in (-1, size)
        for size, expected in zip(shape, spec.shape, strict=True)
    )
    if tensor.datatype != spec.datatype or not fits:
        takes = f"the model expects {spec.datatype} {spec.shape}"
        raise ValueError(f"it is {tensor.datatype} {tensor.shape}; {takes}")
    size, needed = tensor.parameters.get("binary_data_size"), math.prod(shape) * dtype.itemsize
    if size is None:
        array = _from_json(tensor.data, shape, dtype)
    elif isinstance(size, int) and size == needed <= len(rest):
        array, rest = np.frombuffer(rest[:size], dtype).reshape(shape), rest[size:]
    else:
        raise ValueError(
            f"binary_data_size {size} does not fit its shape {tensor.shape}, or {len(rest)} bytes "
            "that are left"
        )
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("it contains NaN or infinity")
    return array, rest


def _from_json(data: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    if data is None:
        raise ValueError("it has neither data nor binary_data_size")
    values = np.array(data)
    if values.size and values.dtype.kind not in ("i" if dtype.kind == "i" else "iuf"):
        raise ValueError(f"data: numbers of type {dtype} are needed")
    if values.shape not in ((math.prod(shape),), shape):
        raise ValueError(f"data of shape {values.shape}, but its shape is stated as {shape}")
    with np.errstate(over="ignore"):  # infinity raises an error later
        array: NDArray[Any] = values.astype(dtype, copy=False).reshape(shape)
    return array


def read_parameters(parameters: Mapping[str, Any], kind: type[Parameters]) -> Parameters:
    """Return a request's parameters without the protocol's own, or raise ProblemError (400)."""
    values = {name: value for name, value in parameters.items() if name != "binary_data_output"}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _bad(f"parameters: {validation_detail(error)}") from None


def check_outputs(request: InferRequest, specs: Sequence[TensorSpec]) -> None:
    """Raise ProblemError (400) for outputs that the model does not have, before it runs."""
    known = [spec.name for spec in specs]
    for output in request.outputs:
        if output.name not in known:
            raise _bad(f"output {output.name!r}: the model gives {', '.join(known)}")


def write_answer(
    model: str,
    request: InferRequest,
    values: Mapping[str, NDArray[Any]],
    specs: Sequence[TensorSpec],
) -> tuple[bytes, int | None]:
    """Return an answer, and the number of its bytes that are JSON if binary tensors follow."""
    all_binary = bool(request.parameters.get("binary_data_output"))
    datatypes = {spec.name: spec.datatype for spec in specs}
    all_outputs = [RequestedOutput(name=name, parameters={}) for name in datatypes]
    outputs, tail = [], []
    for output in request.outputs or all_outputs:
        datatype = datatypes[output.name]
        array = np.ascontiguousarray(values[output.name], _DTYPES[datatype])
        if output.parameters.get("binary_data", all_binary):
            content: dict[str, Any] = {"parameters": {"binary_data_size": array.nbytes}}
            tail.append(array.tobytes())
        else:
            content = {"data": _numbers(array)}
        about = {"name": output.name, "shape": array.shape, "datatype": datatype}
        outputs.append({**about, **content})
    answer = {"model_name": model, "model_version": "1", "outputs": outputs, "id": request.id}
    head = msgspec.json.encode(answer)
    return (b"".join([head, *tail]), len(head)) if tail else (head, None)


def _numbers(array: NDArray[Any]) -> msgspec.Raw:
    """Return numbers as a list of JSON, written in parts, between which other threads can run."""
    flat = array.ravel()
    parts = (flat[first : first + _PART] for first in range(0, flat.size, _PART))
    encoded = (msgspec.json.encode(part.tolist())[1:-1] for part in parts)
    return msgspec.Raw(b"[%s]" % b",".join(encoded))


def _bad(detail: str) -> ProblemError:
    return ProblemError(400, detail)
