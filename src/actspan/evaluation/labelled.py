"""Instances and detections of all videos as flat arrays, in matching order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actspan.core.errors import AnnotationError, ResultError
from actspan.core.problems import Problem
from actspan.core.types import Float64, Proposals, Video
from actspan.core.wording import counted, listed
from actspan.data.detections import Detections, read_detections
from actspan.data.names import FileNames
from actspan.evaluation.doubts import doubtful, repeated
from actspan.evaluation.inputs import (
    OnError,
    known_ids,
    load_blocked,
    load_videos,
)
from actspan.evaluation.matching import Bool, Int64
from actspan.evaluation.unmatched import unmatched


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Inputs of a detection task: L classes, M instances, D detections, V videos.

    Attributes
    ----------
    classes : tuple of str
        Sorted.
    truth_start, truth_end : (M,) float64
        Instances by class, then by video.
    truth_of : (M,) int64
        Their videos.
    truth_offsets, offsets : (L + 1,) int64
        Class l has the instances, and the detections, from entry l up to entry l + 1 of these.
    start, end, score : (D,) float64
        Detections by class, best first.
    video : (D,) int64
        Their videos.
    first, last : (D,) int64
        Detection d meets the instances first[d] <= i < last[d], of its class and video.
    unsure : (D,) bool
        Whether it touches an ambiguous segment (`Video.ignored`).
    videos : int
        V, how many are evaluated.
    unknown, missing, extra, problems, notes
        See `DetectionResult`.
    """

    classes: tuple[str, ...]
    truth_start: Float64
    truth_end: Float64
    truth_of: Int64
    truth_offsets: Int64
    offsets: Int64
    start: Float64
    end: Float64
    score: Float64
    video: Int64
    first: Int64
    last: Int64
    unsure: Bool
    videos: int
    unknown: Mapping[str, int]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    @property
    def instances(self) -> Int64:
        """Number of instances per class, (L,)."""
        return np.diff(self.truth_offsets)

    @property
    def undetected(self) -> tuple[str, ...]:
        """Classes without detections."""
        counts = np.diff(self.offsets).tolist()
        return tuple(name for name, count in zip(self.classes, counts, strict=True) if not count)

    def ignored(self, hit: Bool) -> Bool:
        """Return detections that are neither right nor wrong at a threshold, (K, D) bool."""
        ignored: Bool = ~hit & self.unsure
        return ignored


def bring_together(
    ground_truth: Path | str | Iterable[Video],
    detections: Path | str | Mapping[str, Detections],
    subset: str | None,
    blocked: Path | str | Iterable[str] | None,
    on_error: OnError,
) -> Labelled:
    """Load both inputs as flat arrays; options and errors are those of `evaluate_detection`."""
    left_out = load_blocked(blocked)
    chosen = load_videos(ground_truth, subset, left_out, on_error)
    videos = sorted(chosen.videos, key=lambda video: video.id)
    known = {video.id for video in videos}
    files = FileNames()
    found = load_detections(detections, known, files)
    classes = tuple(sorted({name for video in videos for name in video.labels} - {""}))
    if not classes:
        raise AnnotationError(
            f"{chosen.where}the instances have no labels, which detections are judged by; evaluate "
            "proposals instead"
        )
    if not any(video.id in found for video in videos):
        ids = [video.id for video in videos]
        raise unmatched("detections", ground_truth, subset, ids, found)
    truth_key, truth = _instances(videos, classes)
    key, segments, unknown = _detections(videos, found, classes)
    with_instances = (video.id for video in videos if len(video.segments))
    count = len(videos)
    durations = np.array([video.duration for video in videos])
    beyond = int(np.count_nonzero(segments.start >= durations[key % count]))
    return Labelled(
        classes=classes,
        truth_start=np.ascontiguousarray(truth[:, 0]),
        truth_end=np.ascontiguousarray(truth[:, 1]),
        truth_of=truth_key % count,
        truth_offsets=_class_offsets(truth_key, len(classes), count),
        offsets=_class_offsets(key, len(classes), count),
        start=segments.start,
        end=segments.end,
        score=segments.score,
        video=key % count,
        first=np.searchsorted(truth_key, key, "left"),
        last=np.searchsorted(truth_key, key, "right"),
        unsure=_unsure(videos, key % count, segments),
        videos=count,
        unknown=unknown,
        missing=tuple(name for name in with_instances if not len(found.get(name, ()))),
        extra=tuple(name for name in found if name not in known and name not in left_out),
        problems=chosen.problems,
        notes=(
            *chosen.notes,
            *files.notes(detections),
            *_unlabelled(videos),
            *repeated("detection", segments.start, segments.end, np.flatnonzero(np.diff(key)) + 1),
            *doubtful(segments.start, segments.end, beyond),
        ),
    )


def _unlabelled(videos: Sequence[Video]) -> Iterator[str]:
    """Yield a note about instances without a label, if there are any."""
    labels = [label for video in videos for label in video.labels]
    if none := labels.count(""):
        of = f"{none:,} of {counted(len(labels), 'instance')}"
        yield f"{of} without a label: they are of no class, and not evaluated"


def load_detections(
    source: Path | str | Mapping[str, Detections],
    known: Container[str],
    files: FileNames | None = None,
) -> dict[str, Detections]:
    """Return the detections of each video in seconds, under the ids of the ground truth.

    Raises
    ------
    ResultError
        They cannot be read, a score is NaN, or a video is given with and without `v_`.
    """
    given = read_detections(source, files) if isinstance(source, (str, os.PathLike)) else source
    found = dict(zip(known_ids(given, known), given.values(), strict=True))
    for video, detections in found.items():
        if np.isnan(detections.segments.score).any():
            raise ResultError(f"video {video!r}: a score is NaN, so its detections have no order")
    return found


def _instances(videos: Sequence[Video], classes: tuple[str, ...]) -> tuple[Int64, Float64]:
    """Return key (class * V + video) and segment of every instance, by key."""
    code = {name: number for number, name in enumerate(classes)}
    keys, segments = [], []
    for number, video in enumerate(videos):
        for start, end, label in video.instances():
            if not label:
                continue
            keys.append(code[label] * len(videos) + number)
            segments.append((start, end))
    key = np.array(keys, np.int64)
    order = np.argsort(key, kind="stable")
    return key[order], np.array(segments, np.float64).reshape(-1, 2)[order]


def _detections(
    videos: Sequence[Video], found: Mapping[str, Detections], classes: tuple[str, ...]
) -> tuple[Int64, Proposals, dict[str, int]]:
    """Return key and segment of each detection of a known class, by class and falling score."""
    code = {name: number for number, name in enumerate(classes)}
    unknown: Counter[str] = Counter()
    keys, parts = [np.empty(0, np.int64)], [Proposals(*np.empty((3, 0)))]
    codes: dict[tuple[str, ...], Int64] = {}  # most videos share their names
    for number, video in enumerate(videos):
        detections = found.get(video.id)
        if detections is None:
            continue
        if detections.names not in codes:
            of_names = [code.get(name, -1) for name in detections.names]
            codes[detections.names] = np.array(of_names, np.int64)
        label = codes[detections.names][detections.label]
        good = label >= 0
        if not good.all():
            unknown.update(detections[~good].labels)
        keys.append(label[good] * len(videos) + number)
        parts.append(detections.segments[good])
    key, segments = np.concatenate(keys), Proposals.concat(parts)
    if not len(key):
        raise ResultError(
            f"no detections of a known class in any of the {len(videos)} evaluated videos: they "
            f"have {listed(unknown) or 'no labels'}; the ground truth {listed(classes)}"
        )
    order = np.lexsort((-segments.score, key // len(videos)))
    return key[order], segments[order], dict(unknown)


def _class_offsets(key: Int64, classes: int, videos: int) -> Int64:
    return np.searchsorted(key // videos, np.arange(classes + 1), "left")


def _unsure(videos: Sequence[Video], video: Int64, segments: Proposals) -> Bool:
    """Return which detections touch an ignored segment of their video, (D,) bool."""
    unsure = np.zeros(len(video), np.bool_)
    for number, each in enumerate(videos):
        for start, end in each.ignored.tolist():
            inside = np.flatnonzero(video == number)
            unsure[inside] |= (segments.start[inside] < end) & (segments.end[inside] > start)
    return unsure
