"""How kernels are compiled: once a machine, and free of the interpreter's lock while they run."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["inlined", "kernel"]

Function = TypeVar("Function", bound=Callable[..., Any])

_BLAS = "scipy.linalg.cython_blas"


def _import_numba() -> Any:
    """Numba, without the SciPy that it would import to see whether it is there.

    That takes a fifth of a warm start, and no kernel multiplies matrices. What numba notes is
    what it would have found, and kernels of others that do multiply import SciPy as ever.
    """
    numba = importlib.import_module("numba")
    if _BLAS in sys.modules or "numba.np.arraymath" in sys.modules:
        return numba
    sys.modules[_BLAS] = None  # type: ignore[assignment]
    try:
        arrays = importlib.import_module("numba.np.arraymath")
    finally:
        del sys.modules[_BLAS]
    vars(arrays)["_HAVE_BLAS"] = importlib.util.find_spec("scipy") is not None
    return numba


_numba = _import_numba()


def kernel(function: Function) -> Function:
    """Compile a function of arrays and numbers; the machine code is kept between runs."""
    compiled: Function = _numba.njit(cache=True, nogil=True)(function)
    return compiled


def inlined(function: Function) -> Function:
    """As `kernel`, for a small part of kernels, into which it is copied."""
    compiled: Function = _numba.njit(cache=True, nogil=True, inline="always")(function)
    return compiled
