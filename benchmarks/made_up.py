"""A made-up model and made-up features: no data of anyone's, the same bytes from the same seed.

The networks have the published sizes and random weights. TEM's last layer is scaled on a few of
the made-up videos so that its scores are as uneven as those of a trained TEM, which gives a
realistic number of candidates (most videos above the 1000 that are kept).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from actspan import Bundle, PemConfig, PipelineConfig, TemConfig
from actspan.bundle import Source
from actspan.config import FeatureSpec

Weights = dict[str, np.ndarray]

CHANNELS, LENGTH = 400, 100
PATTERNS = 24  # independent curves that a video's channels are mixed from


def name_of(number: int) -> str:
    """The id of a made-up video."""
    return f"video{number:05d}"


def seconds_of(number: int) -> float:
    """The duration of a made-up video."""
    return 30.0 + 7.0 * (number % 29)


def make_features(number: int, seed: int = 0) -> np.ndarray:
    """Features of one video, (T, C) float32: smooth curves, mixed, with noise."""
    rng = np.random.default_rng((seed, number))
    mixing = np.random.default_rng(seed).standard_normal((PATTERNS, CHANNELS), np.float32)
    steps = rng.standard_normal((LENGTH + 4, PATTERNS), np.float32)
    curves = sum(steps[shift : shift + LENGTH] for shift in range(5))  # (T, PATTERNS)
    noise = rng.standard_normal((LENGTH, CHANNELS), np.float32)
    values: np.ndarray = (curves @ mixing) / 8 + noise / 2
    return values


def _convolve(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """conv1d with kernel 3 and padding 1, then ReLU: (C, T) -> (H, T)."""
    padded = np.pad(x, ((0, 0), (1, 1)))
    length = x.shape[1]
    y = sum(weight[:, :, k] @ padded[:, k : k + length] for k in range(3))
    activated: np.ndarray = np.maximum(y, 0.0)
    return activated


def make_tem(seed: int = 0, hidden: int = 512) -> Weights:
    """TEM weights whose logits have mean -1.5 and deviation 2 over made-up videos."""
    rng = np.random.default_rng((seed, 1))
    conv1 = rng.standard_normal((hidden, CHANNELS, 3), np.float32) / np.sqrt(1.5 * CHANNELS)
    conv2 = rng.standard_normal((hidden, hidden, 3), np.float32) / np.sqrt(1.5 * hidden)
    conv3 = rng.standard_normal((3, hidden), np.float32) / np.sqrt(hidden)
    videos = [make_features(number, seed).T for number in range(8)]
    logits = np.hstack([conv3 @ _convolve(_convolve(v, conv1), conv2) for v in videos])  # (3, 8T)
    scale = 2.0 / logits.std(axis=1) / 0.01  # the network multiplies its logits by 0.01
    return {
        "conv1.weight": conv1,
        "conv1.bias": np.zeros(hidden, np.float32),
        "conv2.weight": conv2,
        "conv2.bias": np.zeros(hidden, np.float32),
        "conv3.weight": (conv3 * scale[:, None]).astype(np.float32)[:, :, None],
        "conv3.bias": (-1.5 / 0.01 - logits.mean(axis=1) * scale).astype(np.float32),
    }


def make_pem(seed: int = 0, inputs: int = 32, hidden: int = 256) -> Weights:
    """PEM weights that spread its outputs over (0, 1)."""
    rng = np.random.default_rng((seed, 2))
    return {
        "fc1.weight": 10 * rng.standard_normal((hidden, inputs), np.float32) / np.sqrt(inputs),
        "fc1.bias": rng.standard_normal(hidden, np.float32),
        "fc2.weight": 60 * rng.standard_normal((1, hidden), np.float32) / np.sqrt(hidden),
        "fc2.bias": np.zeros(1, np.float32),
    }


def make_bundle(path: Path, seed: int = 0) -> Bundle:
    """A bundle of made-up networks of the published sizes, exported to ONNX."""
    from actspan.export import export_bundle

    bundle = Bundle.create(
        path,
        config=PipelineConfig(tem=TemConfig(), pem=PemConfig()),
        features=FeatureSpec(channels=CHANNELS),
        source=Source(note="made up for benchmarks: random weights"),
        tem=make_tem(seed),
        pem=make_pem(seed),
    )
    exported, _ = export_bundle(bundle, check_torch=False)
    return exported


def make_dataset(path: Path, videos: int, seed: int = 0, distinct: int | None = None) -> Path:
    """A dataset folder: annotations, dataset.toml and one `.npy` (T, C) a video.

    Beyond `distinct` videos the feature files are hard links to those before, to spare the disk.
    """
    features = path / "features"
    features.mkdir(parents=True)
    for number in range(videos):
        file = features / f"{name_of(number)}.npy"
        if distinct is not None and number >= distinct:
            os.link(features / f"{name_of(number % distinct)}.npy", file)
        else:
            np.save(file, make_features(number, seed))
    text = f'[features]\nchannels = {CHANNELS}\nlayout = "TC"\n'
    (path / "dataset.toml").write_text(text, encoding="utf-8")
    write_annotations(path / "annotations.json", range(videos), seed)
    return path


def make_instances(number: int, seed: int = 0) -> list[tuple[float, float]]:
    """One to four instances of a video, as fractions of it."""
    rng = np.random.default_rng((seed, 3, number))
    starts = rng.uniform(0.0, 0.8, rng.integers(1, 5))
    ends = np.minimum(starts + rng.uniform(0.05, 0.6, len(starts)), 1.0)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def write_annotations(path: Path, numbers: Sequence[int], seed: int = 0) -> None:
    """Ground truth in the ActivityNet form, all of it `validation`."""
    database = {}
    for number in numbers:
        seconds = seconds_of(number)
        instances = [
            {"segment": [start * seconds, end * seconds], "label": "something"}
            for start, end in make_instances(number, seed)
        ]
        database[name_of(number)] = {
            "subset": "validation",
            "duration": seconds,
            "annotations": instances,
        }
    document = {"version": "made up", "taxonomy": [], "database": database}
    path.write_text(json.dumps(document), encoding="utf-8")


def write_result(path: Path, numbers: Sequence[int], proposals: int = 100, seed: int = 0) -> None:
    """A result file with random proposals, some of them close to an instance."""
    results = {name_of(number): _entries(number, proposals, seed) for number in numbers}
    document = {"version": "VERSION 1.3", "results": results, "external_data": {}}
    path.write_text(json.dumps(document), encoding="utf-8")


def _entries(number: int, proposals: int, seed: int) -> list[dict[str, object]]:
    rng = np.random.default_rng((seed, 4, number))
    seconds = seconds_of(number)
    instances = np.array(make_instances(number, seed))
    near = instances[rng.integers(len(instances), size=proposals)]
    near = near + rng.normal(0.0, 0.1, (proposals, 2))
    anywhere = np.sort(rng.random((proposals, 2)), axis=1)
    segments = np.where(rng.random((proposals, 1)) < 0.3, near, anywhere)
    segments = np.sort(np.clip(segments, 0.0, 1.0), axis=1) * seconds
    scores = np.sort(rng.random(proposals))[::-1]
    return [
        {"score": score, "segment": segment}
        for score, segment in zip(scores.tolist(), segments.tolist(), strict=True)
    ]


def write_csv_features(path: Path, numbers: Sequence[int], seed: int = 0) -> None:
    """Features as they were published: one CSV a video, header f0, f1, ..."""
    path.mkdir(parents=True, exist_ok=True)
    header = [f"f{channel}" for channel in range(CHANNELS)]
    for number in numbers:
        table = pd.DataFrame(make_features(number, seed), columns=header)
        table.to_csv(path / f"{name_of(number)}.csv", index=False)
