"""The interface of inference runtimes, and the shared parts of their implementations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray

from actspan.config.base import Bounds, Config, Positive
from actspan.core.errors import ActSpanError, BackendError, ShapeError
from actspan.core.types import Float32
from actspan.core.wording import counted
from actspan.model.nets import NetForm

Shape = tuple[int | None, ...]  # None: any size
BatchRange = tuple[int, int | None]  # smallest and largest size of the first axis; None: any


class SessionOptions(Config, frozen=True):
    """Resources that a session may use."""

    threads: Positive = 1  # CPU threads per call; with 1, the calling thread computes alone
    streams: Positive = 1  # number of concurrent calls, from as many threads of the caller
    device: Annotated[int, Bounds(0)] = 0  # number of the accelerator, if there are several


class Session(ABC):
    """A network that is ready to run; several threads may use a session at the same time.

    Examples
    --------
    >>> with open_session("bsn/pem.onnx") as session:  # doctest: +SKIP
    ...     scores = session.run({"video_feature": bsp})["output"]
    """

    backend: str  # name for `open_session`
    input_shapes: Mapping[str, Shape]  # by name; the first axis counts rows
    output_names: Sequence[str]
    batch_range: (
        BatchRange | None
    )  # smallest and largest number of rows, if the shapes leave it open

    @abstractmethod
    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Float32]:
        """Compute all outputs from all inputs, by name.

        Raises
        ------
        ShapeError, BackendError
            An input does not fit the network; the runtime failed, or the session is closed.
        """

    @abstractmethod
    def close(self) -> None:
        """Free the resources of the session; closing twice has no effect."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


@dataclass(kw_only=True, eq=False)
class FileSession(Session):
    """Base of sessions over a file; a backend adds `_compute` and `_release`."""

    backend: str
    vendor: str  # name of the runtime in errors
    path: Path
    input_shapes: Mapping[str, Shape]
    output_names: Sequence[str]
    batch_range: BatchRange | None = None
    # Types of inputs that are not float32 in the file; callers always pass float32.
    input_types: Mapping[str, Any] = field(default_factory=dict)
    _closed: bool = field(default=False, init=False)

    @abstractmethod
    def _compute(self, inputs: dict[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """Compute the outputs in the order of `output_names`; errors become BackendError."""

    @abstractmethod
    def _release(self) -> None:
        """Free the runtime; called once, possibly while a call is still running."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Float32]:
        """Run the network; see `Session.run`."""
        if self._closed:
            raise BackendError(f"{self.path}: the session is closed; open it again")
        checked: dict[str, NDArray[Any]] = dict(check_inputs(inputs, self.input_shapes))
        for name, kind in self.input_types.items():
            checked[name] = checked[name].astype(kind, copy=False)
        try:
            outputs = self._compute(checked)
        except ActSpanError:
            raise
        except Exception as error:  # vendors' exceptions have no common base
            reason = reason_of(error)
            raise BackendError(f"{self.path}: {self.vendor} failed: {reason}") from error
        arrays = (np.asarray(output, dtype=np.float32) for output in outputs)
        return dict(zip(self.output_names, arrays, strict=True))

    def close(self) -> None:
        """Close the session; see `Session.close`."""
        if not self._closed:
            self._closed = True
            self._release()


def check_inputs(
    inputs: Mapping[str, NDArray[Any]], shapes: Mapping[str, Shape]
) -> dict[str, Float32]:
    """Return the inputs as contiguous float32, or raise ShapeError if the network takes others."""
    if inputs.keys() != shapes.keys():
        raise ShapeError(
            f"inputs are {', '.join(inputs) or 'none'}; the network expects {', '.join(shapes)}"
        )
    checked = {}
    for name, shape in shapes.items():
        array = np.ascontiguousarray(inputs[name], dtype=np.float32)
        sizes = zip(array.shape, shape, strict=False)
        if array.ndim != len(shape) or any(want not in (None, have) for have, want in sizes):
            raise ShapeError(f"{name} has shape {array.shape}; the network expects {_text(shape)}")
        checked[name] = array
    return checked


def reason_of(error: BaseException) -> str:
    """Return a vendor's message on one line, without codes and source locations."""
    text = str(error)
    lines = [line.strip() for line in text.rpartition(" : ")[2].splitlines() if line.strip()]
    if not lines:
        return repr(error)
    return lines[-1] if text.startswith("Exception from") else lines[0]


# OpenVINO keeps kernels and buffers for every input shape. PEM sees a new number of proposals in
# each call; rounding it up gives few shapes, so memory stays bounded.
_ROUNDED = {("openvino", 2): 128}


def with_any_batch(inner: Session, form: NetForm) -> Session:
    """Return a session that takes any number of rows, named like the bundle's ONNX files.

    Its input and outputs, in their order, then have the names of `form`. If `inner` is such a
    session already, it is returned itself. Raise BackendError if it has another number of inputs or
    outputs, or an input of another number of axes.
    """
    if len(inner.input_shapes) != 1 or len(inner.output_names) != len(form.outputs):
        needed = counted(len(form.outputs), "output")
        raise BackendError(
            f"it has {counted(len(inner.input_shapes), 'input')} and "
            f"{counted(len(inner.output_names), 'output')}; one input and {needed} are needed"
        )
    ((input_name, shape),) = inner.input_shapes.items()
    if len(shape) not in (form.axes, form.axes + 1):
        raise BackendError(f"its input has shape {_text(shape)}; {form.axes} axes are needed")
    named = input_name == form.input and tuple(inner.output_names) == form.outputs
    rounded = _ROUNDED.get((inner.backend.partition(":")[0], len(shape)), 1)
    is_free = shape[0] is None and inner.batch_range is None
    if named and is_free and len(shape) == form.axes and rounded == 1:
        return inner
    return BatchedSession(inner, form, shape[: 1 + len(shape) - form.axes], rounded)


class BatchedSession(Session):
    """A session for any number of rows, over one with limits; see `with_any_batch`.

    The rows of a network are independent. A call is split into calls that the inner session
    takes, the last one padded with zeros, and the outputs of the padding are dropped. An inner
    session with one more axis takes its rows over two axes, like PEM for NPUs: (1, 1000, 32).
    """

    batch_range = None

    def __init__(self, inner: Session, form: NetForm, lead: Shape, rounded: int) -> None:
        self._inner, self._lead = inner, lead  # the leading axes count rows
        self.backend, self.output_names = inner.backend, form.outputs
        ((self._given, shape),) = inner.input_shapes.items()
        self.input_shapes = MappingProxyType({form.input: (None, *shape[len(lead) :])})
        self._least, most = inner.batch_range or (lead[0] or 1, lead[0])
        self._unit, self._most = 1, most  # rows: a multiple of unit, at most most
        if len(lead) == 2:
            self._least, self._unit = 1, (lead[0] or 1) * (lead[1] or 1)
            self._most = None if None in lead else self._unit
        elif most is None:
            self._unit = max(self._least, rounded)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Float32]:
        """Run the network on any number of rows; see `Session.run`."""
        (rows,) = check_inputs(inputs, self.input_shapes).values()
        count = max(len(rows), 1)
        step = self._most or count
        parts = [self._run_part(rows[i : i + step]) for i in range(0, count, step)]
        of_each = zip(self.output_names, zip(*parts, strict=True), strict=True)
        return {name: p[0] if len(p) == 1 else np.concatenate(p) for name, p in of_each}

    def _run_part(self, rows: Float32) -> list[Float32]:
        count = len(rows)
        size = max(-(-count // self._unit) * self._unit, self._unit, self._least)
        if size != count:
            padded = np.zeros((size, *rows.shape[1:]), dtype=np.float32)
            padded[:count] = rows
            rows = padded
        if len(self._lead) == 2:
            batch, length = self._lead
            batch = size // length if length else batch or 1
            rows = rows.reshape(batch, size // batch, *rows.shape[1:])
        outputs = self._inner.run({self._given: rows})
        named = (outputs[name] for name in self._inner.output_names)
        return [y.reshape(size, *y.shape[len(self._lead) :])[:count] for y in named]

    def close(self) -> None:
        """Close the inner session."""
        self._inner.close()


def _text(shape: Shape) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
