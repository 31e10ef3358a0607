"""Soft-NMS over Python lists, and the result file (spec sections 7 and 8)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def overlap(start_a: float, end_a: float, start_b: float, end_b: float) -> float:
    """Return the temporal intersection over union, in the spec's order of operations."""
    inter = max(min(end_a, end_b) - max(start_a, start_b), 0)
    return inter / ((end_b - start_b) - inter + end_a - start_a)


def soft_nms(table: pd.DataFrame, picks: int = 101, keep: int = 100) -> pd.DataFrame:
    """Pick the best proposal, lower the scores of those that overlap it much, and repeat."""
    starts = table.xmin.values.tolist()
    ends = table.xmax.values.tolist()
    scores = table.score.values.tolist()
    if len(scores) == 1:
        return table[["xmin", "xmax", "score"]]
    chosen: list[list[float]] = []
    while scores and len(chosen) < picks:
        best = scores.index(max(scores))
        start, end = starts[best], ends[best]
        width = end - start
        for other in range(len(scores)):
            if other == best:
                continue
            iou = overlap(starts[other], ends[other], start, end)
            if iou > 0.65 + (0.9 - 0.65) * width:
                scores[other] = scores[other] * np.exp(-np.square(iou) / 0.75)
        chosen.append([start, end, scores[best]])
        starts.pop(best)
        ends.pop(best)
        scores.pop(best)
    result = pd.DataFrame(chosen, columns=["xmin", "xmax", "score"])
    return result.sort_values(by="score", ascending=False, kind="stable")[:keep]


def suppress(folder: Path, name: str, seconds: float) -> list[dict[str, Any]]:
    """Return entries of the result file from the PEM table; position 1 is `seconds`."""
    table = pd.read_csv(folder / "pem" / f"{name}.csv")
    table["score"] = table.iou_score * table.xmin_score * table.xmax_score
    table = soft_nms(table)
    entries = []
    for row in range(len(table)):
        start = max(0.0, table.xmin.values[row]) * seconds
        end = min(1.0, table.xmax.values[row]) * seconds
        entries.append({"score": float(table.score.values[row]), "segment": [start, end]})
    return entries


def write_result(path: Path, results: Mapping[str, list[dict[str, Any]]]) -> None:
    """Write all videos as the result JSON."""
    document = {"version": "VERSION 1.3", "results": results, "external_data": {}}
    path.write_text(json.dumps(document), encoding="utf-8")
