"""The published pipeline written the straightforward way: the baseline of every ratio.

It follows spec and paper step by step as the published Python code is built: pandas tables,
SciPy's `interp1d`, Python loops over candidates, one file per stage and video, one video per
network call. It is written to be plain: nothing in it is slowed down, and nothing is tuned.

`tests/test_benchmarks.py` checks it against outputs of the published code: the same candidates in
the same order, scores and overlaps within 1e-9, BSP features and PEM within 1e-6, the same final
segments, and the same recall arrays.

    features/<video>.csv     f0, f1, ...; T rows           (given)
    tem/<video>.csv          action, start, end, xmin, xmax
    candidates/<video>.csv   xmin, xmax, xmin_score, xmax_score, score[, match_iou, match_ioa]
    bsp/<video>.npy          (N, 32)
    pem/<video>.csv          xmin, xmax, xmin_score, xmax_score, iou_score
    result.json              the proposals of all videos
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from scipy.interpolate import interp1d

KEEP = 1000  # candidates per video
POINTS = 3  # interpolated points per BSP sample; neighbours share one more

Timings = dict[str, float]
Instances = Mapping[str, Sequence[tuple[float, float]]]


def open_network(path: Path) -> onnxruntime.InferenceSession:
    """Open an ONNX model on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )


def read_features(path: Path) -> np.ndarray:
    """Read a feature table as (1, C, T) float32."""
    table = pd.read_csv(path)
    return np.ascontiguousarray(table.to_numpy(dtype=np.float32).T)[np.newaxis]


def score_boundaries(tem: onnxruntime.InferenceSession, video: np.ndarray) -> np.ndarray:
    """Run TEM on one video, (1, C, T) -> (3, T)."""
    output: np.ndarray = tem.run(["output"], {"video": video})[0][0]
    return output


def write_boundaries(folder: Path, name: str, scores: np.ndarray) -> None:
    """Write boundary scores (3, T) and the cell of each as a table."""
    length = scores.shape[1]
    gap = 1.0 / length
    columns: dict[str, Any] = dict(
        zip(("action", "start", "end"), scores.astype(np.float64), strict=True)
    )
    columns["xmin"] = [gap * cell for cell in range(length)]
    columns["xmax"] = [gap * (cell + 1) for cell in range(length)]
    table = pd.DataFrame(columns)
    table.to_csv(folder / "tem" / f"{name}.csv", index=False)


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


def shared_length(xmin: float, xmax: float, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the length that one candidate shares with each instance."""
    shared: np.ndarray = np.maximum(np.minimum(xmax, ends) - np.maximum(xmin, starts), 0.0)
    return shared


def overlap_with(xmin: float, xmax: float, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the temporal intersection over union of one candidate with each instance."""
    inter = shared_length(xmin, xmax, starts, ends)
    return inter / ((xmax - xmin) - inter + ends - starts)


def covered_by(xmin: float, xmax: float, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the share of one candidate that each instance covers."""
    return shared_length(xmin, xmax, starts, ends) / (xmax - xmin)


def match_instances(table: pd.DataFrame, instances: Sequence[tuple[float, float]]) -> pd.DataFrame:
    """Add the largest overlap and the largest covered share of every candidate."""
    starts = np.array([start for start, _ in instances])
    ends = np.array([end for _, end in instances])
    columns: dict[str, list[float]] = {"match_iou": [], "match_ioa": []}
    for measure, column in zip((overlap_with, covered_by), columns.values(), strict=True):
        for row in range(len(table)):
            xmin, xmax = table.xmin.values[row], table.xmax.values[row]
            found = measure(xmin, xmax, starts, ends)
            column.append(max(found) if len(instances) else float("nan"))
    return table.assign(**columns)


def generate_candidates(
    folder: Path, name: str, instances: Sequence[tuple[float, float]] | None = None
) -> None:
    """Write candidates from the TEM table; with `instances` (not clipped), their overlaps."""
    boundaries = pd.read_csv(folder / "tem" / f"{name}.csv")
    table = pair_boundaries(boundaries)[:KEEP]
    if instances is not None:
        table = match_instances(table, instances)
    table.to_csv(folder / "candidates" / f"{name}.csv", index=False)


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


def extract_features(folder: Path, name: str, boundary_ratio: float = 0.2) -> None:
    """Compute 32 features per candidate from the TEM table and the candidates table."""
    boundaries = pd.read_csv(folder / "tem" / f"{name}.csv")
    table = pd.read_csv(folder / "candidates" / f"{name}.csv")[:KEEP]
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


def evaluate_candidates(pem: onnxruntime.InferenceSession, folder: Path, name: str) -> None:
    """Run PEM on one video's BSP features: predict how well each candidate overlaps an action."""
    features = np.load(folder / "bsp" / f"{name}.npy").astype(np.float32)
    table = pd.read_csv(folder / "candidates" / f"{name}.csv")[:KEEP]
    output = pem.run(["output"], {"video_feature": features})[0]
    result = table[["xmin", "xmax", "xmin_score", "xmax_score"]].copy()
    result["iou_score"] = output.reshape(-1).astype(np.float64)
    result.to_csv(folder / "pem" / f"{name}.csv", index=False)


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


def make_folders(folder: Path) -> None:
    """Make one folder per stage."""
    for stage in ("tem", "candidates", "bsp", "pem"):
        (folder / stage).mkdir(parents=True, exist_ok=True)


def _timed(names: Iterable[str], stage: Callable[[str], Any]) -> tuple[dict[str, Any], float]:
    """Run a stage on every video; return what it returned, and the seconds."""
    began = time.perf_counter()
    results = {name: stage(name) for name in names}
    return results, time.perf_counter() - began


def run_tem(features: Path, folder: Path, names: Sequence[str], tem_path: Path) -> Timings:
    """Compute boundary scores from `features`/<video>.csv; return total seconds per step."""
    make_folders(folder)
    tem = open_network(tem_path)
    inputs, reading = _timed(names, lambda name: read_features(features / f"{name}.csv"))
    outputs, scoring = _timed(names, lambda name: score_boundaries(tem, inputs[name]))
    _, writing = _timed(names, lambda name: write_boundaries(folder, name, outputs[name]))
    return {"read CSV": reading, "TEM": scoring, "write scores": writing}


def run_after_tem(
    folder: Path,
    seconds: Mapping[str, float],
    pem_path: Path,
    instances: Instances | None = None,
) -> Timings:
    """Compute `result.json` from boundary scores on disk; return total seconds per stage.

    `seconds` is what position 1 stands for, per video to run. With `instances` (ground truth), the
    candidates' overlaps are computed, as the published code always does for annotated videos,
    though proposing does not use them.
    """
    pem = open_network(pem_path)

    def candidates(name: str) -> None:
        generate_candidates(folder, name, None if instances is None else instances.get(name, ()))

    timings = {
        "candidates": _timed(seconds, candidates)[1],
        "BSP features": _timed(seconds, lambda name: extract_features(folder, name))[1],
        "PEM": _timed(seconds, lambda name: evaluate_candidates(pem, folder, name))[1],
    }
    found, suppression = _timed(seconds, lambda name: suppress(folder, name, seconds[name]))
    began = time.perf_counter()
    results = {name.removeprefix("v_"): entries for name, entries in found.items()}
    document = {"version": "VERSION 1.3", "results": results, "external_data": {}}
    (folder / "result.json").write_text(json.dumps(document), encoding="utf-8")
    return {**timings, "Soft-NMS": suppression + time.perf_counter() - began}
