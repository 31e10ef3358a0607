"""Compilation of kernels: cached on disk, and without the interpreter's lock."""

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
    """Import numba without SciPy, which numba imports to see whether it is installed.

    Importing SciPy takes a fifth of a warm start, and no kernel here multiplies matrices. Numba is
    given the same answer, so kernels of other packages still import SciPy when they need it.
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
    """Compile a function of arrays and numbers; the machine code is cached between runs."""
    compiled: Function = _numba.njit(cache=True, nogil=True)(function)
    return compiled


def inlined(function: Function) -> Function:
    """Compile like `kernel`, and inline the function into the kernels that call it."""
    compiled: Function = _numba.njit(cache=True, nogil=True, inline="always")(function)
    return compiled
