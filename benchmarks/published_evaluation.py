"""AR@AN with pandas tables and plain loops (spec section 9), and the agreement of two results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from actspan import Proposals


class PlainRecall(NamedTuple):
    """Recall (tIoU, AN), its mean over tIoU, proposals per video, and the area under the curve."""

    recall: np.ndarray
    average_recall: np.ndarray
    proposals_per_video: np.ndarray
    auc: float


def read_ground_truth(path: Path, subset: str) -> pd.DataFrame:
    """Return one row per instance of the subset's videos."""
    database = json.loads(path.read_text(encoding="utf-8"))["database"]
    rows = []
    for video, entry in database.items():
        if entry["subset"] == subset:
            rows += [(video, *map(float, a["segment"])) for a in entry["annotations"]]
    return pd.DataFrame(rows, columns=["video", "start", "end"])


def read_proposals(path: Path) -> pd.DataFrame:
    """Return one row per proposal."""
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    rows = []
    for video, entries in results.items():
        rows += [(video, *map(float, e["segment"]), float(e["score"])) for e in entries]
    return pd.DataFrame(rows, columns=["video", "start", "end", "score"])


def overlaps(instances: np.ndarray, proposals: np.ndarray) -> np.ndarray:
    """Return the temporal intersection over union, (instances, proposals)."""
    matrix = np.empty((len(instances), len(proposals)))
    for row, (start, end) in enumerate(instances):
        upper = np.minimum(proposals[:, 1], end)
        inter = np.maximum(upper - np.maximum(proposals[:, 0], start), 0.0)
        union = (proposals[:, 1] - proposals[:, 0]) + (end - start) - inter
        matrix[row] = inter / union
    return matrix


def match_videos(
    ground_truth: pd.DataFrame, proposals: pd.DataFrame, max_proposals: int
) -> list[np.ndarray]:
    """Return each video's tIoU matrix, proposals by score, within the budget of the whole set."""
    instances_by_video = ground_truth.groupby("video", sort=False)
    proposals_by_video = proposals.groupby("video", sort=False)
    ratio = max_proposals * instances_by_video.ngroups / len(proposals)
    matrices = []
    for video, instances in instances_by_video:
        if video not in proposals_by_video.groups:
            matrices.append(np.empty((len(instances), 0)))
            continue
        own = proposals_by_video.get_group(video)
        own = own.sort_values(by="score", ascending=False, kind="stable")
        kept = own[["start", "end"]].values[: min(int(len(own) * ratio), len(own))]
        matrices.append(overlaps(instances[["start", "end"]].values, kept))
    return matrices


def recall_table(
    matrices: list[np.ndarray], thresholds: np.ndarray, budget: np.ndarray
) -> np.ndarray:
    """Return the share of instances found, (thresholds, budget)."""
    recall = np.empty((len(thresholds), len(budget)))
    positives = sum(matrix.shape[0] for matrix in matrices)
    for row, threshold in enumerate(thresholds):
        matches = np.empty((len(matrices), len(budget)))
        for video, matrix in enumerate(matrices):
            hits = matrix >= threshold
            count = matrix.shape[1]
            used = np.minimum((count * budget).astype(int), count)
            for column, number in enumerate(used):
                matches[video, column] = np.count_nonzero(hits[:, :number].sum(axis=1))
        recall[row] = matches.sum(axis=0) / positives
    return recall


def evaluate(
    ground_truth_path: Path,
    result_path: Path,
    subset: str = "validation",
    max_proposals: int = 100,
) -> PlainRecall:
    """Compute recall arrays and the area under the AR-AN curve from both JSON files."""
    ground_truth = read_ground_truth(ground_truth_path, subset)
    proposals = read_proposals(result_path)
    proposals = proposals[proposals.video.isin(ground_truth.video.unique())]
    matrices = match_videos(ground_truth, proposals, max_proposals)
    total = sum(matrix.shape[1] for matrix in matrices)
    thresholds = np.linspace(0.5, 0.95, 10)
    budget = np.arange(1, 101) / 100 * (max_proposals * len(matrices) / total)
    recall = recall_table(matrices, thresholds, budget)
    average = recall.mean(axis=0)
    per_video = budget * (total / len(matrices))
    auc = float(np.trapezoid(average, per_video) / per_video[-1])
    return PlainRecall(recall, average, per_video, auc)


class Agreement(NamedTuple):
    """Agreement of two sets of results on the videos that both have."""

    videos: int
    same: int  # videos with equal segments in equal order, and scores that agree
    apart: float  # largest relative difference of scores where segments are equal

    def __str__(self) -> str:
        return (
            f"both sides: same segments and scores on {self.same} of {self.videos} videos "
            f"(scores within {self.apart:.0e} relative)"
        )


def compare(
    ours: Mapping[str, Proposals], theirs: Mapping[str, Proposals], *, tolerance: float = 1e-6
) -> Agreement:
    """Compare each video of `theirs` with the same video of `ours`; scores by relative error."""
    same, largest = 0, 0.0
    for video, expected in theirs.items():
        found = ours[video]
        equal = len(found) == len(expected) and all(
            np.allclose(x, y, rtol=1e-9, atol=1e-9)
            for x, y in ((found.start, expected.start), (found.end, expected.end))
        )
        if equal:
            apart = float(np.max(np.abs(found.score / expected.score - 1), initial=0.0))
            largest = max(largest, apart)
            same += apart <= tolerance
    return Agreement(len(theirs), same, largest)
