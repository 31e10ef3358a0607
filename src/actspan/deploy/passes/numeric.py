"""Run two graphs side by side in ONNX Runtime, and compare their outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from actspan.core.errors import ExportError
from actspan.deploy.passes.contract import Inputs
from actspan.deploy.passes.fix_dims import advice, free_axes
from actspan.deploy.passes.model_form import graphs_in
from actspan.runtime.session import reason_of

# ONNX Runtime's names of NumPy's types.
_TYPES: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(double)": np.float64}
_TYPES |= {"tensor(float16)": np.float16, "tensor(bool)": np.bool_}
_TYPES |= {
    f"tensor({kind.__name__})": kind
    for kind in (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
}
# Sizes to try for free axes; the longest are for audio networks.
_BATCHES, _LENGTHS = (2, 1), (100, 128, 64, 33, 16, 1024, 16_000)
_DRAWS = 8  # inputs to draw if there are branches: each draw takes one branch
_LARGEST = 2**24  # maximum elements of an input
_HALF = np.finfo(np.float16)
_HALF_STEPS = 4  # rounding steps of float16 by which equivalent kernels differ


def largest_difference(
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    *,
    probes: Sequence[Inputs] = (),
    seed: int = 0,
) -> float:
    """Return the largest difference of two graphs on seeded random inputs, or on `probes`.

    It is the largest absolute difference of an output, as a share of that output's largest
    magnitude if it exceeds 1; NaN if one is NaN and the other is not. Raise ExportError if ONNX
    Runtime refuses a graph, or no sizes for the free axes work.
    """
    old, new = _open(before, "the graph before it"), _open(after, "the rewritten graph")
    if probes:
        pairs = [(_run(old, inputs), _run(new, inputs)) for inputs in probes]
    else:
        branches = any(node.op_type == "If" for g in graphs_in(before.graph) for node in g.node)
        draws = range(_DRAWS if branches else 1)
        rngs = [np.random.default_rng(seed + draw) for draw in draws]
        pairs = [_on_random_inputs(old, new, rng) for rng in rngs]
    return _largest(
        difference(a, b) for first, second in pairs for a, b in zip(first, second, strict=True)
    )


def _largest(differences: Iterable[float]) -> float:
    """Return the largest difference, or NaN if one is NaN, which `max` may skip."""
    return float(np.max([0.0, *differences]))


def difference(a: Any, b: Any) -> float:
    """Return the largest absolute difference, as a share of the largest magnitude above 1 of `a`.

    Two NaN, or two equal infinities, count as equal. So do float16 numbers within four rounding
    steps of the largest magnitude. Sequences are compared entry by entry; other types, and absent
    values, are equal or not. The result is NaN if the two cannot be compared.
    """
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return _largest(difference(x, y) for x, y in zip(a, b, strict=True))
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.dtype == object:
        return 0.0 if np.array_equal(a, b) else float("nan")
    if a.shape != b.shape:
        return float("nan")
    is_half = a.dtype == b.dtype == np.float16
    a, b = a.astype(np.float64), b.astype(np.float64)
    largest = np.abs(a[np.isfinite(a)]).max(initial=0.0)
    with np.errstate(invalid="ignore"):
        apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    if is_half:
        apart[apart <= _HALF_STEPS * _HALF.eps * max(largest, _HALF.tiny)] = 0.0
    return float(apart.max(initial=0.0) / max(1.0, largest))


def run(model: onnx.ModelProto, inputs: Sequence[Inputs]) -> list[list[NDArray[Any]]]:
    """Return all outputs for each of these inputs, which are cast to the model's types."""
    session = _open(model, "the graph")
    return [_run(session, item) for item in inputs]


def evaluate(
    model: ir.Model, names: Sequence[str], inputs: Sequence[Inputs]
) -> Iterator[dict[str, NDArray[Any]]]:
    """Return values inside a graph, by name, for each of these inputs."""
    proto = ir.to_proto(model)
    fed = {value.name for value in (*proto.graph.input, *proto.graph.initializer)}
    inner = [name for name in names if name not in fed]
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    if not inner:
        return iter([{} for _ in inputs])
    session = _open(proto, "the graph")
    return (dict(zip(inner, _run(session, item), strict=True)) for item in inputs)


def _open(model: onnx.ModelProto, which: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # failures are raised as exceptions
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the vendor's exceptions have no common base
        raise ExportError(f"ONNX Runtime refuses {which}: {reason_of(error)}") from error


def _run(session: Any, inputs: Inputs) -> list[NDArray[Any]]:
    fed = {node.name: inputs[node.name].astype(_dtype(node)) for node in session.get_inputs()}
    try:
        outputs: list[NDArray[Any]] = session.run(None, fed)
    except Exception as error:
        raise ExportError(f"ONNX Runtime fails: {reason_of(error)}") from error
    return outputs


def _on_random_inputs(
    old: Any, new: Any, rng: np.random.Generator
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Run both on the same inputs, in the first sizes that the older graph accepts."""
    axes = free_axes({node.name: node.shape for node in old.get_inputs()})
    known = {node.name: node.shape for node in new.get_inputs()}
    failure: ExportError | None = None
    tried: list[dict[str, list[int]]] = []
    for batch, length in product(_BATCHES, _LENGTHS):
        sizes = {axis.label: batch if axis.role == "batch" else length for axis in axes}
        for axis in axes:  # the newer graph may fix a size
            size = known[axis.input][axis.index]
            if isinstance(size, int):
                sizes[axis.label] = size
        shapes = {node.name: list(node.shape) for node in old.get_inputs()}
        for axis in axes:
            shapes[axis.input][axis.index] = sizes[axis.label]
        if shapes in tried or any(prod(shape) > _LARGEST for shape in shapes.values()):
            continue
        tried.append(shapes)
        inputs = {}
        for node in old.get_inputs():
            dtype, shape = _dtype(node), shapes[node.name]
            is_float = np.issubdtype(dtype, np.floating)  # else small, so that indices are valid
            drawn = rng.standard_normal(shape) if is_float else rng.integers(0, 2, shape)
            inputs[node.name] = drawn.astype(dtype)
        try:
            expected = _run(old, inputs)
        except ExportError as error:
            failure = failure or error
            continue
        return expected, _run(new, inputs)
    if not axes:
        raise ExportError(
            f"it does not run on random inputs, so no rewrite can be checked: {failure}"
        )
    raise ExportError(
        f"none of the sizes tried runs, so no rewrite can be checked; {advice(axes)} ({failure})"
    )


def _dtype(node: Any) -> type[np.generic]:
    if node.type not in _TYPES:
        raise ExportError(f"input {node.name} is a {node.type}, which the check does not support")
    return _TYPES[node.type]
