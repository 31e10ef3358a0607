"""Free axes of a graph's inputs: their names, and which of them are a batch or a length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Dims", "FreeAxis", "advice", "free_axes"]

Dims = Sequence[int | str | None]  # a size, the name of a free axis, or None: free without a name
Role = Literal["batch", "length"]

# A first axis with one of these names is a length (PEM takes rows of proposals).
_LENGTHS = ("proposals", "length", "time", "frames", "snippets", "sequence", "sequence_length")


@dataclass(frozen=True, slots=True)
class FreeAxis:
    """An axis of an input whose size the file does not fix.

    Attributes
    ----------
    input : str
    index : int
    name : str or None
        Name in the file. Axes of the same name have the same size.
    role : "batch" or "length"
    """

    input: str
    index: int
    name: str | None
    role: Role

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
    found = []
    for name, dims in shapes.items():
        has_batch = any(dim in batches for dim in dims)
        for index, dim in enumerate(dims):
            if isinstance(dim, int):
                continue
            is_batch = dim in batches if dim else index == 0 and not has_batch
            found.append(FreeAxis(name, index, dim or None, "batch" if is_batch else "length"))
    return found


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
