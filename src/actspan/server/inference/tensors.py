"""Tensors of the protocol: JSON, or bytes after a JSON header (the binary tensor extension)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from types import GenericAlias
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from actspan.core.files import NOT_JSON
from actspan.core.wording import suggestion
from actspan.server.problems import ProblemError

Datatype = Literal["FP32", "FP64", "INT64"]
Tensors = dict[str, NDArray[Any]]

DTYPES: dict[Datatype, np.dtype[Any]] = {
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "INT64": np.dtype("<i8"),
}


class TensorSpec(msgspec.Struct, frozen=True):
    """Input or output of a model; -1 is a size that varies."""

    name: str
    datatype: Datatype
    shape: list[int]


class InputTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Input of a request: `data` in row-major order, flat or nested, or binary after the header.

    For binary data, `parameters` hold `binary_data_size`, in bytes.
    """

    name: str
    shape: list[int]
    datatype: Datatype
    parameters: dict[str, Any] = {}
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class WantedOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requested output, binary if `parameters` hold `binary_data: true`."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Request to run a model. All of its outputs are returned unless some are named."""

    inputs: list[InputTensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[WantedOutput] = []


class OutputTensor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Output in an answer: `data` in row-major order, or `binary_data_size` in `parameters`."""

    name: str
    shape: list[int]
    datatype: Datatype
    parameters: dict[str, int] = {}
    data: list[float] | None = None


class InferAnswer(msgspec.Struct, frozen=True):
    """Outputs of a model."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str = ""


_decode_request = msgspec.json.Decoder(InferRequest).decode


def read_request(
    body: bytes | bytearray, header: int | None, specs: Sequence[TensorSpec]
) -> tuple[InferRequest, Tensors]:
    """Return a request and its tensors; binary tensors are views of the body.

    Parameters
    ----------
    body : bytes
    header : int, optional
        Number of bytes of JSON; the whole body unless given.
    specs : sequence of TensorSpec
        Inputs of the model.

    Raises
    ------
    ProblemError
        The body does not fit the protocol or the model (400).
    """
    view = memoryview(body)
    if header is not None and header > len(view):
        raise _bad(f"Inference-Header-Content-Length is {header}, the body has {len(view)} bytes")
    try:
        request = _decode_request(view[:header])
    except NOT_JSON as error:
        raise _bad(f"not a request of the protocol: {error}{_meant(str(error))}") from None
    rest = view[len(view) if header is None else header :]
    known, tensors = {spec.name: spec for spec in specs}, {}
    for given in request.inputs:
        if given.name not in known or given.name in tensors:
            raise _bad(f"input {given.name!r}: wanted are {', '.join(known)}, each once")
        _check_spec(given, known[given.name])
        tensors[given.name], rest = _tensor(given, rest)
    if len(rest):
        raise _bad(f"{len(rest)} bytes follow that belong to no input")
    return request, tensors


def _meant(error: str) -> str:
    """Return a suggestion for the unknown field that an error names, or ""."""
    found = re.search(r"unknown field `(.*?)`", error)
    kinds = (InferRequest, InputTensor, WantedOutput)
    known = [name for kind in kinds for name in kind.__struct_fields__]
    return suggestion(found[1], known) if found else ""


def _check_spec(given: InputTensor, spec: TensorSpec) -> None:
    sizes = zip(given.shape, spec.shape, strict=False)
    fits = len(given.shape) == len(spec.shape) and all(
        have >= 0 and want in (-1, have) for have, want in sizes
    )
    if given.datatype != spec.datatype or not fits:
        raise _bad(
            f"input {given.name!r} is {given.datatype} {given.shape}; the model takes "
            f"{spec.datatype} {spec.shape}"
        )


def _tensor(given: InputTensor, rest: memoryview) -> tuple[NDArray[Any], memoryview]:
    """Return a tensor, and the remaining bytes after the header."""
    size = given.parameters.get("binary_data_size")
    if size is None:
        array = _from_json(given)
    else:
        dtype = DTYPES[given.datatype]
        fits = isinstance(size, int) and size == math.prod(given.shape) * dtype.itemsize
        if not fits or size > len(rest):
            raise _bad(
                f"input {given.name!r}: binary_data_size {size} does not fit its shape "
                f"{given.shape}, or {len(rest)} bytes that are left"
            )
        array, rest = np.frombuffer(rest[:size], dtype).reshape(given.shape), rest[size:]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _bad(f"input {given.name!r} holds NaN or infinity")
    return array, rest


def _from_json(given: InputTensor) -> NDArray[Any]:
    if given.data is msgspec.UNSET:
        raise _bad(f"input {given.name!r} has neither data nor binary_data_size")
    dtype = DTYPES[given.datatype]
    kind: Any = int if dtype.kind == "i" else float
    nested: Any = kind
    for _ in given.shape:
        nested = GenericAlias(list, (nested,))
    try:
        try:
            values = msgspec.json.decode(given.data, type=list[kind])
        except msgspec.ValidationError:
            values = msgspec.json.decode(given.data, type=nested)
        with np.errstate(over="ignore"):  # infinity raises an error later
            array = np.array(values, dtype)
    except (*NOT_JSON, ValueError, OverflowError) as error:
        raise _bad(f"input {given.name!r}: data: {error}") from None
    if array.size != math.prod(given.shape) or array.shape not in (
        (array.size,),
        tuple(given.shape),
    ):
        raise _bad(f"input {given.name!r}: data of shape {array.shape} where {given.shape} is said")
    return array.reshape(given.shape)


def write_answer(
    model: str,
    request: InferRequest,
    found: Mapping[str, NDArray[Any]],
    specs: Sequence[TensorSpec],
) -> tuple[bytes, int | None]:
    """Return an answer, and the number of its bytes that are JSON if binary tensors follow."""
    every = bool(request.parameters.get("binary_data_output"))
    wanted = request.outputs or [WantedOutput(spec.name) for spec in specs]
    known = {spec.name: spec.datatype for spec in specs}
    outputs, tail = [], []
    for one in wanted:
        datatype = known[one.name]
        array = np.ascontiguousarray(found[one.name], DTYPES[datatype])
        shape = list(array.shape)
        if one.parameters.get("binary_data", every):
            parameters = {"binary_data_size": array.nbytes}
            outputs.append(OutputTensor(one.name, shape, datatype, parameters))
            tail.append(array.tobytes())
        else:
            outputs.append(OutputTensor(one.name, shape, datatype, data=array.ravel().tolist()))
    head = msgspec.json.encode(InferAnswer(model, "1", outputs, request.id))
    return (b"".join([head, *tail]), len(head)) if tail else (head, None)


def check_outputs(request: InferRequest, specs: Sequence[TensorSpec]) -> None:
    """Raise for outputs that the model does not have, before it runs.

    Raises
    ------
    ProblemError
        An output is unknown (400).
    """
    known = [spec.name for spec in specs]
    for one in request.outputs:
        if one.name not in known:
            raise _bad(f"output {one.name!r}: the model gives {', '.join(known)}")


def _bad(detail: str) -> ProblemError:
    return ProblemError(400, detail)
