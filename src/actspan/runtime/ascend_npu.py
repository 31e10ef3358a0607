"""Ascend NPUs: `.om` files through the vendor's `ais_bench.infer.interface.InferSession`.

UNVERIFIED: written from the vendor's documentation, and tested only with a stand-in.

The module is part of the vendor's tools repository and has its own wheel, beside that of
`aclruntime`. PyPI's `ais-bench-benchmark`, which also installs a package `ais_bench`, is a
benchmark for language models and has no `InferSession`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import BackendError
from actspan.runtime.backends import Backend, Support
from actspan.runtime.session import FileSession, SessionOptions, Shape, reason_of

_MODULE = "ais_bench.infer.interface"


class AscendSession(FileSession):
    """Session of an NPU; every call runs in the one thread that owns the context."""

    def __init__(self, path: Path, backend: Backend, options: SessionOptions) -> None:
        interface = _interface(backend)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ascend")
        try:
            self._session: Any = self._call(interface.InferSession, options.device, str(path))
            inputs = self._call(self._session.get_inputs)
            outputs = self._call(self._session.get_outputs)
        except Exception as error:  # mostly a RuntimeError with the driver's code
            self._thread.shutdown()
            raise BackendError(
                f"{path}: NPU {options.device} refuses it: {reason_of(error)}. Is the device "
                "there (npu-smi info), and was the file compiled for it (atc --soc_version)?"
            ) from error
        shapes: dict[str, Shape] = {desc.name: tuple(desc.shape) for desc in inputs}
        free = [name for name, shape in shapes.items() if any(size < 1 for size in shape)]  # type: ignore[operator]
        if free:
            self._release()
            raise BackendError(
                f"{path}: the size of {', '.join(free)} is free; compile it with a fixed shape, "
                "any batch size: rows are padded to it (atc --input_shape)"
            )
        self._output_shapes = [tuple(desc.shape) for desc in outputs]
        super().__init__(
            backend=backend.name,
            vendor="the NPU",
            path=path,
            input_shapes=shapes,
            output_names=[desc.name for desc in outputs],
        )

    def _call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return self._thread.submit(function, *args, **kwargs).result()

    def _compute(self, inputs: dict[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        feeds = list(inputs.values())  # in the order of get_inputs
        outputs = self._call(self._session.infer, feeds, mode="static")
        pairs = zip(outputs, self._output_shapes, strict=True)
        return [np.asarray(output).reshape(shape) for output, shape in pairs]

    def _release(self) -> None:
        self._call(self._session.free_resource)
        self._thread.shutdown()


open_file = AscendSession


def check(backend: Backend, device: int = 0) -> Support:
    """Check that the module is installed; only opening a file shows whether the NPU exists."""
    try:
        _interface(backend)
    except BackendError as error:
        return Support("", str(error))
    try:
        return Support(version("ais_bench"))
    except PackageNotFoundError:
        return Support("unknown version")


def _interface(backend: Backend) -> Any:
    try:
        interface = importlib.import_module(_MODULE)
    except ImportError as error:
        namesake = str(error.name).startswith("ais_bench.")  # the package is there, its part not
        other = "; the ais_bench that is installed is another program" if namesake else ""
        raise BackendError(
            f"backend {backend.name}: {_MODULE} cannot be imported ({error}){other}: "
            f"{backend.install}"
        ) from error
    if not hasattr(interface, "InferSession"):
        raise BackendError(
            f"backend {backend.name}: {_MODULE} has no InferSession: {backend.install}"
        )
    return interface
