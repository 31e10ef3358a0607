"""The sort of scores; numba as it is in the library, and without SciPy in the command."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actspan.core.kernels import descending
from actspan.core.types import Float64

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
    pytest.importorskip("scipy")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


_sizes = st.integers(0, 300)
_few = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 0.5 + 2**-40, 5e-324, -5e-324, 1e308])


@given(hnp.arrays(np.float64, _sizes, elements=st.floats(allow_nan=False) | _few))
def test_order_is_that_of_a_stable_sort(score: Float64) -> None:
    np.testing.assert_array_equal(descending(score), np.argsort(-score, kind="stable"))


def test_products_of_probabilities() -> None:
    score = np.multiply(*np.random.default_rng(0).random((2, 5000), dtype=np.float32), dtype=float)
    score[::3] = score[1000]
    np.testing.assert_array_equal(descending(score), np.argsort(-score, kind="stable"))
