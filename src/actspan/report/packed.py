"""Data of the timelines of a page: small and quantised, as JSON that contains base64.

{"runs": ["run", ...], "labels": ["jump", ...],
 "videos": [{"id": "a", "seconds": 61.5, "truth": F32, "labels": [0, ...],
             "auc": [83.1, ...], "missed": [0, ...],
             "runs": [{"span": 60.0, "curves": U8, "proposals": F32, "labels": [0, ...]}, ...]}]}

F32 is base64 of little-endian float32, in seconds: all starts, then all ends, then all scores, if
there are any. U8 is base64 of bytes, 255 for a probability of 1: action, start, end in turn. Labels
are indices into the list of labels, -1 for none.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from actspan.core.types import BoundaryScores, Float32, Float64, Proposals, Video
from actspan.data.scores import ScoreFiles
from actspan.report.contents import Contents, Side
from actspan.report.videos import Listing

PROPOSALS = 10  # drawn per video and run
_FEWEST, _MOST = 50, 400  # columns of a curve
_ALL_COLUMNS = 2_000_000  # columns of all curves of a page, 4 characters each


def pack(contents: Contents, listing: Listing) -> dict[str, Any]:
    """Return everything that the page's script needs, ready for JSON.

    Raises
    ------
    ResultError
        Boundary scores or candidates of a run are damaged.
    """
    shown = max(len(listing.videos) * len(contents.sides), 1)
    columns = min(max(_ALL_COLUMNS // shown, _FEWEST), _MOST)
    labels = _Labels()
    with ExitStack() as stack:
        packers = [_Packer(side, columns, labels, stack) for side in contents.sides]
        videos = [
            _video(video, [packer.pack(video.id) for packer in packers], labels)
            | {"auc": _figures(listing.auc[:, v], 1), "missed": _figures(listing.missed[:, v], 0)}
            for v, video in enumerate(listing.videos)
        ]
    return {
        "runs": [side.name for side in contents.sides],
        "labels": list(labels.codes),
        "videos": videos,
    }


class _Labels:
    """Numbers of labels, in order of first use."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}

    def __call__(self, names: Sequence[str]) -> list[int]:
        return [self.codes.setdefault(name, len(self.codes)) if name else -1 for name in names]


class _Packer:
    """Packer of one run's curves and proposals, video by video."""

    def __init__(self, side: Side, columns: int, labels: _Labels, stack: ExitStack) -> None:
        self._side, self._columns, self._labels = side, columns, labels
        self._scores: ScoreFiles | None = None
        if side.run is not None and side.spans:
            self._scores = stack.enter_context(side.run.scores())

    def pack(self, video: str) -> dict[str, Any]:
        packed: dict[str, Any] = {}
        span = self._side.spans.get(video)
        if self._scores is not None and span is not None:
            packed["span"] = round(span, 3)
            packed["curves"] = _curves(self._scores.read(video), self._columns)
        found = self._side.proposals.get(video, Proposals.empty())
        best = found[np.argsort(-found.score, kind="stable")[:PROPOSALS]]
        packed["proposals"] = _floats(best.start, best.end, best.score)
        if video in self._side.detections:
            packed["labels"] = self._labels(self._names(video, best))
        return packed

    def _names(self, video: str, best: Proposals) -> list[str]:
        """Return the best label of each proposal among the detections, or ""."""
        names: dict[tuple[float, float], str] = {}
        ranked = self._side.detections[video].ranked()
        places = zip(ranked.segments.start.tolist(), ranked.segments.end.tolist(), strict=True)
        for place, label in zip(places, ranked.labels, strict=True):
            names.setdefault(place, label)
        return [names.get(p, "") for p in zip(best.start.tolist(), best.end.tolist(), strict=True)]


def _video(video: Video, runs: list[dict[str, Any]], labels: _Labels) -> dict[str, Any]:
    start, end = video.segments.T
    seconds = None if np.isnan(video.duration) else round(video.duration, 3)
    return {
        "id": video.id,
        "seconds": seconds,
        "truth": _floats(start, end),
        "labels": labels(video.labels),
        "runs": runs,
    }


def _curves(scores: BoundaryScores, columns: int) -> str:
    stacked: Float32 = np.asarray(scores)  # (3, T)
    if stacked.shape[1] > columns:  # keep maxima, so that peaks stay visible
        edges = np.linspace(0, stacked.shape[1], columns, endpoint=False).astype(np.int64)
        stacked = np.maximum.reduceat(stacked, edges, axis=1)
    return _base64(np.round(255 * np.clip(stacked, 0, 1)).astype(np.uint8))


def _floats(*columns: Float64) -> str:
    return _base64(np.concatenate(columns).astype("<f4"))


def _base64(array: np.ndarray) -> str:
    return b64encode(array.tobytes()).decode("ascii")


def _figures(values: Float64, digits: int) -> list[float | None]:
    """Return rounded values with None for NaN, which JSON lacks."""
    return [None if np.isnan(value) else round(value, digits) for value in values.tolist()]
