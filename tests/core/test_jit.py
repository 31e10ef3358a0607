"""Numba is loaded without SciPy, and kernels of others notice nothing of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

_KERNELS_ALONE = """
import sys
import numpy as np
from actspan import BoundaryScores, generate_proposals
generate_proposals(BoundaryScores(*np.full((3, 5), 0.5, np.float32)))
assert "scipy.linalg" not in sys.modules
"""

_KERNELS_OF_OTHERS = """
import numpy as np
import actspan.core.jit
from numba import njit
from numba.np import arraymath
assert arraymath._HAVE_BLAS
product = njit(lambda a, b: a @ b)(np.eye(2), np.ones((2, 2)))
assert (product == 1).all()
"""


@pytest.mark.parametrize("program", [_KERNELS_ALONE, _KERNELS_OF_OTHERS])
def test_numba_in_a_new_process(program: str) -> None:
    if program is _KERNELS_OF_OTHERS:
        pytest.importorskip("scipy")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
