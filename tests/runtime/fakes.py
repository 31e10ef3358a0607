"""Fakes of vendors' modules, written from the documentation of the calls in use."""

from __future__ import annotations

import ctypes
import enum
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

Rows = np.ndarray


def double(x: Rows) -> Rows:
    """Compute the output of the fake networks: twice the first three channels."""
    return 2 * x[:, :3]


class InferSession:
    """`ais_bench.infer.interface.InferSession` over a fixed batch; bound to its thread."""

    shape: tuple[int, ...] = (4, 5, 20)
    devices = 1

    def __init__(self, device_id: int, model_path: str) -> None:
        if device_id >= self.devices:
            raise RuntimeError(f"open device {device_id} failed, ret:507033")
        if Path(model_path).read_bytes() != b"om":
            raise RuntimeError("load model from file failed, ret:545002")
        self.thread, self.freed = threading.get_ident(), False

    def _check(self) -> None:
        if threading.get_ident() != self.thread or self.freed:
            raise RuntimeError("no context in this thread")

    def get_inputs(self) -> list[SimpleNamespace]:
        self._check()
        return [SimpleNamespace(name="video", shape=list(self.shape))]

    def get_outputs(self) -> list[SimpleNamespace]:
        self._check()
        shape = [self.shape[0], 3, self.shape[2]]
        return [SimpleNamespace(name="Sigmoid_6:0:output", shape=shape)]

    def infer(self, feeds: list[Rows], mode: str = "static") -> list[Rows]:
        self._check()
        assert mode == "static"
        (x,) = feeds
        if x.shape != self.shape or x.dtype != np.float32 or not x.flags.c_contiguous:
            raise RuntimeError(f"input size not match {x.shape}")
        return [double(x).ravel()]

    def free_resource(self) -> None:
        self._check()
        self.freed = True


_Code = enum.IntEnum("_Code", {"cudaSuccess": 0, "cudaErrorInvalidDevice": 101})
_Kind = enum.Enum("_Kind", ["cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost"])


class Cuda:
    """`cuda.bindings.runtime` over the memory of the process; counts what is not freed."""

    def __init__(self, gpus: int = 1) -> None:
        self.gpus, self.held, self.streams = gpus, {}, 0
        self.thread: int | None = None
        setattr(self, "cudaMemcpyKind", _Kind)  # noqa: B010  the vendor's name

    def cudaGetDeviceCount(self) -> tuple[_Code, int]:
        return _Code.cudaSuccess, self.gpus

    def cudaSetDevice(self, device: int) -> tuple[_Code]:
        self.thread = threading.get_ident()
        return (_Code.cudaSuccess if device < self.gpus else _Code.cudaErrorInvalidDevice,)

    def cudaMalloc(self, size: int) -> tuple[_Code, int]:
        buffer = ctypes.create_string_buffer(size)
        self.held[ctypes.addressof(buffer)] = buffer
        return _Code.cudaSuccess, ctypes.addressof(buffer)

    def cudaFree(self, address: int) -> tuple[_Code]:
        del self.held[address]
        return (_Code.cudaSuccess,)

    def cudaStreamCreate(self) -> tuple[_Code, str]:
        self.streams += 1
        return _Code.cudaSuccess, "stream"

    def cudaStreamDestroy(self, stream: str) -> tuple[_Code]:
        self.streams -= 1
        return (_Code.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: str) -> tuple[_Code]:
        return (_Code.cudaSuccess,)

    def cudaMemcpyAsync(
        self, target: int, source: int, size: int, kind: _Kind, stream: str
    ) -> tuple[_Code]:
        assert threading.get_ident() == self.thread
        assert isinstance(kind, _Kind)
        ctypes.memmove(target, source, size)
        return (_Code.cudaSuccess,)


class TensorRt:
    """`tensorrt` 10: an engine with one input (2 ... 8, 5, 20) and one output."""

    __version__ = "10.9.0"
    TensorIOMode = SimpleNamespace(INPUT="input", OUTPUT="output")

    class Logger:
        ERROR = 2

        def __init__(self, level: int) -> None:
            pass

    class Runtime:
        def __init__(self, logger: Any) -> None:
            pass

        def deserialize_cuda_engine(self, data: bytes) -> TensorRtEngine | None:
            return TensorRtEngine() if data == b"engine" else None

    @staticmethod
    def nptype(kind: str) -> Any:
        return {"FLOAT": np.float32, "HALF": np.float16}[kind]


class TensorRtEngine:
    """`ICudaEngine` and `IExecutionContext` in one."""

    num_io_tensors = 2
    types = {"video": "FLOAT", "output": "HALF"}  # noqa: RUF012

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}
        self.batch = 0

    def create_execution_context(self) -> TensorRtEngine:
        return self

    def get_tensor_name(self, index: int) -> str:
        return ["video", "output"][index]

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name == "video" else "output"

    def get_tensor_dtype(self, name: str) -> str:
        return self.types[name]

    def get_tensor_shape(self, name: str) -> tuple[int, int, int]:
        return (self.batch or -1, 5 if name == "video" else 3, 20)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, int, int]]:
        return [(2, 5, 20), (4, 5, 20), (8, 5, 20)]

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.batch = shape[0]
        return 2 <= shape[0] <= 8 and shape[1:] == (5, 20)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: str) -> bool:
        size = self.batch * 100
        x = (ctypes.c_float * size).from_address(self.addresses["video"])
        rows = np.frombuffer(x, np.float32).reshape(self.batch, 5, 20)
        y = double(rows).astype(np.float16).tobytes()
        ctypes.memmove(self.addresses["output"], y, len(y))
        return True
