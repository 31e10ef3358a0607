"""Interface of inference runtimes, and the shared part of their implementations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import ActSpanError, BackendError, ShapeError
from actspan.core.types import Float32

__all__ = ["FileSession", "Resources", "Session", "Shape", "check_inputs", "reason_of"]

Shape = tuple[int | None, ...]  # None: any size
BatchRange = tuple[int, int | None]  # smallest and largest size of the first axis; None: any


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources of a session.

    Attributes
    ----------
    threads : int
        CPU threads per call; with 1, the calling thread computes alone.
    streams : int
        Number of concurrent calls, from as many threads of the caller.
    device : int
        Number of the accelerator, if a machine has several.
    """

    threads: int = 1
    streams: int = 1
    device: int = 0

    def __post_init__(self) -> None:
        for name, least in (("threads", 1), ("streams", 1), ("device", 0)):
            if getattr(self, name) < least:
                raise BackendError(f"{name} must be at least {least}, not {getattr(self, name)}")


class Session(Protocol):
    """A network that is ready to run; several threads may use a session at the same time.

    Examples
    --------
    >>> with open_session("bsn/pem.onnx") as session:  # doctest: +SKIP
    ...     scores = session.run({"video_feature": bsp})["output"]
    """

    @property
    def backend(self) -> str:
        """Name of the backend for `open_session`."""
        ...

    @property
    def input_shapes(self) -> Mapping[str, Shape]:
        """Name and shape of every input; None stands for any size."""
        ...

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        ...

    @property
    def batch_range(self) -> BatchRange:
        """Smallest and largest size of the first axis per call; None if there is no limit."""
        ...

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Float32]:
        """Compute all outputs from all inputs; both are mappings by name.

        Raises
        ------
        ShapeError
            An input is missing, unknown or of a shape that the network does not take.
        BackendError
            The runtime failed, or the session is closed.
        """
        ...

    def close(self) -> None:
        """Free the resources of the session; closing twice has no effect."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class FileSession(ABC):
    """Base of sessions over a file; a backend adds `_compute` and `_release`.

    Parameters
    ----------
    backend : str
        Name of the backend for `open_session`.
    vendor : str
        Name of the runtime in errors.
    path : Path
        The opened file.
    input_shapes : mapping of str to Shape
    output_names : sequence of str
    batch_range : (int, int or None), optional
        Default: derived from the shapes.
    input_types : mapping of str to dtype, optional
        Types of inputs that are not float32 in the file; callers always pass float32.
    """

    def __init__(
        self,
        backend: str,
        vendor: str,
        path: Path,
        *,
        input_shapes: Mapping[str, Shape],
        output_names: Sequence[str],
        batch_range: BatchRange | None = None,
        input_types: Mapping[str, Any] | None = None,
    ) -> None:
        self.backend = backend
        self.input_shapes: Mapping[str, Shape] = MappingProxyType(dict(input_shapes))
        self.input_names = tuple(self.input_shapes)
        self.output_names = tuple(output_names)
        self.batch_range = batch_range or _batch_range(self.input_shapes)
        self._vendor, self._path = vendor, path
        self._types = dict(input_types or {})
        self._closed = False

    @abstractmethod
    def _compute(self, inputs: dict[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """Compute the outputs in the order of `output_names`; errors become BackendError."""

    @abstractmethod
    def _release(self) -> None:
        """Free the runtime; called once, possibly while a call is still running."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Float32]:
        """Run the network; see `Session.run`."""
        if self._closed:
            raise BackendError(f"{self._path}: the session is closed; open it again")
        checked = check_inputs(inputs, self.input_shapes)
        given = {
            k: x.astype(self._types.get(k, np.float32), copy=False) for k, x in checked.items()
        }
        try:
            outputs = self._compute(given)
        except ActSpanError:
            raise
        except Exception as error:  # vendors' exceptions have no common base
            raise BackendError(
                f"{self._path}: {self._vendor} failed: {reason_of(error)}"
            ) from error
        arrays = (np.asarray(output, dtype=np.float32) for output in outputs)
        return dict(zip(self.output_names, arrays, strict=True))

    def close(self) -> None:
        """Close the session; see `Session.close`."""
        if not self._closed:
            self._closed = True
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _batch_range(shapes: Mapping[str, Shape]) -> BatchRange:
    fixed = [shape[0] for shape in shapes.values() if shape and shape[0] is not None]
    return (fixed[0], fixed[0]) if fixed else (1, None)


def check_inputs(
    inputs: Mapping[str, NDArray[Any]], shapes: Mapping[str, Shape]
) -> dict[str, Float32]:
    """Return the inputs as contiguous float32, or raise if they do not fit the network.

    Raises
    ------
    ShapeError
        An input is missing, unknown, or of another shape; names it.
    """
    if inputs.keys() != shapes.keys():
        raise ShapeError(
            f"inputs are {', '.join(inputs) or 'none'}; the network takes {', '.join(shapes)}"
        )
    checked = {}
    for name, shape in shapes.items():
        array = np.ascontiguousarray(inputs[name], dtype=np.float32)
        sizes = zip(array.shape, shape, strict=False)
        if array.ndim != len(shape) or any(want not in (None, have) for have, want in sizes):
            needed = ", ".join("any" if size is None else str(size) for size in shape)
            raise ShapeError(f"{name} has shape {array.shape}; the network takes ({needed})")
        checked[name] = array
    return checked


def reason_of(error: BaseException) -> str:
    """Return a vendor's message on one line, without codes and source locations."""
    text = str(error)
    lines = [line.strip() for line in text.rpartition(" : ")[2].splitlines() if line.strip()]
    if not lines:
        return repr(error)
    return lines[-1] if text.startswith("Exception from") else lines[0]
