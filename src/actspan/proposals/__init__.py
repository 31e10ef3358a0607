"""From scores of networks to ranked segments: candidates, BSP features, Soft-NMS.

Each stage is a function over one video. It has a plain NumPy version (`*_plain`) that follows the
spec literally, and a `*_batch` form over many videos: a numba kernel that releases the
interpreter's lock. The pipeline calls the batch forms once per chunk.
"""
