"""TensorRT engines on NVIDIA GPUs, with memory and copies through `cuda-python`.

UNVERIFIED: written from the vendor's documentation (TensorRT 10, tensors by name, one stream), and
tested only with a stand-in.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import BackendError
from actspan.runtime.backends import BACKENDS, Backend, Support
from actspan.runtime.session import BatchRange, FileSession, SessionOptions, Shape, reason_of


class TensorRtSession(FileSession):
    """Session of TensorRT; every call runs in the one thread that owns the context."""

    def __init__(self, path: Path, backend: Backend, options: SessionOptions) -> None:
        trt, cuda = _modules(backend)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tensorrt")
        try:
            self._engine = self._thread.submit(_Engine, trt, cuda, path, options.device).result()
        except BackendError:
            self._thread.shutdown()
            raise
        except Exception as error:
            self._thread.shutdown()
            raise BackendError(
                f"{path}: TensorRT {trt.__version__} refuses it: {reason_of(error)}"
            ) from error
        super().__init__(
            backend=backend.name,
            vendor="TensorRT",
            path=path,
            input_shapes=self._engine.input_shapes,
            output_names=self._engine.output_names,
            batch_range=self._engine.batch_range,
        )

    def _compute(self, inputs: dict[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        return self._thread.submit(self._engine.run, inputs).result()

    def _release(self) -> None:
        self._thread.submit(self._engine.free).result()
        self._thread.shutdown()


open_file = TensorRtSession


class _Engine:
    """An engine with one context, one stream and one buffer per tensor, for one thread."""

    def __init__(self, trt: Any, cuda: Any, path: Path, device: int) -> None:
        self._trt, self._cuda = trt, cuda
        self._call("cudaSetDevice", device)
        self._logger = trt.Logger(trt.Logger.ERROR)  # must outlive the objects made with it
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise BackendError(
                f"{path}: TensorRT {trt.__version__} refuses it; an engine runs on the kind of GPU "
                "and the version of TensorRT that built it: compile it again on this machine"
            )
        self._context = self._engine.create_execution_context()
        self._stream = self._call("cudaStreamCreate")
        self._buffers: dict[str, tuple[int, int]] = {}  # name: address, bytes
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        is_input = trt.TensorIOMode.INPUT
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == is_input]
        self.output_names = [name for name in names if name not in inputs]
        self.input_shapes: dict[str, Shape] = {
            name: tuple(None if n < 0 else int(n) for n in self._engine.get_tensor_shape(name))
            for name in inputs
        }
        self.batch_range: BatchRange | None = None
        if self.input_shapes[inputs[0]][0] is None:  # the limits of the first profile
            least, _, most = self._engine.get_tensor_profile_shape(inputs[0], 0)
            self.batch_range = int(least[0]), int(most[0])

    def run(self, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Compute the outputs in the order of `output_names`."""
        copied = [self._send(name, array) for name, array in inputs.items()]
        outputs = {name: self._reserve(name) for name in self.output_names}
        if not self._context.execute_async_v3(self._stream):
            raise RuntimeError("execute_async_v3 reports a failure; see its log")
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        for name, array in outputs.items():
            pair = array.ctypes.data, self._buffers[name][0]
            self._call("cudaMemcpyAsync", *pair, array.nbytes, kind, self._stream)
        self._call("cudaStreamSynchronize", self._stream)
        del copied  # the copies had to live until the stream finished
        return list(outputs.values())

    def _send(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        """Start copying an input; the returned array must live until the stream finishes."""
        contiguous = np.ascontiguousarray(array, dtype=self._dtype(name))
        if not self._context.set_input_shape(name, contiguous.shape):
            raise RuntimeError(f"the engine's profile does not allow {name} of {contiguous.shape}")
        address = self._address(name, contiguous.nbytes)
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(
            "cudaMemcpyAsync",
            address,
            contiguous.ctypes.data,
            contiguous.nbytes,
            kind,
            self._stream,
        )
        return contiguous

    def _reserve(self, name: str) -> NDArray[Any]:
        """Return an array for an output; needs the shapes of all inputs."""
        array = np.empty(tuple(self._context.get_tensor_shape(name)), dtype=self._dtype(name))
        self._address(name, array.nbytes)
        return array

    def _dtype(self, name: str) -> Any:
        return self._trt.nptype(self._engine.get_tensor_dtype(name))

    def _address(self, name: str, size: int) -> int:
        """Return the address of a tensor's buffer on the device; grow it if it is too small."""
        address, capacity = self._buffers.get(name, (0, 0))
        if capacity < max(size, 1):
            if address:
                self._call("cudaFree", address)
            address = int(self._call("cudaMalloc", max(size, 1)))
            self._buffers[name] = address, max(size, 1)
        self._context.set_tensor_address(name, address)
        return address

    def free(self) -> None:
        """Free all memory and objects on the device."""
        for address, _ in self._buffers.values():
            self._call("cudaFree", address)
        self._call("cudaStreamDestroy", self._stream)
        self._buffers = {}
        self._context = self._engine = self._runtime = None

    def _call(self, function: str, *args: Any) -> Any:
        """Call a function of the CUDA runtime, whose first result is its error code."""
        code, *results = getattr(self._cuda, function)(*args)
        if int(code) != 0:
            raise RuntimeError(f"{function} failed: {code!s}")
        return results[0] if results else None


def check(backend: Backend, device: int = 0) -> Support:
    """Check that TensorRT and the GPU are here."""
    try:
        trt, cuda = _modules(backend)
    except BackendError as error:
        return Support("", str(error))
    version = str(trt.__version__)
    try:
        code, count = cuda.cudaGetDeviceCount()
    except RuntimeError as error:  # no driver
        return Support(version, reason_of(error))
    if int(code) != 0 or device >= count:
        return Support(version, f"no NVIDIA GPU with number {device}: is its driver installed?")
    return Support(version)


def gpu_key(name: str, version: str) -> str:
    """Return the part of an engine's file name for the GPU and version that it needs.

    Examples
    --------
    >>> gpu_key("NVIDIA GeForce RTX 4090", "10.9.0.34")
    'geforce-rtx-4090.trt10.9.0'
    """
    words = re.findall(r"[a-z0-9]+", name.lower().removeprefix("nvidia"))
    return f"{'-'.join(words)}.trt{'.'.join(version.split('.')[:3])}"


def this_gpu(device: int = 0) -> str:
    """Return the `gpu_key` of a GPU of this machine, or "" if TensorRT or the GPU is missing."""
    try:
        trt, cuda = _modules(BACKENDS["tensorrt"])
        code, properties = cuda.cudaGetDeviceProperties(device)
    except (BackendError, RuntimeError):
        return ""
    if int(code) != 0:
        return ""
    name = properties.name
    return gpu_key(name.decode() if isinstance(name, bytes) else str(name), str(trt.__version__))


def _modules(backend: Backend) -> tuple[Any, Any]:
    """Import TensorRT and the CUDA runtime, whose name changed in cuda-python 12.8."""
    try:
        trt = importlib.import_module("tensorrt")
        try:
            cuda = importlib.import_module("cuda.bindings.runtime")
        except ImportError:
            cuda = importlib.import_module("cuda.cudart")
    except ImportError as error:
        raise BackendError(f"backend {backend.name}: {error}: {backend.install}") from error
    return trt, cuda
