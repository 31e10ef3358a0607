"""The contract of graph passes, their settings, and the functions over onnx-ir that they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from numpy.typing import NDArray

from actspan.core.errors import ConfigError
from actspan.core.wording import listed

Inputs = Mapping[str, NDArray[Any]]  # every input of a graph by name
Shapes = Mapping[str, tuple[int | None, ...]]  # None: any size


@dataclass(frozen=True, slots=True)
class Sample:
    """Real inputs of a network, one mapping per call, and lines about what was skipped."""

    inputs: Sequence[Inputs]
    notes: tuple[str, ...] = ()


class Calibration(Protocol):
    """Source of real inputs for the calibration of int8."""

    def sample(self, shapes: Shapes) -> Sample:
        """Return inputs for a network whose inputs have these names and shapes."""


@dataclass(frozen=True, slots=True)
class PassSettings:
    """Settings of all passes; each pass uses its own."""

    # fix-dims: sizes of the inputs' batch axes, and of their other free axes.
    batch: int | None = None
    length: int | None = None
    opset: int | None = None  # opset: the version to convert to
    io: Literal["fp32", "fp16"] = "fp32"  # fp16: type of the graph's inputs and outputs
    calibration: Calibration | None = None  # int8: real inputs
    # int8: symmetric int8 activations, the only kind that TensorRT supports; uint8 otherwise.
    symmetric: bool = False
    # Realistic inputs for the numeric check; seeded random ones by default.
    probes: tuple[Inputs, ...] = ()
    # fix-dims: sizes of axes by their names in the file, or by place, such as `state:1`.
    dims: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = {name: getattr(self, name) for name in ("batch", "length", "opset")}
        for name, value in (sizes | dict(self.dims)).items():
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}")


@dataclass(frozen=True, slots=True)
class Contract:
    """Conditions before and after a pass."""

    name: str  # name for `--passes`
    tag: str  # its part of the file name of a bundle's variant
    # Texts for users; `GraphPass.missing` and `GraphPass.broken` check the last two.
    summary: str
    needs: str
    ensures: str
    # Largest difference of an output that the pass may cause, as a share of the output's largest
    # magnitude if that exceeds 1.
    tolerance: float
    # Nodes that the pass converts, in the plural; `GraphPass.remaining` finds those it leaves.
    kind: str = ""
    complete: bool = False  # true if the pass misses its goal when it leaves one
    retypes: bool = False  # true if inputs and outputs may change between float32 and float16


class GraphPass(ir.passes.InPlacePass):  # type: ignore[misc]
    """A rewrite with a contract: a pass of onnx-ir, which its pass managers can run too.

    A subclass defines its conditions in `contract`, the nodes that it converts in `remaining`, and
    its rewrite in `call`.
    """

    contract: ClassVar[Contract]
    rounds: ClassVar[int] = 1  # at most; shapes are inferred after each, which may allow more
    probes: Sequence[Inputs] = ()  # inputs for the numeric check, if random ones cannot be used
    notes: Sequence[str] = ()  # lines about skipped inputs

    def __init__(self, settings: PassSettings = PassSettings()) -> None:
        self._settings = settings

    @property
    def tag(self) -> str:
        """Its part of the file name of a bundle's variant."""
        return self.contract.tag

    def missing(self, model: ir.Model) -> str | None:
        """Return which of `contract.needs` a model lacks, and how to fix it; None if nothing."""
        return None

    def broken(self, model: ir.Model) -> str | None:
        """Return which of `contract.ensures` a rewritten model violates; None if nothing."""
        left = [n.name or n.op_type for n, reason in self.remaining(model).items() if not reason]
        return f"{self.contract.kind} can still be converted: {', '.join(left)}" if left else None

    def remaining(self, model: ir.Model) -> Mapping[ir.Node, str]:
        """Return the nodes of `contract.kind` in a model, each with the reason why it stays.

        The reason is empty for a node that the pass will convert.
        """
        return {}

    def left(self, model: ir.Model, total: int) -> str | None:
        """Return one line about what remains of `total` nodes after the pass; None if nothing."""
        places: dict[ir.Graph | None, str] = {}
        for node in nodes_of(model):
            where = f"in {'branches' if node.op_type == 'If' else 'bodies'} of {node.op_type}: "
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.GRAPH:
                    places[attribute.as_graph()] = where
        remaining = self.remaining(model)
        groups: dict[tuple[str, str], list[str]] = {}
        for node, reason in remaining.items():
            group = places.get(node.graph, ""), reason
            groups.setdefault(group, []).append(f"{node.op_type} {node.name!r}")
        parts = [f"{where}{listed(names)} ({why})" for (where, why), names in groups.items()]
        count = f"{len(remaining):,} of {max(total, len(remaining)):,} {self.contract.kind} left"
        return f"{count}: {'; '.join(parts)}" if remaining else None

    def requires(self, model: ir.Model) -> None:
        """Check the precondition, for onnx-ir."""
        if lack := self.missing(model):
            raise ir.passes.PreconditionError(lack)

    def ensures(self, model: ir.Model) -> None:
        """Check the postcondition, for onnx-ir."""
        if fault := self.broken(model):
            raise ir.passes.PostconditionError(fault)


def graphs_of(model: ir.Model) -> list[ir.Graph]:
    """Return the main graph, and the branches and bodies of control flow in it."""
    return [model.graph, *model.graph.subgraphs()]


def nodes_of(model: ir.Model) -> Iterator[ir.Node]:
    """Yield the nodes of all graphs of a model."""
    for graph in graphs_of(model):
        yield from graph


def opset_of(model: ir.Model) -> int:
    """Return the version of the standard operators, 1 if the model names none."""
    return int(model.opset_imports.get("", 1))


def is_standard(node: ir.Node | None, *operators: str) -> bool:
    """Return whether a node is one of these operators of the standard."""
    return node is not None and node.domain == "" and (not operators or node.op_type in operators)


def constant_of(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the content of a constant value, else None."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else np.asarray(tensor.numpy())


def input_of(node: ir.Node, index: int) -> ir.Value | None:
    """Return an input of a node; None if it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def reads_more(node: ir.Node) -> bool:
    """Return whether an output of a node besides the first one is used."""
    return any(value.uses() or value.is_graph_output() for value in node.outputs[1:])


def only_use(value: ir.Value) -> ir.Node | None:
    """Return the only reader of a value; None if it has others, or is a graph output."""
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def can_leave(value: ir.Value | None, graph: ir.Graph | None) -> bool:
    """Return whether a value can become one more output of a graph.

    A graph must compute its outputs itself, and their names must differ.
    """
    if value is None or value.is_graph_output():
        return False
    producer = value.producer()
    return producer is not None and producer.graph is graph


def unique_name(graph: ir.Graph, name: str) -> str:
    """Return `name`, with a number appended if the main graph or one inside has it already."""
    used: set[str | None] = set()
    for part in (graph, *graph.subgraphs()):
        used |= {value.name for value in (*part.inputs, *part.initializers.values())}
        used |= {output.name for node in part for output in node.outputs}
    candidate, number = name, 1
    while candidate in used:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def add_constant(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """Add an initializer to the main graph, visible in all others, under a name like `name`."""
    name = unique_name(graph, name)
    tensor = ir.tensor(np.ascontiguousarray(array).reshape(np.shape(array)), name=name)
    value = ir.Value(
        name=name,
        shape=ir.Shape(np.shape(array)),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value


def insert_behind(value: ir.Value, node: ir.Node) -> None:
    """Insert a node directly after a value, so that it is visible wherever the value is."""
    producer, graph = value.producer(), value.graph
    if producer is not None:
        graph.insert_after(producer, node)
    elif len(graph):
        graph.insert_before(graph[0], node)


def bypass(node: ir.Node, value: ir.Value) -> None:
    """Replace a node's only output by `value`, which takes over its name if it is a graph output.

    The node stays unused; or as an Identity if both values must stay, see `can_leave`.
    """
    output = node.outputs[0]
    if not output.is_graph_output():
        output.replace_all_uses_with(value)
    elif can_leave(value, node.graph):
        name = output.name
        output.replace_all_uses_with(value, replace_graph_outputs=True)
        output.name = f"{name}_unused"
        value.name, value.type, value.shape = name, output.type, output.shape
    else:
        node.op_type = "Identity"
        node.attributes.clear()
        node.resize_inputs(1)
        node.replace_input_with(0, value)


def remove_unused(model: ir.Model) -> None:
    """Remove nodes and constants that nothing reads, in branches and bodies too."""
    common.RemoveUnusedNodesPass()(model)
    for graph in graphs_of(model):
        for name, value in list(graph.initializers.items()):
            if not (value.uses() or value.is_graph_output() or value.is_graph_input()):
                del graph.initializers[name]
