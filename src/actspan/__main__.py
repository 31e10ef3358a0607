"""`actspan`, and `python -m actspan`."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
from typing import Any

from actspan.cli import main

# Allocations between two runs of the garbage collector. Modules and columns make next to no
# cycles; with Python's own 700, a tenth of a warm start is spent there.
_ALLOCATIONS = 50_000


class _NumbaWithoutSciPy:
    """Import numba just before the kernels that need it, while SciPy's BLAS cannot be found.

    numba imports SciPy's linear algebra where it is installed: a quarter of a warm start. No kernel
    of ActSpan multiplies matrices. Only this command does so; `import actspan` does not.
    """

    def find_spec(self, name: str, *_: Any) -> None:
        """Find nothing; the finders that follow import the module."""
        if name == "actspan.core.kernels" and "numba" not in sys.modules:
            sys.modules["scipy.linalg.cython_blas"] = None  # type: ignore[assignment]
            importlib.import_module("numba.np.arraymath")
            del sys.modules["scipy.linalg.cython_blas"]


def run() -> None:
    """Run the command of this process."""
    gc.set_threshold(_ALLOCATIONS)
    # ONNX Runtime sends events to its vendor unless told otherwise before it is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    sys.meta_path.insert(0, _NumbaWithoutSciPy())
    atexit.register(gc.freeze)  # nothing is collected at the end of the process
    main(prog_name="actspan")


if __name__ == "__main__":
    run()
