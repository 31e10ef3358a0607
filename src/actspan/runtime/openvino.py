"""OpenVINO: the fastest runtime on most x86 processors; also for Intel GPUs and NPUs.

Precision is fixed. By default OpenVINO uses bfloat16 or float16 where the device is faster with
them, and the results would differ from the checkpoint's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from queue import LifoQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import BackendError, require
from actspan.runtime.backends import Backend, Support
from actspan.runtime.session import FileSession, SessionOptions, Shape, reason_of

_PRECISION = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


class OpenVinoSession(FileSession):
    """Session of OpenVINO.

    There may be as many concurrent calls as streams. On a CPU each call has its own compiled
    model with one stream, which computes in the calling thread. A model with several streams
    passes calls to its own threads, and PEM takes a quarter longer. On other devices calls share
    a model, and each has its own request (buffers).
    """

    def __init__(self, path: Path, backend: Backend, options: SessionOptions) -> None:
        core = _core(backend)
        device = _device(backend, options.device)
        shared = 1 if backend.variant == "CPU" else options.streams  # calls that share a model
        try:
            model = core.read_model(str(path))
            settings = _settings(backend, options.threads, shared)
            self._compile: Any = partial(core.compile_model, model, device, settings)
            compiled = self._compile()
        except Exception as error:
            raise BackendError(
                f"{path}: OpenVINO {_version()} refuses it: {reason_of(error)}; "
                f"write it again: actspan {'compile' if path.suffix == '.xml' else 'export'} BUNDLE"
            ) from error
        super().__init__(
            backend=backend.name,
            vendor="OpenVINO",
            path=path,
            input_shapes={port.any_name: _shape(port) for port in compiled.inputs},
            output_names=[port.any_name for port in compiled.outputs],
            input_types={p.any_name: p.element_type.to_dtype() for p in compiled.inputs},
        )
        self._idle: LifoQueue[Any] = LifoQueue()  # the last one used is in the cache
        for _ in range(options.streams - shared):
            self._idle.put(None)  # compiled when there are this many concurrent calls
        for _ in range(shared):
            self._idle.put(compiled.create_infer_request())

    def _compute(self, inputs: dict[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        request = self._idle.get()
        try:
            if request is None:
                request = self._compile().create_infer_request()
            outputs = request.infer(inputs, share_inputs=True, share_outputs=True)
            return [np.array(outputs[i]) for i in range(len(self.output_names))]
        finally:
            self._idle.put(request)

    def _release(self) -> None:
        self._idle, self._compile = LifoQueue(), None  # they hold the network


open_file = OpenVinoSession


def check(backend: Backend, device: int = 0) -> Support:
    """Check that the device exists."""
    try:
        _core(backend)
    except ImportError as error:
        return Support("", str(error))
    except RuntimeError as error:
        return Support(_version(), f"it does not start: {reason_of(error)}")
    try:
        _device(backend, device)
    except BackendError as error:
        return Support(_version(), str(error))
    if backend.variant == "CPU" and backend.precision == "bfloat16":
        problem = "" if has_bfloat16() else "this processor has no bfloat16 arithmetic"
        return Support(_version(), problem)
    return Support(_version())


def has_bfloat16() -> bool:
    """Return whether the processor computes in bfloat16."""
    return "BF16" in _openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def _openvino_core() -> Any:
    import openvino

    return openvino.Core()  # loads the plugins, so once per process


def _core(backend: Backend) -> Any:
    require("openvino", extra="openvino", purpose=f"backend {backend.name}")
    return _openvino_core()


def _version() -> str:
    import openvino

    return str(openvino.__version__).partition("-")[0]


def _device(backend: Backend, number: int) -> str:
    """Return OpenVINO's name of the device (`CPU`, `GPU`, `GPU.1`), or raise if it is missing."""
    available = _core(backend).available_devices
    kind = backend.variant
    matching = [name for name in available if name.partition(".")[0] == kind]
    if number >= len(matching):
        wanted = kind if number == 0 else f"{kind} number {number}"
        raise BackendError(
            f"backend {backend.name}: OpenVINO sees no {wanted}, only {', '.join(available)}: "
            "is its driver installed?"
        )
    return str(matching[number])


def _settings(backend: Backend, threads: int, streams: int) -> dict[str, Any]:
    """Return the settings of a compiled model; on a CPU, each stream has `threads` threads."""
    precision = backend.precision
    if backend.graph:  # it marks the operations in its own precision; this is for the others
        is_mixed = precision == "mixed" and has_bfloat16()
        precision = "bfloat16" if is_mixed else "float32"
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": _PRECISION[precision],
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        "PERFORMANCE_HINT_NUM_REQUESTS": streams,
    }
    if backend.variant == "CPU":
        settings["NUM_STREAMS"] = streams
        settings["INFERENCE_NUM_THREADS"] = streams * threads
        # Pinning starts at the first core, so several models or processes would share cores.
        settings["ENABLE_CPU_PINNING"] = streams * threads >= (os.cpu_count() or 1)
    return settings


def _shape(port: Any) -> Shape:
    shape = port.partial_shape
    return tuple(size.get_length() if size.is_static else None for size in shape)
