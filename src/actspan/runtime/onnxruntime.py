"""ONNX Runtime: the CPU provider, which is always installed, and any other provider."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from actspan.core.errors import BackendError, MissingExtraError
from actspan.runtime.backends import Backend, Support
from actspan.runtime.session import FileSession, SessionOptions, reason_of

_CPU = "CPUExecutionProvider"

# Settings of the device, and of full precision where the default of a provider is lower.
_EXACT: dict[str, dict[str, str]] = {
    "CUDAExecutionProvider": {"device_id": "{device}", "use_tf32": "0"},
    "TensorrtExecutionProvider": {"device_id": "{device}", "trt_fp16_enable": "0"},
    "CANNExecutionProvider": {
        "device_id": "{device}",
        "precision_mode": "must_keep_origin_dtype",
    },
    "OpenVINOExecutionProvider": {"device_type": "CPU", "precision": "FP32"},
    "DmlExecutionProvider": {"device_id": "{device}"},
    "MIGraphXExecutionProvider": {"device_id": "{device}"},
}

_TYPES = {"tensor(float16)": np.float16, "tensor(double)": np.float64}


class OnnxRuntimeSession(FileSession):
    """Session of ONNX Runtime; of a model in memory if there is one, which `path` then names."""

    def __init__(
        self, path: Path, backend: Backend, options: SessionOptions, model: bytes = b""
    ) -> None:
        provider = _CPU if backend.variant == "CPU" else _provider(backend)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads  # 1: the calling thread computes
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 4  # failures are raised as exceptions, not also logged
        # A memory plan is kept for every input shape, and PEM sees a new number of proposals in
        # each call, so memory would grow without bound. The arena grows to the largest call and
        # halves the time of large calls, which would otherwise get fresh pages from the system.
        settings.enable_mem_pattern = False
        settings.enable_cpu_mem_arena = True
        exact = _EXACT.get(provider, {})
        chosen = {key: text.format(device=options.device) for key, text in exact.items()}
        # Without fallback, a failure is raised here; else it is printed, and the CPU is used.
        try:
            session = onnxruntime.InferenceSession(
                model or str(path),
                settings,
                providers=[_CPU] if provider == _CPU else [(provider, chosen), _CPU],
                enable_fallback=0,
            )
        except Exception as error:  # the vendor's exceptions have no common base
            raise BackendError(
                f"{path}: ONNX Runtime {onnxruntime.__version__} refuses it: {reason_of(error)}; "
                "write it again: actspan export BUNDLE"
            ) from error
        if session.get_providers()[0] != provider:
            raise BackendError(
                f"{path}: ONNX Runtime has {provider}, but it does not start: is the device there, "
                f"and its driver? ({backend.name})"
            )
        try:
            inputs = [(node.name, node.type, node.shape) for node in session.get_inputs()]
            outputs = [node.name for node in session.get_outputs()]
        except UnicodeDecodeError as error:
            raise BackendError(
                f"{path}: damaged: a name in it is not UTF-8; write it again: actspan export BUNDLE"
            ) from error
        super().__init__(
            backend=backend.name,
            vendor="ONNX Runtime",
            path=path,
            input_shapes={
                name: tuple(size if isinstance(size, int) else None for size in shape)
                for name, _, shape in inputs
            },
            output_names=outputs,
            input_types={name: _TYPES[kind] for name, kind, _ in inputs if kind in _TYPES},
        )
        self._session: Any = session

    def _compute(self, inputs: dict[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        session = self._session  # keeps it alive if another thread closes the session
        outputs: Sequence[NDArray[Any]] = session.run(None, inputs)
        return outputs

    def _release(self) -> None:
        self._session = None


open_file = OnnxRuntimeSession


def check(backend: Backend, device: int = 0) -> Support:
    """Check that the provider starts."""
    version = str(onnxruntime.__version__)
    if backend.variant == "CPU":
        return Support(version)
    try:
        provider = _provider(backend)
    except BackendError as error:
        return Support("", str(error))
    try:
        options = SessionOptions(device=device)
        OnnxRuntimeSession(Path("probe"), backend, options, _probe()).close()
    except MissingExtraError:  # without onnx there is no probe; opening a file will show it
        return Support(version)
    except BackendError as error:
        cause = error.__cause__
        reason = reason_of(cause) if isinstance(cause, Exception) else "is its device there?"
        return Support(version, f"{provider} does not start: {reason}")
    return Support(version)


def _probe() -> bytes:
    """Return the smallest model, which shows whether a provider starts."""
    from actspan.model.graph_builder import GraphBuilder

    graph = GraphBuilder({})
    graph.add("Identity", "x", output="output")
    model: bytes = graph.model("probe", {"x": (1,)}, {"output": (1,)}).SerializeToString()
    return model


def _provider(backend: Backend) -> str:
    """Return the full name of a provider besides the CPU's, or raise if it is not installed."""
    available: dict[str, str] = {
        name.lower(): name for name in onnxruntime.get_available_providers()
    }
    wanted = f"{backend.variant}ExecutionProvider"
    if wanted.lower() not in available:
        raise BackendError(
            f"backend {backend.name}: this ONNX Runtime {onnxruntime.__version__} has no {wanted}: "
            f"{backend.install} (only one onnxruntime package can be installed at a time)"
        )
    return available[wanted.lower()]
