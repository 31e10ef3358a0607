"""fix-dims: set the sizes of the free axes of a graph's inputs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Self

import onnx_ir as ir

from actspan.core.wording import suggestion
from actspan.deploy.passes.axes import Dims, FreeAxis, advice, free_axes
from actspan.deploy.passes.contract import Contract, GraphPass, PassSettings

__all__ = ["FixDims"]


class FixDims(GraphPass):
    """Assignment of sizes to free axes.

    Parameters
    ----------
    batch, length : int, optional
        Sizes of all axes of that role that `dims` does not name; see `free_axes`.
    dims : mapping of str to int, optional
        Sizes of axes by their names in the file, or by their places, such as `state:1`; see
        `FreeAxis`. The place of an axis with a name stands for all axes of that name.
    """

    contract = Contract(
        name="fix-dims",
        tag="fixed",
        summary="Fix free sizes of the inputs: by axis (its name, or INPUT:AXIS), or batch and "
        "length.",
        needs="an axis with its size, a batch or a length; the axis is free, or has that size and "
        "is given by its place or as batch or length",
        ensures="no axis that was asked for is free",
        tolerance=1e-6,
    )

    def __init__(
        self,
        batch: int | None = None,
        length: int | None = None,
        dims: Mapping[str, int] | None = None,
    ) -> None:
        self._roles = {
            role: size for role, size in (("batch", batch), ("length", length)) if size is not None
        }
        self._dims = dict(dims or {})

    @classmethod
    def of(cls, settings: PassSettings) -> Self:
        """Create the pass with its settings; see `GraphPass.of`."""
        return cls(settings.batch, settings.length, settings.dims)

    @property
    def tag(self) -> str:
        """Tag such as `b16`, `b16-t100`, or `batch1-sequence576`."""
        roles = [f"{'b' if role == 'batch' else 't'}{size}" for role, size in self._roles.items()]
        named = [f"{re.sub(r'[^A-Za-z0-9]+', '_', name)}{n}" for name, n in self._dims.items()]
        return "-".join(roles + named)

    def missing(self, model: ir.Model) -> str | None:
        """Check that the axes exist and are free; see `GraphPass.missing`."""
        if not self._roles and not self._dims:
            axes = _free(model)
            return advice(axes) if axes else "the inputs have no free axis, so leave this pass out"
        axes = _free(model)
        faults = [self._dim_fault(model, axes, key) for key in self._dims]
        faults += [self._role_fault(model, axes, role) for role in self._roles]
        return next((fault for fault in faults if fault), None)

    def broken(self, model: ir.Model) -> str | None:
        """Check the sizes of the result; see `GraphPass.broken`."""
        left = [axis.label for axis, _ in self._wanted(_free(model))]
        return f"axes are still free: {', '.join(left)}" if left else None

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fix inputs, and every axis of the same name; other shapes are inferred again."""
        wanted = self._wanted(_free(model))
        places = {(axis.input, axis.index): size for axis, size in wanted}
        names: dict[object, int] = {axis.name: size for axis, size in wanted if axis.name}
        for value in _values(model):
            if value.shape is not None:
                value.shape = ir.Shape(
                    [
                        places.get((value.name, index)) or names.get(dim) or value.shape[index]
                        for index, dim in enumerate(_dims_of(value))
                    ]
                )
        return ir.passes.PassResult(model, bool(wanted))

    def _wanted(self, axes: list[FreeAxis]) -> list[tuple[FreeAxis, int]]:
        """Return the axes to fix, and their sizes."""
        sizes = {_label(key, axes): size for key, size in self._dims.items()}
        found = ((axis, sizes.get(axis.label) or self._roles.get(axis.role)) for axis in axes)
        return [(axis, size) for axis, size in found if size]

    def _dim_fault(self, model: ir.Model, axes: list[FreeAxis], key: str) -> str | None:
        """Return why an axis cannot get its size; None if it can, or already has it."""
        label, size = _label(key, axes), self._dims[key]
        known = dict.fromkeys(axis.label for axis in axes)
        if label in known:
            sizes = {
                str(n): None for other, n in self._dims.items() if _label(other, axes) == label
            }
            return f"{label} cannot be {' and '.join(sizes)}" if len(sizes) > 1 else None
        fixed = _fixed_places(model)
        if key not in fixed:
            there = f"there are: {', '.join(known)}" if known else "no axis is free"
            return f"no free axis is called {key!r}{suggestion(key, known)}; {there}"
        return None if fixed[key] == size else f"{key} is {fixed[key]} already, not {size}"

    def _role_fault(self, model: ir.Model, axes: list[FreeAxis], role: str) -> str | None:
        """Return why no axis can be this batch or length; None if one can, or already has it."""
        size = self._roles[role]
        labels = {_label(key, axes) for key in self._dims}
        if any(axis.role == role and axis.label not in labels for axis in axes):
            return None
        fixed = list(_fixed(model, role))
        if not fixed:
            return f"no input has a {role} that could be {size}" + (
                f"; {advice(axes)}" if axes else ""
            )
        if any(found == size for _, _, found in fixed):
            return None
        name, index, found = fixed[0]
        return (
            f"the {role} of {name} (axis {index}) is {found} already, not {size}; "
            f"export the network with a free {role} first"
        )


def _label(key: str, axes: Iterable[FreeAxis]) -> str:
    """Return the label of the axis with this name or place; the text itself if there is none."""
    labels = {axis.place: axis.label for axis in axes} | {axis.label: axis.label for axis in axes}
    return labels.get(key, key)


def _dims_of(value: ir.Value) -> Dims:
    return [dim.value if isinstance(dim, ir.SymbolicDim) else dim for dim in value.shape or ()]


def _free(model: ir.Model) -> list[FreeAxis]:
    return free_axes({value.name: _dims_of(value) for value in model.graph.inputs})


def _fixed_places(model: ir.Model) -> dict[str, int]:
    """Return the sizes of fixed axes by place, see `FreeAxis.place`."""
    return {
        f"{value.name}:{index}": dim
        for value in model.graph.inputs
        for index, dim in enumerate(_dims_of(value))
        if isinstance(dim, int)
    }


def _fixed(model: ir.Model, role: str) -> Iterator[tuple[str, int, int]]:
    """Yield the input, axis and size of possible batch or length axes with a fixed size.

    The batch is the first axis. The length is any other axis, the last one first; for an input
    with two axes it may also be the first axis, like PEM's proposals.
    """
    for value in model.graph.inputs:
        dims = _dims_of(value)
        first = 0 if len(dims) == 2 else 1
        for index in [0] if role == "batch" else range(len(dims) - 1, first - 1, -1):
            dim = dims[index] if dims else None
            if isinstance(dim, int):
                yield value.name, index, dim


def _values(model: ir.Model) -> Iterable[ir.Value]:
    """Yield inputs, outputs and values computed by nodes, in bodies too."""
    yield from model.graph.inputs
    yield from model.graph.outputs
    for node in model.graph.all_nodes():
        yield from node.outputs
