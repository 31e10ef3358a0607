"""The stages one after another over all videos, each timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.straightforward.bsp import extract_features
from benchmarks.straightforward.candidates import generate_candidates
from benchmarks.straightforward.networks import (
    evaluate_candidates,
    open_network,
    read_features,
    score_boundaries,
    write_boundaries,
)
from benchmarks.straightforward.suppression import suppress, write_result

Timings = dict[str, float]
Instances = Mapping[str, Sequence[tuple[float, float]]]


def make_folders(folder: Path) -> None:
    """Make one folder per stage."""
    for stage in ("tem", "candidates", "bsp", "pem"):
        (folder / stage).mkdir(parents=True, exist_ok=True)


def _timed(names: Iterable[str], stage: Callable[[str], object]) -> float:
    began = time.perf_counter()
    for name in names:
        stage(name)
    return time.perf_counter() - began


def run_tem(features: Path, folder: Path, names: Sequence[str], tem_path: Path) -> Timings:
    """Compute boundary scores from `features`/<video>.csv; return total seconds per step."""
    make_folders(folder)
    tem = open_network(tem_path)
    inputs: dict[str, np.ndarray] = {}
    outputs: dict[str, np.ndarray] = {}

    def read(name: str) -> None:
        inputs[name] = read_features(features / f"{name}.csv")

    def score(name: str) -> None:
        outputs[name] = score_boundaries(tem, inputs[name])

    return {
        "read CSV": _timed(names, read),
        "TEM": _timed(names, score),
        "write scores": _timed(names, lambda name: write_boundaries(folder, name, outputs[name])),
    }


def run_after_tem(
    folder: Path,
    seconds: Mapping[str, float],
    pem_path: Path,
    instances: Instances | None = None,
) -> Timings:
    """Compute `result.json` from boundary scores on disk; return total seconds per stage.

    `seconds`: what position 1 stands for, of each video to run. `instances`: ground truth, where
    the candidates' overlaps with it are wanted (the published code always works them out for
    annotated videos, though proposing does not use them).
    """
    pem = open_network(pem_path)
    results = {}

    def candidates(name: str) -> None:
        generate_candidates(folder, name, None if instances is None else instances.get(name, ()))

    def suppression(name: str) -> None:
        results[name.removeprefix("v_")] = suppress(folder, name, seconds[name])

    timings = {
        "candidates": _timed(seconds, candidates),
        "BSP features": _timed(seconds, lambda name: extract_features(folder, name)),
        "PEM": _timed(seconds, lambda name: evaluate_candidates(pem, folder, name)),
        "Soft-NMS": _timed(seconds, suppression),
    }
    began = time.perf_counter()
    write_result(folder / "result.json", results)
    timings["Soft-NMS"] += time.perf_counter() - began
    return timings
