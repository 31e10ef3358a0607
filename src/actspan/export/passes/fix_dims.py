"""fix-dims: give the free sizes of a graph's inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import onnx_ir as ir

from actspan.export.passes.contract import Contract, GraphPass, PassSettings

__all__ = ["FixDims"]

# free axes of these names count as a length even if they come first (PEM takes rows of proposals)
_LENGTHS = ("proposals", "length", "time", "frames", "snippets")


class FixDims(GraphPass):
    """See the module.

    Parameters
    ----------
    batch, length : int, optional
        Sizes; what is not given stays free.
    """

    contract = Contract(
        name="fix-dims",
        tag="fixed",
        summary="Fix the free batch and length of the inputs.",
        needs="a batch or a length; an axis that is asked for is free, or has that size",
        ensures="every input has the sizes asked for",
        tolerance=1e-6,
    )

    def __init__(self, batch: int | None = None, length: int | None = None) -> None:
        self._sizes = {"batch": batch, "length": length}

    @classmethod
    def of(cls, settings: PassSettings) -> Self:
        """See `GraphPass.of`."""
        return cls(settings.batch, settings.length)

    @property
    def tag(self) -> str:
        """Such as `b16`, or `b16-t100`."""
        parts = zip("bt", self._sizes.values(), strict=True)
        return "-".join(f"{letter}{size}" for letter, size in parts if size)

    def missing(self, model: ir.Model) -> str | None:
        """See `GraphPass.missing`."""
        if not any(self._sizes.values()):
            return "give a batch or a length: --batch N, --length T"
        return self._conflict(model)

    def broken(self, model: ir.Model) -> str | None:
        """See `GraphPass.broken`."""
        for value, axis, role in self._wanted(model):
            if value.shape[axis] != self._sizes[role]:
                return f"axis {axis} of {value.name} is {value.shape[axis]}"
        return None

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fix inputs, and what has the same name in outputs; the rest is inferred anew."""
        free = [w for w in self._wanted(model) if not isinstance(w[0].shape[w[1]], int)]
        named = {_name(value, axis): self._sizes[role] for value, axis, role in free}
        for value, axis, role in free:
            value.shape = ir.Shape(
                [self._sizes[role] if i == axis else size for i, size in enumerate(value.shape)]
            )
        for value in model.graph.outputs:
            if value.shape is not None:
                axes = range(value.shape.rank())
                value.shape = ir.Shape(
                    [named.get(_name(value, axis)) or value.shape[axis] for axis in axes]
                )
        return ir.passes.PassResult(model, bool(free))

    def _wanted(self, model: ir.Model) -> Iterator[tuple[ir.Value, int, str]]:
        """Every axis that shall get a size: input, axis, "batch" or "length"."""
        for value in model.graph.inputs:
            for axis, role in _axis_roles(value, self._sizes["length"]):
                if self._sizes[role]:
                    yield value, axis, role

    def _conflict(self, model: ir.Model) -> str | None:
        found = set()
        for value, axis, role in self._wanted(model):
            found.add(role)
            size, wanted = value.shape[axis], self._sizes[role]
            if isinstance(size, int) and size != wanted:
                return (
                    f"the {role} of {value.name} (axis {axis}) is {size} already, not {wanted}; "
                    f"export the network with a free {role} first"
                )
        for role, size in self._sizes.items():
            if size and role not in found:
                return f"no input has a {role} that could be {size}"
        return None


def _name(value: ir.Value, axis: int) -> str | int | None:
    """Of a free axis; its size where it is fixed."""
    size = value.shape[axis]
    name: str | int | None = size.value if isinstance(size, ir.SymbolicDim) else size
    return name


def _axis_roles(value: ir.Value, length: int | None) -> Iterator[tuple[int, str]]:
    """Which axes of an input are its batch and its length.

    The first axis is the batch, unless its name says that it is a length. The length is every other
    free axis; where none is free, one that has the size asked for, else the last of three.
    """
    if value.shape is None:
        return
    names = [_name(value, axis) for axis in range(value.shape.rank())]
    lengths = [axis for axis, name in enumerate(names) if axis and not isinstance(name, int)]
    if not lengths and len(names) == 3:
        lengths = [names.index(length, 1)] if length in names[1:] else [2]
    if names:
        yield 0, "length" if names[0] in _LENGTHS else "batch"
    for axis in lengths:
        yield axis, "length"
