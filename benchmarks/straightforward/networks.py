"""TEM and PEM: a file in, one ONNX Runtime call on one thread, a file out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd


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
    table = pd.DataFrame(
        {
            "action": scores[0].astype(np.float64),
            "start": scores[1].astype(np.float64),
            "end": scores[2].astype(np.float64),
            "xmin": [gap * cell for cell in range(length)],
            "xmax": [gap * (cell + 1) for cell in range(length)],
        }
    )
    table.to_csv(folder / "tem" / f"{name}.csv", index=False)


def evaluate_candidates(
    pem: onnxruntime.InferenceSession, folder: Path, name: str, keep: int = 1000
) -> None:
    """Run PEM on one video's BSP features: predict how well each candidate overlaps an action."""
    features = np.load(folder / "bsp" / f"{name}.npy").astype(np.float32)
    table = pd.read_csv(folder / "candidates" / f"{name}.csv")[:keep]
    output = pem.run(["output"], {"video_feature": features})[0]
    result = table[["xmin", "xmax", "xmin_score", "xmax_score"]].copy()
    result["iou_score"] = output.reshape(-1).astype(np.float64)
    result.to_csv(folder / "pem" / f"{name}.csv", index=False)
