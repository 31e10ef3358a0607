"""Synthetic videos that resemble real ones: slow backgrounds, blurred boundaries, distractors.

A video is a sequence of snippets on a half-second grid. Its background drifts from scene to scene.
Each action adds the direction of its class. It fades in and out over a second or two, and its
strength varies. Short flickers of other classes and weak, longer gestures act as distractors. No
real data is used.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from actspan.core.errors import AnnotationError, DataError
from actspan.core.files import atomic_file
from actspan.core.folders import is_free
from actspan.core.types import Float32, Float64, Video
from actspan.data.annotations.format_table import DATASET_JSON
from actspan.data.annotations.formats import read_annotations, write_annotations
from actspan.data.timebase import SPEC_FILE

CHANNELS = 32
STRIDE = 0.5  # seconds
LABELS = ("wave", "jump", "throw", "climb", "spin", "lift")
_FEATURES = "features"
_OWN = re.compile(r"(synthetic|madeup)_(training|validation)_\d{4,}\Z")  # madeup: earlier versions

_SPEC = f"""\
[features]
channels = {CHANNELS}
stride_seconds = {STRIDE}
length_seconds = {STRIDE}
layout = "TC"
"""


def check_demo_folder(out: Path, dataset: Path) -> None:
    """Raise DataError if a folder contains anything but a synthetic `dataset`."""
    if not out.is_dir() or is_free(out):
        return
    if not _is_synthetic(dataset):
        raise DataError(
            f"{out}: contains files that were not written by a demo; choose a new or empty "
            "folder: --out"
        )


def _is_synthetic(dataset: Path) -> bool:
    """Return whether a folder contains only a synthetic dataset, complete or not."""
    spec, features, table = (dataset / name for name in (SPEC_FILE, _FEATURES, DATASET_JSON))
    if not (spec.is_file() and spec.read_bytes().endswith(_SPEC.encode())):
        return False
    try:
        ids = list(read_annotations(table).videos.ids) if table.exists() else []
    except AnnotationError:
        return False
    if features.is_dir():
        ids += [path.name.removesuffix(".npy") for path in _visible_files(features)]
    known = {spec, features, table}
    return known.issuperset(_visible_files(dataset)) and all(map(_OWN.match, ids))


def _visible_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


class _Action(NamedTuple):
    start: float  # seconds
    end: float
    label: int


def write_synthetic_dataset(
    folder: Path, *, training: int = 0, validation: int = 60, seed: int = 0
) -> None:
    """Write a dataset folder of synthetic videos, and replace an earlier one.

    A video depends only on `seed`, its subset and its number. A larger set therefore begins with
    the videos of a smaller one.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    training, validation : int
        Videos per subset.
    """
    (folder / _FEATURES).mkdir(parents=True, exist_ok=True)
    with atomic_file(folder / SPEC_FILE) as stream:
        stream.write(_SPEC.encode())
    videos = []
    for subset, count in (("training", training), ("validation", validation)):
        for number in range(count):
            video, features = _make_video(subset, number, seed)
            with atomic_file(folder / _FEATURES / f"{video.id}.npy") as stream:
                np.save(stream, features)
            videos.append(video)
    write_annotations(folder / DATASET_JSON, videos)
    written = {video.id for video in videos}
    for file in (folder / _FEATURES).glob("*.npy"):
        if _OWN.match(file.stem) and file.stem not in written:  # of an earlier, larger set
            file.unlink()


def _make_video(subset: str, number: int, seed: int) -> tuple[Video, Float32]:
    rng = np.random.default_rng([seed, zlib.crc32(subset.encode()), number])
    duration = float(np.round(np.exp(rng.uniform(np.log(25), np.log(200))), 2))
    snippets = int(duration / STRIDE)
    centres: Float64 = (np.arange(snippets, dtype=np.float64) + 0.5) * STRIDE
    actions = list(_plan_actions(rng, duration))
    features = _background(rng, snippets)
    for action in actions:
        strength = rng.uniform(0.8, 1.6) * _texture(rng, snippets)  # (n,)
        features += np.outer(strength * _envelope(rng, centres, action), _direction(action.label))
    for _ in range(rng.poisson(duration / 40)):
        features += _distractor(rng, centres, duration)
    features += rng.normal(scale=0.45, size=features.shape)
    video = Video(
        id=f"synthetic_{subset}_{number:04d}",
        duration=duration,
        subset=subset,
        segments=np.array([[a.start, a.end] for a in actions]).reshape(-1, 2).round(2),
        labels=tuple(LABELS[a.label] for a in actions),
    )
    return video, features.astype(np.float32)


def _plan_actions(rng: np.random.Generator, duration: float) -> Iterator[_Action]:
    """Yield one or a few actions, from two seconds to most of the video, with gaps between."""
    label = int(rng.integers(len(LABELS)))
    time = rng.exponential(0.12 * duration)
    while True:
        length = min(np.exp(rng.normal(np.log(0.18 * duration), 0.8)), 0.85 * duration)
        length = max(length, 2.0)
        if time + length > duration:
            return
        yield _Action(time, time + length, label)
        time += length + 1.5 + rng.exponential(0.15 * duration)
        if rng.random() < 0.2:
            label = int(rng.integers(len(LABELS)))


def _direction(label: int) -> Float64:
    """Return the vector, of length 2.2, that a class adds to the features."""
    vector = np.random.default_rng([2018, label]).normal(size=CHANNELS)
    unit: Float64 = vector / np.linalg.norm(vector) * 2.2
    return unit


def _background(rng: np.random.Generator, snippets: int) -> Float64:
    """Return scenes of about half a minute with a slow drift within them, (n, C)."""
    scene = np.cumsum(rng.random(snippets) < STRIDE / 30)
    scenes = rng.normal(scale=0.6, size=(scene[-1] + 1, CHANNELS))
    drift = np.cumsum(rng.normal(scale=0.06, size=(snippets, CHANNELS)), axis=0)
    background: Float64 = scenes[scene] + drift
    return background


def _texture(rng: np.random.Generator, snippets: int) -> Float64:
    """Return the strength of an action per snippet, around 1, (n,)."""
    noise: Float64 = np.convolve(rng.normal(size=snippets + 4), np.full(5, 0.1), mode="valid")
    return 1.0 + noise


def _envelope(rng: np.random.Generator, centres: Float64, action: _Action) -> Float64:
    """Return the share of the action in each snippet, with a smooth rise and fall, (n,)."""
    rise, fall = rng.uniform(0.15, 0.7, 2)
    rising, falling = (centres - action.start) / rise, (centres - action.end) / fall
    shown: Float64 = (np.tanh(rising / 2) - np.tanh(falling / 2)) / 2
    return shown


def _distractor(rng: np.random.Generator, centres: Float64, duration: float) -> Float64:
    """Return a one-second flicker of a class, or a longer and weaker gesture, (n, C)."""
    start = rng.uniform(0, duration)
    length, strength = (1.0, 1.2) if rng.random() < 0.6 else (rng.uniform(3, 10), 0.5)
    label = int(rng.integers(len(LABELS)))
    shown = _envelope(rng, centres, _Action(start, start + length, label))
    return np.outer(strength * shown, _direction(label))
