"""Normal form of models for passes: no functions, constants in one place, shapes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from actspan.core.errors import ActSpanError, ExportError
from actspan.core.wording import listed
from actspan.deploy.passes.interface import graphs_in

if TYPE_CHECKING:
    import onnx

__all__ = ["checked", "failures_named", "first_line", "prepared"]

_OLDEST_IR = 4  # before this version, constants had to be inputs as well
_LARGEST = 2**31 - 1  # maximum bytes of a protocol buffer
_INVENTED = "unk__"  # prefix of the names that shape inference gives to free sizes


def prepared(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Return the model in the form that passes expect; raise ExportError if there is none."""
    import onnx_ir as ir
    import onnx_ir.passes.common as common

    for library in ("onnx_ir", "onnxscript"):  # hides their log messages, unless a logger is set up
        logger = logging.getLogger(library)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    _refuse_sparse(model, where)
    with failures_named(where):
        graph = ir.from_proto(model)
        graph.ir_version = max(graph.ir_version, _OLDEST_IR)
        common.InlinePass()(graph)
        common.RemoveInitializersFromInputsPass()(graph)
    return checked(graph, where)


def _refuse_sparse(model: Any, where: str) -> None:
    for graph in graphs_in(model.graph):
        sparse = [tensor.values.name for tensor in graph.sparse_initializer]
        for node in graph.node:
            sparse += [node.output[0] for a in node.attribute if a.HasField("sparse_tensor")]
        if sparse:
            fault = "sparse tensors cannot be rewritten; store them as dense ones first"
            raise ExportError(f"{where}: {listed(sparse)}: {fault}")


def checked(model: Any, where: str) -> onnx.ModelProto:
    """Return the model with inferred shapes, after the full check and strict shape inference."""
    import onnx
    import onnx_ir as ir
    import onnx_ir.passes.common as common

    with failures_named(where):
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        common.TopologicalSortPass()(model)
        common.NameFixPass()(model)
        proto: Any = ir.to_proto(model)
    if proto.ByteSize() > _LARGEST:
        raise ExportError(f"{where}: more than 2 GB in one file, which ONNX cannot hold")
    _forget_shapes(proto)
    known = set(_free_names(proto))
    try:
        proto = onnx.shape_inference.infer_shapes(
            proto, check_type=True, strict_mode=True, data_prop=True
        )
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # InferenceError, ValidationError
        raise ExportError(
            f"{where}: the graph does not pass onnx's check: {first_line(error)}"
        ) from error
    _forget_inventions(proto, known)
    return proto


def _forget_shapes(model: Any) -> None:
    """Drop inferred shapes of standard operators; they are inferred again."""
    for graph in graphs_in(model.graph):
        computed = {name for node in graph.node if not node.domain for name in node.output}
        _drop_shapes(graph, computed)


def _drop_shapes(graph: Any, names: set[str]) -> None:
    kept = [value for value in graph.value_info if value.name not in names]
    del graph.value_info[:]
    graph.value_info.extend(kept)


def _forget_inventions(model: Any, known: set[str]) -> None:
    """Drop what differs between runs: generated names of sizes, duplicate shapes of outputs."""
    for graph in graphs_in(model.graph):
        _drop_shapes(graph, {value.name for value in graph.output})
    for dim in _free_sizes(model):
        if dim.dim_param.startswith(_INVENTED) and dim.dim_param not in known:
            dim.ClearField("dim_param")


def _free_names(model: Any) -> Iterator[str]:
    return (dim.dim_param for dim in _free_sizes(model))


def _free_sizes(model: Any) -> Iterator[Any]:
    for graph in graphs_in(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.HasField("tensor_type"):
                yield from (d for d in value.type.tensor_type.shape.dim if d.dim_param)


@contextmanager
def failures_named(where: str) -> Iterator[None]:
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
