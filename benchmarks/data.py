"""Synthetic data beyond those of `actspan bench`: result files, CSV, stores, long recordings."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from actspan import Bundle, PemConfig, PipelineConfig, SoftNmsConfig, TemConfig
from actspan.bench.synthetic import (
    CHANNELS,
    LENGTH,
    make_dataset,
    make_features,
    make_instances,
    make_pem,
    make_tem,
    make_video,
    name_of,
    seconds_of,
)
from actspan.config.base import dump_toml, to_dict
from actspan.config.stages import FeatureSpec
from actspan.data.annotations import formats
from actspan.data.data_requests import SHARD_SIZE
from actspan.data.pack import Row, write_shards
from actspan.data.store_manifest import Manifest
from actspan.data.timebase import SnippetGrid
from actspan.model.manifest import Source

STRIDE = 0.5  # seconds, of recordings
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
    """Write features in the published form: one CSV per video, header f0, f1, ..."""
    path.mkdir(parents=True, exist_ok=True)
    header = [f"f{channel}" for channel in range(CHANNELS)]
    for number in numbers:
        table = pd.DataFrame(make_features(number, seed), columns=header)
        table.to_csv(path / f"{name_of(number)}.csv", index=False)


def make_csv_dataset(path: Path, videos: int, seed: int = 0, distinct: int = 600) -> Path:
    """Write a dataset with features in CSV; beyond `distinct` videos they are hard links."""
    make_dataset(path, videos, seed, distinct=1)  # for what lies beside the features
    features = path / "features"
    shutil.rmtree(features)
    write_csv_features(features, range(min(videos, distinct)), seed)
    for number in range(distinct, videos):
        os.link(features / f"{name_of(number % distinct)}.csv", features / f"{name_of(number)}.csv")
    return path


def make_store(path: Path, videos: int, seed: int = 0, distinct: int = 300) -> Path:
    """Write a packed store in float16; beyond `distinct` videos features repeat."""
    path.mkdir(parents=True)
    features = [make_features(n, seed).astype(np.float16) for n in range(min(distinct, videos))]
    strides = [seconds_of(number) / LENGTH for number in range(videos)]
    rows = (
        Row(name_of(n), features[n % distinct], SnippetGrid(strides[n], strides[n], None))
        for n in range(videos)
    )
    manifest = Manifest(dtype="float16", channels=CHANNELS, length=LENGTH)
    shards = write_shards(path, manifest, rows, shard_size=SHARD_SIZE)
    msgspec.structs.replace(manifest, shards=shards).save(path)
    spec = {"features": to_dict(FeatureSpec(channels=CHANNELS, layout="TC"))}
    (path / "dataset.toml").write_text(dump_toml(spec), encoding="utf-8")
    write_annotations(path / "annotations.json", range(videos), seed)
    return path


def make_window_bundle(path: Path, seed: int) -> Bundle:
    """Write networks of the published sizes for recordings, which are cut into windows."""
    from actspan.runtime.export import export_bundle

    bundle = Bundle.create(
        path,
        config=PipelineConfig(
            mode="window",
            tem=TemConfig(),
            pem=PemConfig(),
            soft_nms=SoftNmsConfig(picks=1000, keep=1000),
        ),
        features=FeatureSpec(channels=CHANNELS, stride_seconds=STRIDE, length_seconds=STRIDE),
        source=Source(note="made up for benchmarks: random weights"),
        tem=make_tem(seed),
        pem=make_pem(seed),
    )
    exported, _ = export_bundle(bundle, check_torch=False)
    return exported


def make_recording(path: Path, hours: float, seed: int) -> Path:
    """Write a dataset folder with one recording, a snippet every half second."""
    (path / "features").mkdir(parents=True)
    snippets = round(hours * 3600 / STRIDE)
    file = np.lib.format.open_memmap(
        path / "features" / "recording.npy",
        mode="w+",
        dtype=np.float32,
        shape=(snippets, CHANNELS),
    )
    for first in range(0, snippets, LENGTH):
        stretch = make_features(first // LENGTH % _STRETCHES, seed)
        file[first : first + LENGTH] = stretch[: snippets - first]
    file.flush()
    (path / "dataset.toml").write_text(
        f'[features]\nchannels = {CHANNELS}\nlayout = "TC"\n'
        f"stride_seconds = {STRIDE}\nlength_seconds = {STRIDE}\n",
        encoding="utf-8",
    )
    entry = {"subset": "validation", "duration": snippets * STRIDE, "annotations": []}
    document = {"version": "made up", "taxonomy": [], "database": {"recording": entry}}
    (path / "annotations.json").write_text(json.dumps(document), encoding="utf-8")
    return path
