"""Boundary-sensitive proposal features by interpolation of the action scores (spec section 5)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.interpolate import interp1d

POINTS = 3  # interpolated points a sample; neighbours share one more


def action_curve(boundaries: pd.DataFrame) -> Callable[[list[float]], np.ndarray]:
    """Return a function that interpolates the action scores; it is zero beyond the video."""
    length = len(boundaries)
    gap = 1.0 / length
    extend = length // 4 + 10
    padding = np.zeros(extend)
    scores = np.concatenate([padding, boundaries.action.values, padding])
    centres = [gap / 2 + gap * cell for cell in range(-extend, length + extend)]
    curve: Callable[[list[float]], np.ndarray] = interp1d(centres, scores)
    return curve


def sample_region(
    curve: Callable[[list[float]], np.ndarray], start: float, end: float, samples: int
) -> list[float]:
    """Return `samples` means of the curve, evenly spaced over [start, end]."""
    step = (end - start) / (samples - 1)
    first = start - step / 2
    points = [first + point * step / POINTS for point in range(samples * POINTS + 1)]
    values = curve(points)
    return [
        np.mean(values[sample * POINTS : (sample + 1) * POINTS + 1]) for sample in range(samples)
    ]


def extract_features(
    folder: Path, name: str, keep: int = 1000, boundary_ratio: float = 0.2
) -> None:
    """Compute 32 features per candidate from the TEM table and the candidates table."""
    boundaries = pd.read_csv(folder / "tem" / f"{name}.csv")
    table = pd.read_csv(folder / "candidates" / f"{name}.csv")[:keep]
    curve = action_curve(boundaries)
    features = []
    for row in range(len(table)):
        xmin, xmax = table.xmin.values[row], table.xmax.values[row]
        margin = (xmax - xmin) * boundary_ratio
        action = sample_region(curve, xmin, xmax, 16)
        start = sample_region(curve, xmin - margin, xmin + margin, 8)
        end = sample_region(curve, xmax - margin, xmax + margin, 8)
        features.append(action + start + end)
    np.save(folder / "bsp" / f"{name}.npy", np.array(features))
