"""Sessions for any number of rows per call, over engines with limited or fixed batch sizes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import BackendError
from actspan.core.types import Float32
from actspan.runtime.session import BatchRange, Session, Shape, check_inputs

__all__ = ["AnyRows"]

# OpenVINO keeps kernels and buffers for every input shape. PEM sees a new number of proposals in
# each call; rounding it up gives few shapes, so memory stays bounded.
_ROUNDED = {("openvino", 2): 128}


class AnyRows:
    """A session that takes any number of rows, with the names of the bundle's ONNX files.

    The rows of a network are independent. A call is split into calls that the inner session
    takes, the last one padded with zeros, and the outputs of the padding are dropped. An inner
    session with one more axis takes its rows over two axes, like PEM for NPUs: (1, 1000, 32).

    Parameters
    ----------
    inner : Session
        Session with one input and one output.
    name : str
        Name of the input; the output is named "output".
    rank : int
        Number of axes of the input; the first axis counts rows.

    Raises
    ------
    BackendError
        The inner session's shapes do not fit.
    """

    output_names = ("output",)
    batch_range: BatchRange = (1, None)

    def __init__(self, inner: Session, name: str, rank: int) -> None:
        self._inner = inner
        self.backend = inner.backend
        shape = _only_shape(inner)
        extra = len(shape) - rank  # further axes that count rows
        if extra not in (0, 1):
            raise BackendError(f"its input has shape {_text(shape)}; {rank} axes are needed")
        self._lead = shape[: 1 + extra]
        self.input_names = (name,)
        self.input_shapes: Mapping[str, Shape] = MappingProxyType(
            {name: (None, *shape[1 + extra :])}
        )
        self._least, self._most = self._limits()

    @classmethod
    def wrap(cls, session: Session, name: str, rank: int) -> Session:
        """Wrap a session, or return it if it already takes any number of rows under these names."""
        wrapped = cls(session, name, rank)
        plain = session.batch_range == (1, None) and wrapped._least == 1 and len(wrapped._lead) == 1
        named = session.input_names == (name,) and session.output_names == ("output",)
        return session if plain and named else wrapped

    def _limits(self) -> tuple[int, int | None]:
        """Return limits of rows per call: a multiple of the first, at most the second."""
        if len(self._lead) == 2:
            unit = (self._lead[0] or 1) * (self._lead[1] or 1)
            return unit, None if None in self._lead else unit
        least, most = self._inner.batch_range
        rank = len(self._inner.input_shapes[self._inner.input_names[0]])
        rounded = _ROUNDED.get((self.backend.partition(":")[0], rank), 1)
        return (least, most) if most is not None else (max(least, rounded), None)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Float32]:
        """Run the network on any number of rows; see `Session.run`."""
        (rows,) = check_inputs(inputs, self.input_shapes).values()
        step = self._most or max(len(rows), 1)
        parts = [self._run_part(rows[i : i + step]) for i in range(0, max(len(rows), 1), step)]
        return {"output": parts[0] if len(parts) == 1 else np.concatenate(parts)}

    def _run_part(self, rows: Float32) -> Float32:
        count = len(rows)
        size = self._padded(count)
        if size != count:
            padded = np.zeros((size, *rows.shape[1:]), dtype=np.float32)
            padded[:count] = rows
            rows = padded
        (name,) = self._inner.input_names
        inner_rows = rows.reshape(*self._outer(size), *rows.shape[1:])
        output = self._inner.run({name: inner_rows})[self._inner.output_names[0]]
        return output.reshape(size, *output.shape[len(self._lead) :])[:count]

    def _padded(self, count: int) -> int:
        if len(self._lead) == 1 and self._most is not None:
            return max(count, self._least)
        return max(-(-count // self._least), 1) * self._least

    def _outer(self, size: int) -> tuple[int, ...]:
        """Return the leading axes of the inner session for `size` rows."""
        if len(self._lead) == 1:
            return (size,)
        batch, rows = self._lead
        if rows is None:
            return (batch or 1, size // (batch or 1))
        return (size // rows, rows)

    def close(self) -> None:
        """Close the inner session."""
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _only_shape(inner: Session) -> Shape:
    if len(inner.input_names) != 1 or len(inner.output_names) != 1:
        raise BackendError(
            f"it has {len(inner.input_names)} inputs and {len(inner.output_names)} outputs; "
            "a network of BSN has one of each"
        )
    return inner.input_shapes[inner.input_names[0]]


def _text(shape: Shape) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
