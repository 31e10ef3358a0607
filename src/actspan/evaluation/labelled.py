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
from actspan.core.types import Float64, Proposals, Video
from actspan.core.wording import counted, listed
from actspan.data.detections import Detections, read_detections
from actspan.data.names import FileNames
from actspan.data.videos import Videos
from actspan.evaluation.counting import Int64
from actspan.evaluation.input_checks import impossible_results, no_match_error, repeated_results
from actspan.evaluation.inputs import Evaluated, known_ids, load_blocked, load_videos

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Labelled(Evaluated):
    """Inputs of a detection task: L classes, M instances, D detections, V videos."""

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
    unknown: Mapping[str, int]  # as in `DetectionResult`

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
    ids = chosen.videos.ids
    videos = chosen.videos.select(sorted(range(len(ids)), key=ids.__getitem__))
    files = FileNames()
    found = _load_detections(detections, videos.places, files)
    classes = tuple(sorted(set(videos.labels) - {""}))
    if not classes:
        raise AnnotationError(
            f"{chosen.where}the instances have no labels, which detections are compared with; "
            "evaluate proposals instead"
        )
    if videos.places.keys().isdisjoint(found):
        raise no_match_error("detections", ground_truth, subset, videos.ids, found)
    code = {name: number for number, name in enumerate(classes)}
    truth_key, truth = _instances(videos, code)
    key, segments, unknown = _detections(videos, found, code)
    count = len(videos)
    beyond = int(np.count_nonzero(segments.start >= videos.durations[key % count]))
    filled = zip(videos.ids, videos.counts.tolist(), strict=True)
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
        missing=tuple(name for name, number in filled if number and not len(found.get(name, ()))),
        extra=tuple(name for name in found if name not in videos.places and name not in left_out),
        problems=chosen.problems,
        notes=(
            *chosen.notes,
            *files.notes(detections),
            *_unlabelled(videos.labels),
            *repeated_results(
                "detection", segments.start, segments.end, np.flatnonzero(np.diff(key)) + 1
            ),
            *impossible_results(segments.start, segments.end, beyond),
        ),
    )


def _unlabelled(labels: Sequence[str]) -> Iterator[str]:
    """Yield a note about instances without a label, if there are any."""
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


def _instances(videos: Videos, code: Mapping[str, int]) -> tuple[Int64, Float64]:
    """Return key (class * V + video) and segment of every labelled instance, by key."""
    label = np.array([code.get(name, -1) for name in videos.labels], np.int64)
    key = label * len(videos) + np.repeat(np.arange(len(videos)), videos.counts)
    order = np.argsort(key, kind="stable")[np.count_nonzero(label < 0) :]
    return key[order], videos.segments[order]


def _detections(
    videos: Videos, found: Mapping[str, Detections], code: Mapping[str, int]
) -> tuple[Int64, Proposals, dict[str, int]]:
    """Return key and segment of each detection of a known class, by class and falling score."""
    unknown: Counter[str] = Counter()
    keys, parts = [], []
    codes: dict[tuple[str, ...], Int64] = {}  # most videos share their names
    for number, video in enumerate(videos.ids):
        if (detections := found.get(video)) is None:
            continue
        names = detections.names
        if names not in codes:
            codes[names] = np.array([code.get(name, -1) for name in names], np.int64)
        label = codes[names][detections.label]
        good = label >= 0
        if not good.all():
            unknown.update(detections[~good].labels)
        keys.append(label[good] * len(videos) + number)
        parts.append(detections.segments[good])
    key, segments = np.concatenate(keys), Proposals.concat(parts)
    if not len(key):
        raise ResultError(
            f"no detections of a known class in any of the {len(videos)} evaluated videos: they "
            f"have {listed(unknown) or 'no labels'}; the ground truth {listed(code)}"
        )
    order = np.lexsort((-segments.score, key // len(videos)))
    return key[order], segments[order], dict(unknown)


def _unsure(videos: Videos, video: Int64, segments: Proposals) -> Bool:
    """Return which detections touch an ignored segment of their video, (D,) bool."""
    unsure = np.zeros(len(video), np.bool_)
    for number, each in enumerate(videos):
        for start, end in each.ignored.tolist():
            inside = np.flatnonzero(video == number)
            unsure[inside] |= (segments.start[inside] < end) & (segments.end[inside] > start)
    return unsure
