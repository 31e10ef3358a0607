"""Instances and detections of all videos as flat arrays, in matching order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actspan.config.base import OnError
from actspan.core.errors import AnnotationError, ResultError
from actspan.core.problems import Problem
from actspan.core.types import Float64, Proposals, Video
from actspan.core.wording import counted, listed
from actspan.data.detections import Detections, read_detections
from actspan.data.names import FileNames
from actspan.evaluation.counting import Int64
from actspan.evaluation.input_checks import impossible_results, no_match_error, repeated_results
from actspan.evaluation.inputs import known_ids, load_blocked, load_videos

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Inputs of a detection task: L classes, M instances, D detections, V videos.

    `problems` and the fields from `unknown` to `notes` are those of `DetectionResult`.
    """

    classes: tuple[str, ...]  # sorted
    truth_start: Float64  # (M,), by class, then by video
    truth_end: Float64  # (M,)
    truth_of: Int64  # (M,), their videos
    truth_offsets: Int64  # (L + 1,), class l has the instances offsets[l] <= i < offsets[l + 1]
    offsets: Int64  # (L + 1,), the same for detections
    start: Float64  # (D,), by class, best first
    end: Float64  # (D,)
    video: Int64  # (D,), their videos
    first: Int64  # (D,), detection d meets the instances first[d] <= i < last[d] of its class
    last: Int64  # (D,), and video
    unsure: Bool  # (D,), whether it touches an ambiguous segment (`Video.ignored`)
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

    def counted(self, hit: Bool) -> Bool:
        """Return which detections are right or wrong at each threshold, (K, D) bool."""
        counted: Bool = hit | ~self.unsure
        return counted


def load_labelled(
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
    found = _load_detections(detections, known, files)
    classes = tuple(sorted({name for video in videos for name in video.labels} - {""}))
    if not classes:
        raise AnnotationError(
            f"{chosen.where}the instances have no labels, which detections are judged by; evaluate "
            "proposals instead"
        )
    if not any(video.id in found for video in videos):
        ids = [video.id for video in videos]
        raise no_match_error("detections", ground_truth, subset, ids, found)
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
        truth_offsets=np.searchsorted(truth_key // count, np.arange(len(classes) + 1)),
        offsets=np.searchsorted(key // count, np.arange(len(classes) + 1)),
        start=segments.start,
        end=segments.end,
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
            *repeated_results(
                "detection", segments.start, segments.end, np.flatnonzero(np.diff(key)) + 1
            ),
            *impossible_results(segments.start, segments.end, beyond),
        ),
    )


def _unlabelled(videos: Sequence[Video]) -> Iterator[str]:
    """Yield a note about instances without a label, if there are any."""
    labels = [label for video in videos for label in video.labels]
    if none := labels.count(""):
        of = f"{none:,} of {counted(len(labels), 'instance')}"
        yield f"{of} without a label: they are of no class, and not evaluated"


def _load_detections(
    source: Path | str | Mapping[str, Detections], known: Container[str], files: FileNames
) -> dict[str, Detections]:
    """Return the detections of each video in seconds, under the ids of the ground truth."""
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
            if label:
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


def _unsure(videos: Sequence[Video], video: Int64, segments: Proposals) -> Bool:
    """Return which detections touch an ignored segment of their video, (D,) bool."""
    unsure = np.zeros(len(video), np.bool_)
    for number, each in enumerate(videos):
        for start, end in each.ignored.tolist():
            inside = np.flatnonzero(video == number)
            unsure[inside] |= (segments.start[inside] < end) & (segments.end[inside] > start)
    return unsure
