"""Fast modes: the networks in int8 or bfloat16, only where they are asked for."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

from actspan.core.errors import BackendError, ConfigError
from actspan.core.machine import cpu_flags
from actspan.runtime.backends import BACKENDS

NetworkPrecision = Literal["fp32", "bf16", "int8"]

_BACKENDS = MappingProxyType({"bf16": "openvino:bf16", "int8": "openvino:int8"})
# Instruction sets with products of 8-bit numbers that are added up in 32 bits.
_DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})


def backend_for(precision: NetworkPrecision, backend: str = "auto") -> str:
    """Return the backend that computes networks in a precision; "fp32" leaves `backend` as it is.

    Raises
    ------
    ConfigError
        Another backend is requested too.
    BackendError
        The processor has no such arithmetic, or the runtime is not installed.
    """
    if precision == "fp32":
        return backend
    name = _BACKENDS[precision]
    if backend not in ("auto", name):
        raise ConfigError(
            f"precision {precision} is that of the backend {name}, not of {backend}: give one of "
            "the two"
        )
    problem = BACKENDS[name].check().problem
    flags = cpu_flags()  # none where they are not known
    if not problem and precision == "int8" and flags and not _DOT_PRODUCTS.intersection(flags):
        problem = "this processor has no int8 arithmetic (VNNI), so it would not be faster"
    if problem:
        raise BackendError(f"precision {precision}: {problem}")
    return name
