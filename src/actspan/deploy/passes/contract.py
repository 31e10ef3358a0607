"""Contracts and settings of graph passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self

import onnx_ir as ir
from numpy.typing import NDArray

from actspan.core.errors import ConfigError
from actspan.core.wording import listed
from actspan.deploy.passes.tools import nodes_of

__all__ = ["Calibration", "Contract", "GraphPass", "Inputs", "PassSettings", "Sample", "Shapes"]

Inputs = Mapping[str, NDArray[Any]]  # every input of a graph by name
Shapes = Mapping[str, tuple[int | None, ...]]  # None: any size


@dataclass(frozen=True, slots=True)
class Sample:
    """Real inputs of a network.

    Attributes
    ----------
    inputs : sequence of Inputs
        One mapping per call.
    notes : tuple of str
        Lines about what was skipped.
    """

    inputs: Sequence[Inputs]
    notes: tuple[str, ...] = ()


class Calibration(Protocol):
    """Source of real inputs for the calibration of int8."""

    def sample(self, shapes: Shapes) -> Sample:
        """Return inputs for a network whose inputs have these names and shapes."""
        ...


@dataclass(frozen=True, slots=True)
class PassSettings:
    """Settings of all passes; each pass uses its own.

    Attributes
    ----------
    batch, length : int, optional
        fix-dims: size of the inputs' batch axes, and of their other free axes.
    dims : mapping of str to int
        fix-dims: sizes of axes by their names in the file, or by place, such as `state:1`.
    opset : int, optional
        opset: the version to convert to.
    io : "fp32" or "fp16"
        fp16: type of the graph's inputs and outputs.
    calibration : Calibration, optional
        int8: real inputs.
    symmetric : bool
        int8: symmetric int8 activations, the only kind that TensorRT supports; uint8 otherwise.
    probes : tuple of Inputs
        Realistic inputs for the numeric check; seeded random ones by default.
    """

    batch: int | None = None
    length: int | None = None
    opset: int | None = None
    io: Literal["fp32", "fp16"] = "fp32"
    calibration: Calibration | None = None
    symmetric: bool = False
    probes: tuple[Inputs, ...] = ()
    dims: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = {name: getattr(self, name) for name in ("batch", "length", "opset")}
        for name, value in (sizes | dict(self.dims)).items():
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}")


@dataclass(frozen=True, slots=True)
class Contract:
    """Conditions before and after a pass.

    Attributes
    ----------
    name : str
        Name for `--passes`.
    tag : str
        Its part of the file name of a bundle's variant.
    summary, needs, ensures : str
        Texts for users; `GraphPass.missing` and `GraphPass.broken` check the last two.
    tolerance : float
        Largest difference of an output that the pass may cause, as a share of the output's largest
        magnitude if that exceeds 1.
    kind : str
        Nodes that the pass converts, in the plural; `GraphPass.remaining` finds those it leaves.
    complete : bool
        True if the pass misses its goal when it leaves one.
    retypes : bool
        True if inputs and outputs may change between float32 and float16.
    """

    name: str
    tag: str
    summary: str
    needs: str
    ensures: str
    tolerance: float
    kind: str = ""
    complete: bool = False
    retypes: bool = False


class GraphPass(ir.passes.InPlacePass):  # type: ignore[misc]
    """A rewrite with a contract: a pass of onnx-ir, which its pass managers can run too.

    A subclass defines its conditions in `contract` and its rewrite in `call`.
    """

    contract: ClassVar[Contract]
    rounds: ClassVar[int] = 1  # at most; shapes are inferred after each, which may allow more

    @classmethod
    def of(cls, settings: PassSettings) -> Self:
        """Create the pass with its part of the settings."""
        return cls()

    @property
    def tag(self) -> str:
        """Its part of the file name of a bundle's variant."""
        return self.contract.tag

    @property
    def probes(self) -> Sequence[Inputs]:
        """Inputs for the numeric check, if random ones cannot be used."""
        return ()

    @property
    def notes(self) -> Sequence[str]:
        """Lines about skipped inputs."""
        return ()

    def missing(self, model: ir.Model) -> str | None:
        """Return which of `contract.needs` a model lacks, and how to fix it; None if nothing."""
        return None

    def broken(self, model: ir.Model) -> str | None:
        """Return which of `contract.ensures` a rewritten model violates; None if nothing."""
        return None

    def remaining(self, model: ir.Model) -> Mapping[ir.Node, str]:
        """Return the nodes of `contract.kind` in a model, with the reason why they stay.

        Before the pass it also counts nodes that the pass will convert.
        """
        return {}

    def left(self, model: ir.Model, total: int) -> str | None:
        """Return one line about what remains of `total` nodes after the pass; None if nothing."""
        owners, remaining = _owners(model), self.remaining(model)
        groups: dict[tuple[str, str], list[str]] = {}
        for node, reason in remaining.items():
            group = owners.get(node.graph, ""), reason
            groups.setdefault(group, []).append(f"{node.op_type} {node.name!r}")
        parts = [f"{where}{listed(names)} ({why})" for (where, why), names in groups.items()]
        count = f"{len(remaining):,} of {max(total, len(remaining)):,} {self.contract.kind} left"
        return f"{count}: {'; '.join(parts)}" if remaining else None

    def requires(self, model: ir.Model) -> None:
        """Check the precondition, for onnx-ir."""
        lack = self.missing(model)
        if lack is not None:
            raise ir.passes.PreconditionError(lack)

    def ensures(self, model: ir.Model) -> None:
        """Check the postcondition, for onnx-ir."""
        fault = self.broken(model)
        if fault is not None:
            raise ir.passes.PostconditionError(fault)


def _owners(model: ir.Model) -> dict[ir.Graph | None, str]:
    """Describe the places of branches and bodies."""
    found: dict[ir.Graph | None, str] = {}
    for node in nodes_of(model):
        where = f"in {'branches' if node.op_type == 'If' else 'bodies'} of {node.op_type}: "
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                found[attribute.as_graph()] = where
    return found
