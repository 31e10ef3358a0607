"""fix-dims: set the sizes of the free axes of a graph's inputs, by name, place or role."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from actspan.core.wording import suggestion
from actspan.deploy.passes.contract import Contract, GraphPass, PassSettings

Dims = Sequence[int | str | None]  # a size, the name of a free axis, or None: free without a name

# A first axis with one of these names is a length (PEM takes rows of proposals).
_LENGTHS = ("proposals", "length", "time", "frames", "snippets", "sequence", "sequence_length")


@dataclass(frozen=True, slots=True)
class FreeAxis:
    """An axis of an input whose size the file does not fix."""

    input: str
    index: int
    name: str | None  # name in the file; axes of the same name have the same size
    role: Literal["batch", "length"]

    @property
    def place(self) -> str:
        """Its input and index, such as `state:1`."""
        return f"{self.input}:{self.index}"

    @property
    def label(self) -> str:
        """Name of the axis, or its place if it has none."""
        return self.name or self.place


def free_axes(shapes: Mapping[str, Dims]) -> list[FreeAxis]:
    """Return all free axes of inputs with these shapes, in order.

    A named axis is a batch if its name says so ("batch", "batch_size"). If no name does, the
    names of first axes are batches, except names of lengths and names of other axes of later
    inputs. An axis without a name is a batch if it is the first axis and its input has no other
    batch. All other axes are lengths.

    Examples
    --------
    >>> shapes = {"x": ("batch", "sequence"), "state": (2, "batch", 128)}
    >>> [(axis.input, axis.index, axis.role) for axis in free_axes(shapes)]
    [('x', 0, 'batch'), ('x', 1, 'length'), ('state', 1, 'batch')]
    """
    batches = _batch_names(shapes.values())
    axes = []
    for name, dims in shapes.items():
        has_batch = any(dim in batches for dim in dims)
        for index, dim in enumerate(dims):
            if isinstance(dim, int):
                continue
            is_batch = dim in batches if dim else index == 0 and not has_batch
            axes.append(FreeAxis(name, index, dim or None, "batch" if is_batch else "length"))
    return axes


def _batch_names(shapes: Iterable[Dims]) -> set[str]:
    names = [[dim if isinstance(dim, str) else "" for dim in dims] for dims in shapes]
    batches = {name for dims in names for name in dims if "batch" in name.lower()}
    first = [dims[0] for dims in names if dims]
    later = {name for dims in names for name in dims[1:]}
    return batches or {*first[:1], *(set(first) - later)} - {"", *_LENGTHS}


def advice(axes: Iterable[FreeAxis]) -> str:
    """List the free axes, and the options of `actspan optimize` that fix them.

    Examples
    --------
    >>> advice(free_axes({"x": ("batch", 3, None)}))
    'free axes: batch, x:2: fix them with --dim batch=1 --dim x:2=N'
    """
    sizes = {axis.label: "1" if axis.role == "batch" else "N" for axis in axes}
    options = (f"--dim {label}={size}" for label, size in sizes.items())
    return f"free axes: {', '.join(sizes)}: fix them with {' '.join(options)}"


class FixDims(GraphPass):
    """Assignment of sizes to free axes.

    A batch and a length are sizes of all axes of that role that `dims` does not name. The place of
    an axis with a name, such as `state:1`, stands for all axes of that name.
    """

    contract = Contract(
        name="fix-dims",
        tag="fixed",
        summary="Fix free sizes of the inputs: by axis (its name, or INPUT:AXIS), or batch and "
        "length.",
        needs="an axis with its size, a batch or a length; the axis is free, or has that size and "
        "is given by its place or as batch or length",
        ensures="no requested axis is free",
        tolerance=1e-6,
    )

    def __init__(self, settings: PassSettings) -> None:
        super().__init__(settings)
        roles = {"batch": settings.batch, "length": settings.length}
        self._roles = {role: size for role, size in roles.items() if size is not None}
        self._dims = settings.dims

    @property
    def tag(self) -> str:
        """Tag such as `b16`, `b16-t100`, or `batch1-sequence576`."""
        roles = [f"{'b' if role == 'batch' else 't'}{size}" for role, size in self._roles.items()]
        named = [f"{re.sub(r'[^A-Za-z0-9]+', '_', name)}{n}" for name, n in self._dims.items()]
        return "-".join(roles + named)

    def missing(self, model: ir.Model) -> str | None:
        """Check that the axes exist and are free; see `GraphPass.missing`."""
        axes = _free(model)
        if not self._roles and not self._dims:
            return advice(axes) if axes else "the inputs have no free axis, so leave this pass out"
        faults = [self._dim_fault(model, axes, key) for key in self._dims]
        faults += [self._role_fault(model, axes, role) for role in self._roles]
        return next((fault for fault in faults if fault), None)

    def broken(self, model: ir.Model) -> str | None:
        """Check the sizes of the result; see `GraphPass.broken`."""
        left = [axis.label for axis, _ in self._requested(_free(model))]
        return f"axes are still free: {', '.join(left)}" if left else None

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fix inputs, and every axis of the same name; other shapes are inferred again."""
        requested = self._requested(_free(model))
        places = {(axis.input, axis.index): size for axis, size in requested}
        names: dict[object, int] = {axis.name: size for axis, size in requested if axis.name}
        computed = (value for node in model.graph.all_nodes() for value in node.outputs)
        for value in (*model.graph.inputs, *model.graph.outputs, *computed):
            if value.shape is not None:
                value.shape = ir.Shape(
                    [
                        places.get((value.name, index)) or names.get(dim) or value.shape[index]
                        for index, dim in enumerate(_dims_of(value))
                    ]
                )
        return ir.passes.PassResult(model, bool(requested))

    def _requested(self, axes: list[FreeAxis]) -> list[tuple[FreeAxis, int]]:
        """Return the axes to fix, and their sizes."""
        sizes = {_label(key, axes): size for key, size in self._dims.items()}
        sizes_of_axes = (
            (axis, sizes.get(axis.label) or self._roles.get(axis.role)) for axis in axes
        )
        return [(axis, size) for axis, size in sizes_of_axes if size]

    def _dim_fault(self, model: ir.Model, axes: list[FreeAxis], key: str) -> str | None:
        """Return why an axis cannot get its size; None if it can, or already has it."""
        label, size = _label(key, axes), self._dims[key]
        known = dict.fromkeys(axis.label for axis in axes)
        if label in known:
            same = (n for other, n in self._dims.items() if _label(other, axes) == label)
            sizes = [str(n) for n in dict.fromkeys(same)]
            return f"{label} cannot be {' and '.join(sizes)}" if len(sizes) > 1 else None
        fixed = {
            f"{value.name}:{index}": dim
            for value in model.graph.inputs
            for index, dim in enumerate(_dims_of(value))
            if isinstance(dim, int)
        }
        if key not in fixed:
            available = f"available: {', '.join(known)}" if known else "no axis is free"
            return f"no free axis is called {key!r}{suggestion(key, known)}; {available}"
        return None if fixed[key] == size else f"{key} is {fixed[key]} already, not {size}"

    def _role_fault(self, model: ir.Model, axes: list[FreeAxis], role: str) -> str | None:
        """Return why no axis can be this batch or length; None if one can, or already has it."""
        size = self._roles[role]
        labels = {_label(key, axes) for key in self._dims}
        if any(axis.role == role and axis.label not in labels for axis in axes):
            return None
        fixed = list(_fixed_axes(model, role))
        if not fixed:
            fault = f"no input has a {role} that could be {size}"
            return f"{fault}; {advice(axes)}" if axes else fault
        if any(fixed_size == size for _, _, fixed_size in fixed):
            return None
        name, index, fixed_size = fixed[0]
        return (
            f"the {role} of {name} (axis {index}) is {fixed_size} already, not {size}; "
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


def _fixed_axes(model: ir.Model, role: str) -> Iterator[tuple[str, int, int]]:
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
