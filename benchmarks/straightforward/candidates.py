"""PGM: every start peak with every later end peak (spec section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd


def find_peaks(scores: np.ndarray, ratio: float = 0.5) -> list[int]:
    """Return cells that are first, last, a strict local peak, or above a share of the maximum."""
    highest = max(scores)
    last = len(scores) - 1
    peaks = []
    for cell in range(len(scores)):
        edge = cell in (0, last)
        peak = not edge and scores[cell] > scores[cell - 1] and scores[cell] > scores[cell + 1]
        if edge or peak or scores[cell] > ratio * highest:
            peaks.append(cell)
    return peaks


def overlap_with(xmin: float, xmax: float, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the temporal intersection over union of one candidate with each instance."""
    inter = np.maximum(np.minimum(xmax, ends) - np.maximum(xmin, starts), 0.0)
    union = (xmax - xmin) - inter + ends - starts
    overlaps: np.ndarray = inter / union
    return overlaps


def covered_by(xmin: float, xmax: float, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the share of one candidate that each instance covers."""
    inter = np.maximum(np.minimum(xmax, ends) - np.maximum(xmin, starts), 0.0)
    shares: np.ndarray = inter / (xmax - xmin)
    return shares


def match_instances(table: pd.DataFrame, instances: Sequence[tuple[float, float]]) -> pd.DataFrame:
    """Add the largest overlap and the largest covered share of every candidate."""
    starts = np.array([start for start, _ in instances])
    ends = np.array([end for _, end in instances])
    ious, ioas = [], []
    for row in range(len(table)):
        if len(instances) == 0:
            ious.append(float("nan"))
            continue
        ious.append(max(overlap_with(table.xmin.values[row], table.xmax.values[row], starts, ends)))
    for row in range(len(table)):
        if len(instances) == 0:
            ioas.append(float("nan"))
            continue
        ioas.append(max(covered_by(table.xmin.values[row], table.xmax.values[row], starts, ends)))
    return table.assign(match_iou=ious, match_ioa=ioas)


def pair_boundaries(boundaries: pd.DataFrame) -> pd.DataFrame:
    """Return all candidates of one video, best first; ties keep the order of creation."""
    gap = 1.0 / len(boundaries)
    start_scores = boundaries.start.values
    end_scores = boundaries.end.values
    starts = find_peaks(start_scores)
    rows = []
    for end in find_peaks(end_scores):
        for start in starts:
            if start >= end:
                break
            xmin, xmax = gap / 2 + gap * start, gap / 2 + gap * end
            rows.append([xmin, xmax, start_scores[start], end_scores[end]])
    table = pd.DataFrame(rows, columns=["xmin", "xmax", "xmin_score", "xmax_score"])
    table["score"] = table.xmin_score * table.xmax_score
    return table.sort_values(by="score", ascending=False, kind="stable")


def generate_candidates(
    folder: Path,
    name: str,
    instances: Sequence[tuple[float, float]] | None = None,
    keep: int = 1000,
) -> None:
    """Write candidates from the TEM table; with `instances` (not clipped), their overlaps."""
    boundaries = pd.read_csv(folder / "tem" / f"{name}.csv")
    table = pair_boundaries(boundaries)[:keep]
    if instances is not None:
        table = match_instances(table, instances)
    table.to_csv(folder / "candidates" / f"{name}.csv", index=False)
