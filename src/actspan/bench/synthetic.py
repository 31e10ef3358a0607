"""Synthetic models and features of any size, reproducible from a seed.

The networks have random weights and, by default, the published sizes. TEM's last
layer is scaled on a few of the synthetic videos so that its scores are as uneven as those of a
trained TEM. This gives a realistic number of candidates: most videos have more than the 1000 that
are kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from actspan.bench.records import CHANNELS, LENGTH
from actspan.config.base import dump_toml
from actspan.config.stages import FeatureSpec, PemConfig, PipelineConfig, TemConfig
from actspan.core.files import atomic_file
from actspan.core.types import Float32, Video
from actspan.data.annotations.format_table import DATASET_JSON
from actspan.data.annotations.formats import write_annotations
from actspan.model.bundle import Bundle
from actspan.model.manifest import Source
from actspan.model.nets import video_net

Weights = dict[str, Float32]

DEVIATION = 1.46  # standard deviation of synthetic features
_PATTERNS = 24  # independent curves that a video's channels are mixed from


def name_of(number: int) -> str:
    """Return the id of a synthetic video."""
    return f"video{number:05d}"


def seconds_of(number: int) -> float:
    """Return the duration of a synthetic video, seconds."""
    return 30.0 + 7.0 * (number % 29)


def make_features(
    number: int, seed: int = 0, *, snippets: int = LENGTH, channels: int = CHANNELS
) -> Float32:
    """Make features of one video, (n, C) float32: mixed smooth curves with noise."""
    rng = np.random.default_rng((seed, number))
    mixing = np.random.default_rng(seed).standard_normal((_PATTERNS, channels), np.float32)
    steps = rng.standard_normal((snippets + 4, _PATTERNS), np.float32)
    curves = sum(steps[shift : shift + snippets] for shift in range(5))  # (n, patterns)
    noise = rng.standard_normal((snippets, channels), np.float32)
    values: Float32 = np.asarray((curves @ mixing) / 8 + noise / 2, dtype=np.float32)
    return values


def _convolve(x: Float32, weight: Float32) -> Float32:
    """Apply conv1d with kernel 3 and padding 1, then ReLU: (C, T) -> (H, T)."""
    padded = np.pad(x, ((0, 0), (1, 1)))
    y = sum(weight[:, :, k] @ padded[:, k : k + x.shape[1]] for k in range(3))
    return np.asarray(np.maximum(y, 0.0))


def make_tem(seed: int = 0, hidden: int = 512, *, channels: int = CHANNELS) -> Weights:
    """Make TEM weights whose logits have mean -1.5 and deviation 2 over synthetic videos."""
    rng = np.random.default_rng((seed, 1))
    conv1 = rng.standard_normal((hidden, channels, 3), np.float32) / np.sqrt(1.5 * channels)
    conv2 = rng.standard_normal((hidden, hidden, 3), np.float32) / np.sqrt(1.5 * hidden)
    conv3 = rng.standard_normal((3, hidden), np.float32) / np.sqrt(hidden)
    videos = [make_features(number, seed, channels=channels).T for number in range(8)]
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
    """Make PEM weights whose outputs spread over (0, 1)."""
    rng = np.random.default_rng((seed, 2))
    return {
        "fc1.weight": 10 * rng.standard_normal((hidden, inputs), np.float32) / np.sqrt(inputs),
        "fc1.bias": rng.standard_normal(hidden, np.float32),
        "fc2.weight": 60 * rng.standard_normal((1, hidden), np.float32) / np.sqrt(hidden),
        "fc2.bias": np.zeros(1, np.float32),
    }


def make_bundle(
    path: Path,
    seed: int = 0,
    *,
    channels: int = CHANNELS,
    length: int = LENGTH,
    config: PipelineConfig | None = None,
    features: FeatureSpec | None = None,
) -> Bundle:
    """Make a bundle of synthetic networks, exported to ONNX.

    They are for features of `channels` and `length` cells, with the published settings; or for
    `config`, whose networks have the published sizes, and `features`.
    """
    from actspan.runtime.export import export_bundle

    tem = TemConfig(channels=channels, length=length)
    bundle = Bundle.create(
        path,
        config=config or PipelineConfig(tem=tem, pem=PemConfig()),
        features=features or FeatureSpec(channels=channels),
        source=Source(note="synthetic, for benchmarks: random weights"),
        weights={"tem": make_tem(seed, channels=channels), "pem": make_pem(seed)},
    )
    exported, _ = export_bundle(bundle, check_torch=False)
    return exported


def standardised_for(bundle: Bundle) -> Callable[[Float32], Float32]:
    """Return a function that scales synthetic features to the inputs of a bundle's network."""
    weights = bundle.weights(video_net(bundle.config))
    if "input.mean" not in weights:
        return lambda values: values
    mean, scale = weights["input.mean"], weights["input.scale"]
    deviation = 1 / np.where(scale == 0, 1, scale)
    return lambda values: (mean + deviation * (values / DEVIATION)).astype(np.float32)


def make_dataset(
    path: Path,
    videos: int,
    seed: int = 0,
    distinct: int | None = None,
    *,
    snippets: int = LENGTH,
    channels: int = CHANNELS,
    suffix: str = ".npy",
    save: Callable[[Path, Float32], object] = np.save,
) -> Path:
    """Make a dataset folder: annotations, dataset.toml and a file of features (n, C) per video.

    After the first `distinct` videos, feature files are hard links to earlier ones to save disk
    space. `save` writes a file.
    """
    features = path / "features"
    features.mkdir(parents=True)
    for number in range(videos):
        file = features / f"{name_of(number)}{suffix}"
        if distinct is not None and number >= distinct:
            os.link(features / f"{name_of(number % distinct)}{suffix}", file)
        else:
            save(file, make_features(number, seed, snippets=snippets, channels=channels))
    spec = FeatureSpec(channels=channels, layout="TC")
    write_description(path, spec, [make_video(number, seed) for number in range(videos)])
    return path


def write_description(path: Path, spec: FeatureSpec, videos: Iterable[Video]) -> None:
    """Write the files of a dataset next to its features: dataset.toml and annotations."""
    with atomic_file(path / "dataset.toml") as stream:
        stream.write(dump_toml({"features": spec}).encode())
    write_annotations(path / DATASET_JSON, videos)


def make_instances(number: int, seed: int = 0) -> list[tuple[float, float]]:
    """Make one to four instances of a video, fractions of its duration."""
    rng = np.random.default_rng((seed, 3, number))
    starts = rng.uniform(0.0, 0.8, rng.integers(1, 5))
    ends = np.minimum(starts + rng.uniform(0.05, 0.6, len(starts)), 1.0)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def make_video(number: int, seed: int = 0) -> Video:
    """Make a video of the subset `validation`, with its instances in seconds."""
    seconds = seconds_of(number)
    segments = np.array(make_instances(number, seed)) * seconds
    labels = ("something",) * len(segments)
    return Video(name_of(number), seconds, "validation", segments, labels)
