"""From boundary scores to ranked segments: candidates, BSP features, Soft-NMS.

Each stage is a function over one video, with a plain NumPy twin (`*_plain`) that follows
the spec literally. The fast version is a numba kernel over many videos that releases the GIL;
the pipeline calls it once per chunk (`generate_all`, `sample_all`, `suppress`).
"""

from __future__ import annotations
