"""The library imports numba as it is; only the command keeps SciPy out of its start."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("scipy")

_LIBRARY = """
import numpy as np
import actspan.core.kernels
from numba import njit
product = njit(lambda a, b: a @ b)(np.eye(2), np.ones((2, 2)))
assert (product == 1).all()
"""

_COMMAND = """
import sys
from actspan.__main__ import run
sys.argv = ["actspan", "evaluate", "--help"]
try:
    run()
except SystemExit:
    pass
assert "numba" not in sys.modules
import actspan.core.kernels
assert "scipy.linalg" not in sys.modules
import scipy.linalg.cython_blas
"""


@pytest.mark.parametrize("program", [_LIBRARY, _COMMAND])
def test_numba_in_a_new_process(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
