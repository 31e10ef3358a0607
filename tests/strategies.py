"""Inputs for property-based tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actspan import BoundaryScores, Proposals

_shares = st.floats(0, 1, width=32)


@st.composite
def boundary_scores(draw: st.DrawFn, min_cells: int = 1, max_cells: int = 60) -> BoundaryScores:
    """Draw scores of a few cells, some with coarse values, so that there are ties and plateaus."""
    cells = draw(st.integers(min_cells, max_cells))
    values = draw(st.sampled_from([_shares, st.sampled_from([0.0, 0.25, 0.5, 1.0])]))
    rows = [draw(hnp.arrays(np.float32, cells, elements=values)) for _ in range(3)]
    return BoundaryScores(*rows)


@st.composite
def ranked_proposals(draw: st.DrawFn, max_size: int = 40) -> Proposals:
    """Draw proposals on a grid of cells, as PGM makes them, with scores in any order."""
    cells = draw(st.integers(2, 30))
    size = draw(st.integers(0, max_size))
    first = draw(hnp.arrays(np.int64, size, elements=st.integers(0, cells - 2)))
    extra = draw(hnp.arrays(np.int64, size, elements=st.integers(1, cells - 1)))
    last = np.minimum(first + extra, cells - 1)
    score = draw(hnp.arrays(np.float64, size, elements=st.floats(0, 1)))
    tgap = 1 / cells
    return Proposals(tgap / 2 + tgap * first, tgap / 2 + tgap * last, score, unit="fraction")
