"""Compare the interface of two versions of a graph: names, order, types and shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

__all__ = ["count_nodes", "graphs_in", "interface_change"]


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


def interface_change(
    before: onnx.ModelProto, after: onnx.ModelProto, *, retyped: bool = False
) -> str | None:
    """Describe what callers of the rewritten graph would notice besides values; None if nothing.

    A free size may become fixed.

    Parameters
    ----------
    retyped : bool
        True if float32 and float16 count as one type.
    """
    for kind in ("input", "output"):
        old, new = getattr(before.graph, kind), getattr(after.graph, kind)
        names = [[value.name for value in values] for values in (old, new)]
        if names[0] != names[1]:
            return f"the {kind}s {_listed(names[0])} become {_listed(names[1])}"
        for first, second in zip(old, new, strict=True):
            change = _type_change(first.type, second.type, retyped)
            if change:
                return f"the {kind} {first.name} changes its {change}"
    shared = _shared_outputs(after) - _shared_outputs(before)
    return f"two outputs of one graph are both {min(shared)}" if shared else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "(none)"


def _type_change(before: Any, after: Any, retyped: bool) -> str | None:
    kind = before.WhichOneof("value")
    if kind is None:
        return None
    if after.WhichOneof("value") != kind:
        return "type"
    first, second = getattr(before, kind), getattr(after, kind)
    if kind in ("sequence_type", "optional_type"):
        return _type_change(first.elem_type, second.elem_type, retyped)
    if kind != "tensor_type":
        return None if first == second else "type"
    types = [_type_name(first), _type_name(second)]
    if types[0] != types[1] and not (retyped and {*types} == {"FLOAT", "FLOAT16"}):
        return f"type from {types[0]} to {types[1]}"
    if not first.HasField("shape"):
        return None
    old, new = _sizes(first), _sizes(second)
    fits = second.HasField("shape") and len(old) == len(new) and all(map(_fits, old, new))
    return None if fits else f"shape from {old} to {new}"


def _type_name(tensor: Any) -> str:
    import onnx

    return str(onnx.TensorProto.DataType.Name(tensor.elem_type))


def _sizes(tensor: Any) -> list[int | str | None]:
    sizes = ((dim.WhichOneof("value"), dim) for dim in tensor.shape.dim)
    return [getattr(dim, kind) if kind else None for kind, dim in sizes]


def _fits(before: int | str | None, after: int | str | None) -> bool:
    """Return whether a declared size is still valid: a free one may be known by now."""
    return before is None or before == after or (isinstance(before, str) and isinstance(after, int))


def _shared_outputs(model: onnx.ModelProto) -> set[str]:
    """Return the names that two outputs of one graph share."""
    found: set[str] = set()
    for graph in graphs_in(model.graph):
        names = [value.name for value in graph.output]
        found |= {name for name in names if names.count(name) > 1}
    return found
