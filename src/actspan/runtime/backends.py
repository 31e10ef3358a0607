"""Table of inference runtimes.

A new runtime needs a row here and a module in this package; see docs/deploy/backends.md.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Support:
    """Availability of a runtime on this machine."""

    version: str = ""  # version of the runtime; empty if it is not installed
    # Why the runtime cannot be used, and what to do about it; empty if it can be used.
    problem: str = ""

    @property
    def installed(self) -> bool:
        """True if the package is installed."""
        return bool(self.version)

    @property
    def usable(self) -> bool:
        """True if the runtime can run a network now."""
        return self.installed and not self.problem


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to run a network.

    Its module in `actspan.runtime` defines `check(backend, device)`, which returns a `Support` and
    never raises, and `open_file(path, backend, options)`, which returns a `Session` or raises
    BackendError.
    """

    name: str  # name for `--backend`
    module: str  # name of its module
    device: str  # name of the device, for people
    suffix: str  # suffix of the files that it opens
    install: str  # what to do if it is not installed
    variant: str = ""  # setting for the module: an execution provider, or a device
    compiled: str = ""  # suffix of the files that it opens instead if a bundle has them
    graph: str = ""  # variant of the files, if there are several: "fp16" for `tem.fp16.xml`
    precision: str = "float32"  # requested precision, which selects the limits of `actspan verify`
    # True if this project runs it and compares it with the checkpoint. False: written from the
    # vendor's documentation and never run on the hardware, or see `alters`.
    verified: bool = False
    # True if it was run and is known to change the proposals; then it is not `verified`.
    alters: bool = False
    auto: bool = False  # true if `--backend auto` may choose it
    package: str = ""  # package of the runtime, if its name is not that of the module

    @property
    def suffixes(self) -> list[str]:
        """Suffixes of all files that it opens."""
        return [suffix for suffix in (self.suffix, self.compiled) if suffix]

    def check(self, device: int = 0) -> Support:
        """Check that the backend can be used here, even if its module cannot be imported."""
        try:
            module = importlib.import_module(f"actspan.runtime.{self.module}")
        except ImportError as error:
            return Support("", f"{error}: {self.install}")
        support: Support = module.check(self, device)
        return support


ORT, _OV, _TORCH = "onnxruntime", "openvino", "torch"
_PIP_ORT = "pip install onnxruntime"
_PIP_OV = "pip install openvino"
_PIP_TORCH = "pip install torch"
_PIP_TRT = "pip install tensorrt cuda-python"
_GET_CANN = (
    "install CANN, then the wheels ais_bench and aclruntime of Ascend's tools repository "
    "(PyPI's ais-bench-benchmark is another program)"
)
_AIS = "ais_bench"
_ORT_CANN = f"install CANN, then {_PIP_ORT}-cann"

# The order is that of "auto": files compiled for the machine, accelerators, then processors from
# fast to slow as `python -m benchmarks.backends` measures them.
_TABLE = (
    Backend("tensorrt", "tensorrt", "NVIDIA GPU", ".engine", _PIP_TRT, auto=True),
    Backend("ascend", "ascend_npu", "Ascend NPU", ".om", _GET_CANN, auto=True, package=_AIS),
    Backend("onnxruntime:cuda", ORT, "NVIDIA GPU", ".onnx", f"{_PIP_ORT}-gpu", "CUDA", auto=True),
    Backend("openvino", _OV, "CPU", ".onnx", _PIP_OV, "CPU", ".xml", verified=True, auto=True),
    Backend("onnxruntime", ORT, "CPU", ".onnx", _PIP_ORT, "CPU", verified=True, auto=True),
    Backend("torch", _TORCH, "CPU", ".safetensors", _PIP_TORCH, "cpu", verified=True, auto=True),
    Backend(
        "openvino:bf16", _OV, "CPU", ".onnx", _PIP_OV, "CPU", ".xml", "", "bfloat16", alters=True
    ),
    Backend(
        "openvino:fp16", _OV, "CPU", ".xml", _PIP_OV, "CPU", "", "fp16", "float16", verified=True
    ),
    Backend("openvino:int8", _OV, "CPU", ".xml", _PIP_OV, "CPU", "", "int8", "int8", verified=True),
    Backend("openvino:gpu", _OV, "Intel GPU", ".onnx", _PIP_OV, "GPU", ".xml"),
    Backend("openvino:npu", _OV, "Intel NPU", ".onnx", _PIP_OV, "NPU", ".xml", "", "float16"),
    Backend("torch:cuda", _TORCH, "NVIDIA GPU", ".safetensors", _PIP_TORCH, "cuda"),
    Backend(
        "onnxruntime:tensorrt", ORT, "NVIDIA GPU", ".onnx", f"{_PIP_ORT}-gpu tensorrt", "Tensorrt"
    ),
    Backend("onnxruntime:cann", ORT, "Ascend NPU", ".onnx", _ORT_CANN, "CANN"),
    Backend("onnxruntime:openvino", ORT, "CPU", ".onnx", f"{_PIP_ORT}-openvino", "OpenVINO"),
    Backend("onnxruntime:directml", ORT, "GPU, Windows", ".onnx", f"{_PIP_ORT}-directml", "Dml"),
    Backend("onnxruntime:migraphx", ORT, "AMD GPU", ".onnx", f"{_PIP_ORT}-migraphx", "MIGraphX"),
    Backend("onnxruntime:coreml", ORT, "Apple", ".onnx", f"{_PIP_ORT}, on macOS", "CoreML"),
    Backend("onnxruntime:qnn", ORT, "Qualcomm NPU", ".onnx", f"{_PIP_ORT}-qnn", "QNN"),
)

BACKENDS: Mapping[str, Backend] = MappingProxyType({row.name: row for row in _TABLE})
