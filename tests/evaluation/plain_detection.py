"""Average mAP written down from the rule, a detection at a time: what the fast one must equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actspan import Video
from actspan.data.detections import Detections


def plain_tiou(a: tuple[float, float], b: tuple[float, float]) -> float:
    inter = max(min(a[1], b[1]) - max(a[0], b[0]), 0.0)
    union = (b[1] - b[0]) + (a[1] - a[0]) - inter
    return inter / union if union > 0 else 0.0


def plain_average_precision(right: Sequence[bool], instances: int) -> float:
    """Interpolate: at every recall the best precision at that recall or a higher one."""
    points = []
    hits = 0
    for seen, is_right in enumerate(right, start=1):
        hits += is_right
        points.append((hits / instances, hits / seen))
    area, before = 0.0, 0.0
    for recall in sorted({r for r, _ in points}):
        area += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return area


def plain_detection(
    videos: Sequence[Video], detections: Mapping[str, Detections], thresholds: Sequence[float]
) -> dict[str, list[float]]:
    """Return AP of every class at every threshold."""
    classes = sorted({label for video in videos for label in video.labels})
    answer = {}
    for name in classes:
        rows = []
        for video in sorted(videos, key=lambda v: v.id):
            if video.id not in detections:
                continue
            found = detections[video.id]
            columns = (found.segments.start, found.segments.end, found.segments.score)
            for start, end, score, label in zip(
                *(column.tolist() for column in columns), found.labels, strict=True
            ):
                if label == name:
                    rows.append((score, video, (start, end)))
        rows.sort(key=lambda row: -row[0])
        instances = sum(video.labels.count(name) for video in videos)
        answer[name] = [
            plain_average_precision(_right(rows, name, threshold), instances)
            for threshold in thresholds
        ]
    return answer


def _right(rows: list, name: str, threshold: float) -> list[bool]:
    taken: set[tuple[str, int]] = set()
    right = []
    for _, video, segment in rows:
        free = [
            (plain_tiou(segment, (start, end)), number)
            for number, (start, end, label) in enumerate(video.instances())
            if label == name and (video.id, number) not in taken
        ]
        best = max(free, default=(0.0, -1))  # of equal overlaps the later instance
        is_right = best[0] >= threshold
        if is_right:
            taken.add((video.id, best[1]))
        elif any(s < segment[1] and e > segment[0] for s, e in video.ignored.tolist()):
            continue
        right.append(is_right)
    return right
