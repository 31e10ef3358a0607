"""ONNX Runtime on the CPU: the reference backend, always installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import onnxruntime
from numpy.typing import NDArray

from actspan.errors import BackendError
from actspan.runtime.session import Session, Shape, check_inputs
from actspan.types import Float32


class OnnxRuntimeSession:
    """See `actspan.runtime.Session`."""

    backend = "onnxruntime"

    def __init__(self, path: Path, *, threads: int) -> None:
        self._path = path
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), _options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the vendor's exceptions have no base of their own
            raise BackendError(
                f"{path}: ONNX Runtime {onnxruntime.__version__} refuses it: {_reason(error)}; "
                "write it anew: actspan export BUNDLE"
            ) from error
        self.input_shapes: Mapping[str, Shape] = MappingProxyType(
            {node.name: _shape(node) for node in self._session.get_inputs()}
        )
        self.input_names = tuple(self.input_shapes)
        self.output_names: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Float32]:
        """See `actspan.runtime.Session.run`."""
        session = self._session  # stays alive for this call, whoever closes meanwhile
        if session is None:
            raise BackendError(f"{self._path}: the session is closed; open it again")
        checked = check_inputs(inputs, self.input_shapes)
        try:
            outputs = session.run(None, checked)
        except Exception as error:
            raise BackendError(f"{self._path}: ONNX Runtime failed: {_reason(error)}") from error
        return dict(zip(self.output_names, outputs, strict=True))

    def close(self) -> None:
        """See `actspan.runtime.Session.close`."""
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_file(path: Path, *, threads: int) -> Session:
    """Open an ONNX file."""
    return OnnxRuntimeSession(path, threads=threads)


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # 1: no pool, the caller's thread does the work
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # failures come as exceptions, once
    # A memory plan is kept for every input shape that was ever seen, and PEM sees a new number of
    # proposals with each call: memory then grows without end. The arena settles at the largest call
    # and halves the time of large ones, which would otherwise fetch fresh pages from the system.
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = True
    return options


def _shape(node: Any) -> Shape:
    return tuple(size if isinstance(size, int) else None for size in node.shape)


def _reason(error: Exception) -> str:
    """The vendor's message without its code: '[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : ...'."""
    return str(error).rpartition(" : ")[2].strip().splitlines()[0] if str(error) else repr(error)
