"""Two graphs side by side in ONNX Runtime: do they compute the same?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from actspan.errors import ExportError
from actspan.export.passes.contract import Inputs

__all__ = ["difference", "evaluate", "largest_difference", "run"]

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
_BATCHES, _LENGTHS = (2, 1), (100, 128, 64, 33, 16)  # tried in turn where sizes are free
_ROWS = ("proposals",)  # a first axis of this name is a length


def largest_difference(
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    *,
    probes: Sequence[Inputs] = (),
    seed: int = 0,
) -> float:
    """How far two graphs are apart over seeded random inputs, or over `probes`.

    Returns
    -------
    float
        Largest absolute difference of an output, as a share of that output's largest magnitude
        where it exceeds 1. NaN where one is NaN and the other is not.

    Raises
    ------
    ExportError
        ONNX Runtime refuses one of the two, or no size for their free axes was found.
    """
    old, new = _open(before, "the graph before it"), _open(after, "the rewritten graph")
    if probes:
        pairs = [(_run(old, inputs), _run(new, inputs)) for inputs in probes]
    else:
        pairs = [_on_random_inputs(old, new, np.random.default_rng(seed))]
    return _largest(
        difference(a, b) for first, second in pairs for a, b in zip(first, second, strict=True)
    )


def _largest(differences: Iterable[float]) -> float:
    """Return the largest of them, NaN if one is NaN, which `max` may skip."""
    return float(np.max([0.0, *differences]))


def difference(a: Any, b: Any) -> float:
    """Largest absolute difference, as a share of the largest magnitude of `a` where that exceeds 1.

    Where both are NaN, or the same infinity, they are equal. Sequences are compared entry by entry;
    what is no number, or absent, is equal or not. NaN where the two cannot be compared.
    """
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return _largest(difference(x, y) for x, y in zip(a, b, strict=True))
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.dtype == object:
        return 0.0 if np.array_equal(a, b) else float("nan")
    if a.shape != b.shape:
        return float("nan")
    a, b = a.astype(np.float64), b.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return 0.0
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)[~same].max()
    finite = np.abs(a[np.isfinite(a)])
    return float(apart / max(1.0, finite.max(initial=0.0)))


def run(model: onnx.ModelProto, inputs: Sequence[Inputs]) -> list[list[NDArray[Any]]]:
    """All outputs for each of these inputs, which are cast to the types that the model takes."""
    session = _open(model, "the graph")
    return [_run(session, item) for item in inputs]


def evaluate(
    model: ir.Model, names: Sequence[str], inputs: Sequence[Inputs]
) -> Iterator[dict[str, NDArray[Any]]]:
    """What values inside a graph are, by name, for each of these inputs."""
    proto = ir.to_proto(model)
    given = {value.name for value in (*proto.graph.input, *proto.graph.initializer)}
    inner = [name for name in names if name not in given]
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    if not inner:
        return iter([{} for _ in inputs])
    session = _open(proto, "the graph")
    return (dict(zip(inner, _run(session, item), strict=True)) for item in inputs)


def _open(model: onnx.ModelProto, which: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # failures come as exceptions
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the vendor's exceptions have no base of their own
        raise ExportError(f"ONNX Runtime refuses {which}: {_reason(error)}") from error


def _run(session: Any, inputs: Inputs) -> list[NDArray[Any]]:
    fed = {node.name: inputs[node.name].astype(_dtype(node)) for node in session.get_inputs()}
    try:
        outputs: list[NDArray[Any]] = session.run(None, fed)
    except Exception as error:
        raise ExportError(f"ONNX Runtime fails: {_reason(error)}") from error
    return outputs


def _reason(error: Exception) -> str:
    return (str(error).rpartition(" : ")[2].strip().splitlines() or [repr(error)])[0]


def _on_random_inputs(
    old: Any, new: Any, rng: np.random.Generator
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Both on the same inputs, in the first sizes that the older one takes."""
    failure: ExportError | None = None
    for batch in _BATCHES:
        for length in _LENGTHS:
            inputs = dict(_random_inputs(old, new, batch, length, rng))
            try:
                expected = _run(old, inputs)
            except ExportError as error:
                failure = failure or error
                continue
            return expected, _run(new, inputs)
    raise ExportError(
        f"no size was found for its free axes that it runs with, so no rewrite can be checked; "
        f"fix them: --batch N --length T ({failure})"
    )


def _random_inputs(
    old: Any, new: Any, batch: int, length: int, rng: np.random.Generator
) -> Iterator[tuple[str, NDArray[Any]]]:
    for first, second in zip(old.get_inputs(), new.get_inputs(), strict=True):
        shape = []
        for axis, sizes in enumerate(zip(first.shape, second.shape, strict=True)):
            fixed = [size for size in sizes if isinstance(size, int)]
            free = length if axis or first.shape[0] in _ROWS else batch
            shape.append(fixed[0] if fixed else free)
        dtype = _dtype(first)
        if dtype in (np.float16, np.float32, np.float64):
            yield first.name, rng.standard_normal(shape).astype(dtype)
        else:  # small, so that what is used as an index lies inside
            yield first.name, rng.integers(0, 2, shape).astype(dtype)


def _dtype(node: Any) -> type[np.generic]:
    if node.type not in _TYPES:
        raise ExportError(f"input {node.name} is a {node.type}, which no check can be made of")
    return _TYPES[node.type]
