"""Instances and detections of all videos as flat arrays, and their matching."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actspan.config.base import OnError
from actspan.core.errors import AnnotationError, ResultError
from actspan.core.kernels import evaluated_tiou, kernel
from actspan.core.segments import Proposals
from actspan.core.types import Float64, Video
from actspan.core.wording import counted, listed
from actspan.data.detections import Detections, read_detections
from actspan.data.names import FileNames
from actspan.data.videos import Videos
from actspan.evaluation.counting import Int64
from actspan.evaluation.input_checks import no_match_error, useless_results
from actspan.evaluation.inputs import EvaluatedData, by_known_id, load_blocked, load_videos

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DetectionInputs(EvaluatedData):
    """Inputs of a detection task: L classes, M instances, D detections, V videos."""

    classes: tuple[str, ...]  # sorted
    truth_start: Float64  # (M,), by class, then by video
    truth_end: Float64  # (M,)
    truth_video: Int64  # (M,), their videos
    truth_offsets: Int64  # (L + 1,), class l has the instances offsets[l] <= i < offsets[l + 1]
    offsets: Int64  # (L + 1,), the same for detections
    start: Float64  # (D,), by class, best first
    end: Float64  # (D,)
    video: Int64  # (D,), their videos
    first: Int64  # (D,), detection d meets the instances first[d] <= i < last[d] of its class
    last: Int64  # (D,), and video
    touches_ignored: Bool  # (D,), whether it touches an ambiguous segment (`Video.ignored`)
    unknown: Mapping[str, int]  # as in `DetectionResult`

    @property
    def instances(self) -> Int64:
        """Number of instances per class, (L,)."""
        return np.diff(self.truth_offsets)

    def counted(self, hit: Bool) -> Bool:
        """Return which detections are right or wrong at each threshold, (K, D) bool."""
        counted: Bool = hit | ~self.touches_ignored
        return counted


def load_detection_inputs(
    ground_truth: Path | str | Iterable[Video],
    detections: Path | str | Mapping[str, Detections],
    subset: str | None,
    blocked: Path | str | Iterable[str] | None,
    on_error: OnError,
) -> DetectionInputs:
    """Load both inputs as flat arrays; options and errors are those of `evaluate_detection`."""
    left_out = load_blocked(blocked)
    chosen = load_videos(ground_truth, subset, left_out, on_error)
    ids = chosen.videos.ids
    videos = chosen.videos.select(sorted(range(len(ids)), key=ids.__getitem__))
    files = FileNames()
    by_id = detections
    if isinstance(by_id, (str, os.PathLike)):
        by_id = read_detections(by_id, files)
    matched = by_known_id(by_id, videos.indices, "detections")
    classes = tuple(sorted(set(videos.labels) - {""}))
    if not classes:
        raise AnnotationError(
            f"{chosen.where}the instances have no labels, which detections are compared with; "
            "evaluate proposals instead"
        )
    if videos.indices.keys().isdisjoint(matched):
        raise no_match_error("detections", chosen.source, subset, videos.ids, matched)
    code = {name: number for number, name in enumerate(classes)}
    truth_key, truth = _instances(videos, code)
    key, segments, unknown = _detections(videos, matched, code)
    count = len(videos)
    first = np.flatnonzero(np.diff(key)) + 1
    beyond = int(np.count_nonzero(segments.start >= videos.durations[key % count]))
    filled = zip(videos.ids, videos.counts.tolist(), strict=True)
    return DetectionInputs(
        classes=classes,
        truth_start=np.ascontiguousarray(truth[:, 0]),
        truth_end=np.ascontiguousarray(truth[:, 1]),
        truth_video=truth_key % count,
        truth_offsets=np.searchsorted(truth_key // count, np.arange(len(classes) + 1)),
        offsets=np.searchsorted(key // count, np.arange(len(classes) + 1)),
        start=segments.start,
        end=segments.end,
        video=key % count,
        first=np.searchsorted(truth_key, key, "left"),
        last=np.searchsorted(truth_key, key, "right"),
        touches_ignored=_unsure(videos, key % count, segments),
        videos=count,
        unknown=unknown,
        missing=tuple(name for name, number in filled if number and not len(matched.get(name, ()))),
        extra=tuple(
            name for name in matched if name not in videos.indices and name not in left_out
        ),
        problems=chosen.problems,
        notes=(
            *chosen.notes,
            *files.notes(detections),
            *_note_unlabelled(videos.labels),
            *useless_results("detection", segments.start, segments.end, first, beyond),
        ),
    )


def _note_unlabelled(labels: Sequence[str]) -> Iterator[str]:
    """Yield a note about instances without a label, if there are any."""
    if none := labels.count(""):
        of = f"{none:,} of {counted(len(labels), 'instance')}"
        yield f"{of} without a label: they are of no class, and not evaluated"


def _instances(videos: Videos, code: Mapping[str, int]) -> tuple[Int64, Float64]:
    """Return key (class * V + video) and segment of every labelled instance, by key."""
    label = np.array([code.get(name, -1) for name in videos.labels], np.int64)
    key = label * len(videos) + np.repeat(np.arange(len(videos)), videos.counts)
    order = np.argsort(key, kind="stable")[np.count_nonzero(label < 0) :]
    return key[order], videos.segments[order]


def _detections(
    videos: Videos, detections_by_id: Mapping[str, Detections], code: Mapping[str, int]
) -> tuple[Int64, Proposals, dict[str, int]]:
    """Return key and segment of each detection of a known class, by class and falling score."""
    unknown: Counter[str] = Counter()
    keys, parts = [], []
    codes: dict[tuple[str, ...], Int64] = {}  # most videos share their names
    for number, video in enumerate(videos.ids):
        if (detections := detections_by_id.get(video)) is None:
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
    touches_ignored = np.zeros(len(video), np.bool_)
    for number, each in enumerate(videos):
        for start, end in each.ignored.tolist():
            inside = np.flatnonzero(video == number)
            touches_ignored[inside] |= (segments.start[inside] < end) & (
                segments.end[inside] > start
            )
    return touches_ignored


def match(labelled: DetectionInputs, thresholds: Float64) -> Bool:
    """Return which detections take an instance at which threshold, (K, D) bool."""
    hit: Bool = match_greedily(
        labelled.start,
        labelled.end,
        labelled.first,
        labelled.last,
        labelled.truth_start,
        labelled.truth_end,
        thresholds,
    )
    return hit


@kernel
def match_greedily(
    start: Float64,
    end: Float64,
    first: Int64,
    last: Int64,
    truth_start: Float64,
    truth_end: Float64,
    thresholds: Float64,
) -> Bool:
    """Match each detection, best first, with the free instance that it overlaps most.

    An instance is taken once per threshold. Of two with equal overlap the later is taken, because
    the published evaluator walks through the instances in reversed ascending order of overlap.
    Arrays are those of `DetectionInputs`; thresholds (K,) are positive and ascending.
    """
    hit = np.zeros((len(thresholds), len(start)), np.bool_)
    is_matched = np.zeros((len(thresholds), len(truth_start)), np.bool_)
    most = 0
    for d in range(len(start)):
        most = max(most, last[d] - first[d])
    overlap = np.empty(most)
    for d in range(len(start)):
        count = last[d] - first[d]
        best = 0.0
        for i in range(count):
            j = first[d] + i
            overlap[i] = evaluated_tiou(start[d], end[d], truth_start[j], truth_end[j])
            best = max(best, overlap[i])
        for t in range(len(thresholds)):
            if best < thresholds[t]:
                break
            chosen = -1
            for i in range(count):
                if overlap[i] < thresholds[t] or is_matched[t, first[d] + i]:
                    continue
                if chosen < 0 or overlap[i] >= overlap[chosen]:
                    chosen = i
            if chosen >= 0:
                is_matched[t, first[d] + chosen] = True
                hit[t, d] = True
    return hit


@kernel
def average_precision(hit: Bool, counted: Bool, offsets: Int64, instances: Int64) -> Float64:
    """Compute the area under each class's interpolated precision over recall.

    Precision at a recall is the highest precision at that recall or a higher one.

    Parameters
    ----------
    hit, counted : (K, D) bool
        Detections that took an instance, and those that count, by class, best first.
    offsets : (L + 1,) int64
        Class l has the detections offsets[l] <= d < offsets[l + 1].
    instances : (L,) int64
        At least one per class.

    Returns
    -------
    (K, L) float64
    """
    out = np.zeros((hit.shape[0], len(instances)))
    for t in range(hit.shape[0]):
        for label in range(len(instances)):
            hits, seen = 0, 0
            for d in range(offsets[label], offsets[label + 1]):
                hits += hit[t, d]
                seen += counted[t, d]
            best = 0.0
            for d in range(offsets[label + 1] - 1, offsets[label] - 1, -1):
                if not counted[t, d]:
                    continue
                if hit[t, d]:  # from the end: the precision here, and the best one from here on
                    best = max(best, hits / seen)
                    out[t, label] += best
                    hits -= 1
                seen -= 1
            out[t, label] /= instances[label]
    return out
