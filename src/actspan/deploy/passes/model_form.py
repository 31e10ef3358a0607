"""Form of models between passes: no functions, constants in one place, shapes, one interface."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from actspan.core.errors import ActSpanError, ExportError
from actspan.core.wording import listed

if TYPE_CHECKING:
    import onnx

_OLDEST_IR = 4  # before this version, constants had to be inputs as well
_LARGEST = 2**31 - 1  # maximum bytes of a protocol buffer
_INVENTED = "unk__"  # prefix of the names that shape inference gives to free sizes


def graphs_in(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph, and the branches and bodies of control flow in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs_in(attribute.g)


def count_nodes(model: onnx.ModelProto) -> int:
    """Return the number of nodes in all graphs of a model."""
    return sum(len(graph.node) for graph in graphs_in(model.graph))


def prepared(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Return the model in the form that passes expect; raise ExportError if there is none."""
    import onnx_ir as ir
    import onnx_ir.passes.common as common

    for library in ("onnx_ir", "onnxscript"):  # hides their log messages, unless a logger is set up
        logger = logging.getLogger(library)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    for graph in graphs_in(model.graph):
        sparse = [tensor.values.name for tensor in graph.sparse_initializer]
        for node in graph.node:
            sparse += [node.output[0] for a in node.attribute if a.HasField("sparse_tensor")]
        if sparse:
            fault = "sparse tensors cannot be rewritten; store them as dense ones first"
            raise ExportError(f"{where}: {listed(sparse)}: {fault}")
    with named_failures(where):
        converted = ir.from_proto(model)
        converted.ir_version = max(converted.ir_version, _OLDEST_IR)
        common.InlinePass()(converted)
        common.RemoveInitializersFromInputsPass()(converted)
    return checked(converted, where)


def checked(model: Any, where: str) -> onnx.ModelProto:
    """Return the model with inferred shapes, after the full check and strict shape inference."""
    import onnx
    import onnx_ir as ir
    import onnx_ir.passes.common as common

    with named_failures(where):
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        common.TopologicalSortPass()(model)
        common.NameFixPass()(model)
        proto: Any = ir.to_proto(model)
    if proto.ByteSize() > _LARGEST:
        raise ExportError(f"{where}: more than 2 GB in one file, the limit of ONNX")
    for graph in graphs_in(proto.graph):  # shapes of standard operators are inferred again
        _drop_shapes(graph, {name for n in graph.node if not n.domain for name in n.output})
    known = {dim.dim_param for dim in _free_sizes(proto)}
    try:
        proto = onnx.shape_inference.infer_shapes(
            proto, check_type=True, strict_mode=True, data_prop=True
        )
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # InferenceError, ValidationError
        raise ExportError(
            f"{where}: the graph does not pass onnx's check: {first_line(error)}"
        ) from error
    # What differs between runs goes: duplicate shapes of outputs, generated names of sizes.
    for graph in graphs_in(proto.graph):
        _drop_shapes(graph, {value.name for value in graph.output})
    for dim in _free_sizes(proto):
        if dim.dim_param.startswith(_INVENTED) and dim.dim_param not in known:
            dim.ClearField("dim_param")
    return proto


def _drop_shapes(graph: Any, names: set[str]) -> None:
    kept = [value for value in graph.value_info if value.name not in names]
    del graph.value_info[:]
    graph.value_info.extend(kept)


def _free_sizes(model: Any) -> Iterator[Any]:
    for graph in graphs_in(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.HasField("tensor_type"):
                yield from (d for d in value.type.tensor_type.shape.dim if d.dim_param)


@contextmanager
def named_failures(where: str) -> Iterator[None]:
    """Convert any exception to an error of one line; passes meet graphs of every kind."""
    import onnx_ir as ir

    try:
        yield
    except (ir.passes.InvariantError, ExportError) as error:
        raise ExportError(f"{where}: {first_line(error)}") from error
    except ActSpanError:
        raise
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # libraries wrap the original error
            cause = cause.__cause__
        raise ExportError(f"{where} fails: {type(cause).__name__}: {first_line(cause)}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of a message that has content."""
    return next((line for line in str(error).splitlines() if line.strip()), repr(error)).strip()


def interface_change(
    before: onnx.ModelProto, after: onnx.ModelProto, *, retyped: bool = False
) -> str | None:
    """Describe what callers of the rewritten graph would notice besides values; None if nothing.

    A free size may become fixed. With `retyped`, float32 and float16 count as one type.
    """
    for kind in ("input", "output"):
        old, new = getattr(before.graph, kind), getattr(after.graph, kind)
        names = [[value.name for value in values] for values in (old, new)]
        if names[0] != names[1]:
            was, now = (", ".join(group) or "(none)" for group in names)
            return f"the {kind}s {was} become {now}"
        for first, second in zip(old, new, strict=True):
            change = _change(first, second, retyped)
            if change:
                return f"the {kind} {first.name} changes its {change}"
    shared = _shared_outputs(after) - _shared_outputs(before)
    return f"two outputs of one graph are both {min(shared)}" if shared else None


def _change(before: onnx.ValueInfoProto, after: onnx.ValueInfoProto, retyped: bool) -> str | None:
    import onnx_ir as ir

    old, new = ir.from_proto(before), ir.from_proto(after)
    floats = {ir.DataType.FLOAT, ir.DataType.FLOAT16}
    if old.type is None:
        return None
    is_retyped = retyped and {old.dtype, new.dtype} == floats and type(old.type) is type(new.type)
    if old.type != new.type and not is_retyped:
        first, second = (
            v.dtype if isinstance(v.type, ir.TensorType) else v.type for v in (old, new)
        )
        return f"type from {first} to {second}"
    if old.shape is None:
        return None
    was, now = ([getattr(d, "value", d) for d in v.shape or ()] for v in (old, new))
    fits = new.shape is not None and len(was) == len(now) and all(map(_fits, was, now))
    return None if fits else f"shape from {was} to {now}"


def _fits(before: int | str | None, after: int | str | None) -> bool:
    """Return whether a declared size is still valid: a free one may be known by now."""
    return before is None or before == after or (isinstance(before, str) and isinstance(after, int))


def _shared_outputs(model: onnx.ModelProto) -> set[str]:
    """Return the names that two outputs of one graph share."""
    shared: set[str] = set()
    for graph in graphs_in(model.graph):
        names = [value.name for value in graph.output]
        shared |= {name for name in names if names.count(name) > 1}
    return shared
