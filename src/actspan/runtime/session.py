"""The contract of an inference runtime, and the one function that opens any of them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from actspan.errors import BackendError, ShapeError
from actspan.types import Float32

__all__ = ["BACKENDS", "Session", "Shape", "check_inputs", "open_session"]

Shape = tuple[int | None, ...]  # None: any size

# name: module with `open_file(path, *, threads) -> Session`; "auto" takes the first
BACKENDS: Mapping[str, str] = MappingProxyType({"onnxruntime": "actspan.runtime.onnxruntime"})


class Session(Protocol):
    """A network that is ready to run; one session may be used from several threads at once.

    Examples
    --------
    >>> with open_session("bsn/pem.onnx") as session:  # doctest: +SKIP
    ...     scores = session.run({"video_feature": bsp})["output"]
    """

    @property
    def backend(self) -> str:
        """Name of the runtime, as `open_session` takes it."""
        ...

    @property
    def input_shapes(self) -> Mapping[str, Shape]:
        """Every input's name and shape; None stands for a free size."""
        ...

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        ...

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Float32]:
        """Compute all outputs, by name, from all inputs.

        Raises
        ------
        ShapeError
            An input is missing, unknown or of a shape that the network does not take.
        BackendError
            The runtime failed, or the session is closed.
        """
        ...

    def close(self) -> None:
        """Free what the session holds; closing twice does no harm."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_session(
    path: str | os.PathLike[str], *, backend: str = "auto", threads: int = 1
) -> Session:
    """Open an exported network.

    Parameters
    ----------
    path : path
        An ONNX file.
    backend : str
        One of `BACKENDS`, or "auto" for the best that is there.
    threads : int
        Threads that share one call; 1 runs it in the thread that calls.

    Raises
    ------
    BackendError
        The backend is unknown or absent, or it refuses the file.

    Examples
    --------
    >>> open_session("bsn/tem.onnx").input_shapes  # doctest: +SKIP
    mappingproxy({'video': (None, 400, None)})
    """
    name = next(iter(BACKENDS)) if backend == "auto" else backend
    if name not in BACKENDS:
        known = ", ".join(["auto", *BACKENDS])
        raise BackendError(f"backend {backend!r} is not known; choose one of: {known}")
    if threads < 1:
        raise BackendError(f"threads must be at least 1, not {threads}")
    path = Path(path)
    if not path.is_file():
        raise BackendError(f"{path}: there is no such file; write it: actspan export BUNDLE")
    session: Session = importlib.import_module(BACKENDS[name]).open_file(path, threads=threads)
    return session


def check_inputs(
    inputs: Mapping[str, NDArray[Any]], shapes: Mapping[str, Shape]
) -> dict[str, Float32]:
    """The inputs as contiguous float32, if they are what a network takes.

    Raises
    ------
    ShapeError
        One is missing, unknown, or of another shape; names it.
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
