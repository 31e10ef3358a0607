"""Synthetic data beyond those of `actspan bench`: result files, CSV, stores, long recordings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from actspan import Bundle, PemConfig, PipelineConfig, SoftNmsConfig, TemConfig, Video
from actspan.bench.synthetic import (
    CHANNELS,
    LENGTH,
    make_bundle,
    make_dataset,
    make_features,
    make_instances,
    make_video,
    name_of,
    seconds_of,
    write_description,
)
from actspan.config.stages import FeatureSpec
from actspan.data.annotations import formats
from actspan.data.data_requests import SHARD_SIZE
from actspan.data.pack import Row, write_shards
from actspan.data.store_manifest import Manifest
from actspan.data.timebase import SnippetGrid

STRIDE = 0.5  # seconds, of recordings
RECORDING = FeatureSpec(
    channels=CHANNELS, layout="TC", stride_seconds=STRIDE, length_seconds=STRIDE
)
_STRETCHES = 60  # distinct stretches of a recording, in turn


def write_annotations(path: Path, numbers: Sequence[int], seed: int = 0) -> None:
    """Write ground truth in the ActivityNet format, all of it `validation`."""
    formats.write_annotations(path, [make_video(number, seed) for number in numbers])


def write_result(path: Path, numbers: Sequence[int], proposals: int = 100, seed: int = 0) -> None:
    """Write a result file with random proposals, some of them close to an instance."""
    results = {name_of(number): _entries(number, proposals, seed) for number in numbers}
    document = {"version": "VERSION 1.3", "results": results, "external_data": {}}
    path.write_text(json.dumps(document), encoding="utf-8")


def _entries(number: int, proposals: int, seed: int) -> list[dict[str, object]]:
    rng = np.random.default_rng((seed, 4, number))
    instances = np.array(make_instances(number, seed))
    near = instances[rng.integers(len(instances), size=proposals)]
    near = near + rng.normal(0.0, 0.1, (proposals, 2))
    anywhere = np.sort(rng.random((proposals, 2)), axis=1)
    segments = np.where(rng.random((proposals, 1)) < 0.3, near, anywhere)
    segments = np.sort(np.clip(segments, 0.0, 1.0), axis=1) * seconds_of(number)
    scores = np.sort(rng.random(proposals))[::-1]
    return [
        {"score": score, "segment": segment}
        for score, segment in zip(scores.tolist(), segments.tolist(), strict=True)
    ]


def write_csv(file: Path, features: np.ndarray) -> None:
    """Write features in the published form: a CSV file with the header f0, f1, ..."""
    header = [f"f{channel}" for channel in range(features.shape[1])]
    pd.DataFrame(features, columns=header).to_csv(file, index=False)


def make_csv_dataset(path: Path, videos: int, seed: int = 0, distinct: int = 600) -> Path:
    """Write a dataset with features in CSV; beyond `distinct` videos they are hard links."""
    return make_dataset(path, videos, seed, distinct, suffix=".csv", save=write_csv)


def make_store(
    path: Path,
    videos: int,
    seed: int = 0,
    distinct: int = 300,
    *,
    cells: int = LENGTH,
    channels: int = CHANNELS,
) -> Path:
    """Write a packed store in float16; beyond `distinct` videos features repeat."""
    path.mkdir(parents=True)
    features = [
        make_features(n, seed, snippets=cells, channels=channels).astype(np.float16)
        for n in range(min(distinct, videos))
    ]
    strides = [seconds_of(number) / cells for number in range(videos)]
    rows = (
        Row(name_of(n), features[n % distinct], SnippetGrid(strides[n], strides[n], None))
        for n in range(videos)
    )
    manifest = Manifest(dtype="float16", channels=channels, length=cells)
    shards = write_shards(path, manifest, rows, shard_size=SHARD_SIZE)
    msgspec.structs.replace(manifest, shards=shards).save(path)
    spec = FeatureSpec(channels=channels, layout="TC")
    write_description(path, spec, [make_video(number, seed) for number in range(videos)])
    return path


def make_window_bundle(path: Path, seed: int) -> Bundle:
    """Write networks of the published sizes for recordings, which are cut into windows."""
    config = PipelineConfig(
        mode="window",
        tem=TemConfig(),
        pem=PemConfig(),
        soft_nms=SoftNmsConfig(picks=1000, keep=1000),
    )
    spec = msgspec.structs.replace(RECORDING, layout=None)
    return make_bundle(path, seed, config=config, features=spec)


def make_recording(path: Path, hours: float, seed: int) -> Path:
    """Write a dataset folder with one recording, a snippet every half second."""
    file = path / "features" / "recording.npy"
    file.parent.mkdir(parents=True)
    shape = (round(hours * 3600 / STRIDE), CHANNELS)
    values = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
    for first in range(0, len(values), LENGTH):
        stretch = make_features(first // LENGTH % _STRETCHES, seed)
        values[first : first + LENGTH] = stretch[: len(values) - first]
    values.flush()
    write_description(path, RECORDING, [Video("recording", len(values) * STRIDE, "validation")])
    return path
