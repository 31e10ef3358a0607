"""Synthetic runs on disk: smooth curves, peaks near the instances."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from actspan import BoundaryScores, Proposals, Video, generate_proposals
from actspan.core.folders import atomic_folder
from actspan.data.annotations.formats import write_annotations
from actspan.data.detections import Detections, write_detections
from actspan.jobs.sinks import run_writer, write_info
from actspan.pipeline.outcomes import Outcome

CELLS = 60
LABELS = ("jump", "throw")


def synthetic_videos(count: int, seed: int = 0) -> list[Video]:
    """Return videos of one to three actions; the last has none."""
    rng = np.random.default_rng(seed)
    videos = []
    for i in range(count):
        duration = float(rng.uniform(20, 90))
        actions = int(rng.integers(1, 4)) if i < count - 1 else 0
        cuts = np.sort(rng.uniform(0, duration, 2 * actions)).reshape(-1, 2)
        labels = tuple(LABELS[k % 2] for k in range(actions))
        videos.append(Video(f"video{i}", duration, "validation", cuts, labels))
    return videos


def write_synthetic_run(folder: Path, videos: Sequence[Video], *, seed: int = 0) -> Path:
    """Return a run folder of `videos`, without a model."""
    rng = np.random.default_rng(seed)
    with atomic_folder(folder) as partial:
        with run_writer(partial) as add:
            for video in videos:
                add(_outcome(video, rng))
        write_info(partial, {"videos": len(videos), "created": "2026-01-02T03:04:05+00:00"})
    return folder


def _outcome(video: Video, rng: np.random.Generator) -> Outcome:
    centres = (np.arange(CELLS) + 0.5) / CELLS * video.duration
    start, end = (_bumps(centres, edges, rng) for edges in video.segments.T)
    action = np.zeros(CELLS)
    for first, last in video.segments:
        action[(centres > first) & (centres < last)] = 0.9
    scores = BoundaryScores(action, start, end)
    candidates = generate_proposals(scores)[:100]
    confidence = rng.uniform(0.2, 0.9, len(candidates)).astype(np.float32)
    ranked = candidates.with_score(candidates.score * confidence).to_seconds(video.duration)
    best = ranked[np.argsort(-ranked.score, kind="stable")[:40]]
    return Outcome(video.id, video.duration, scores, candidates, confidence, best)


def _bumps(centres: np.ndarray, edges: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = 0.1 * rng.random(len(centres))
    peaks = [0.8 * np.exp(-(((centres - edge) / 1.5) ** 2)) for edge in edges]
    return np.clip(noise + sum(peaks), 0, 1)


def label_run(folder: Path, videos: Sequence[Video], found: dict[str, Proposals]) -> None:
    """Give a run detections."""
    labels = {v.id: [LABELS[i % 2] for i in range(len(found[v.id]))] for v in videos}
    write_detections(
        folder / "detections.json",
        {name: Detections.of(found[name], labels[name]) for name in labels},
    )


def write_truth(folder: Path, videos: Sequence[Video]) -> Path:
    """Return a folder with annotations."""
    folder.mkdir()
    write_annotations(folder / "annotations.json", videos)
    return folder
