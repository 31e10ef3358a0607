"""Data of the page's script, as JSON that contains base64.

{"runs": ["run", ...], "labels": ["jump", ...], "tiou": 0.5, "rows": 10,
 "viewer": "http://host:8000/",
 "videos": [{"id": "a", "end": 61.5, "truth": F32, "labels": [0, ...],
             "auc": [83.1, ...], "missed": [0, ...],
             "runs": [{"span": 60.0, "curves": U8, "proposals": F32, "labels": [0, ...],
                       "ranks": [2, -1, ...], "hits": [0, 1, ...]}, ...]}]}

F32 is base64 of little-endian float32, in seconds: all starts, then all ends, then all scores, if
there are any. U8 is base64 of bytes, 255 for a probability of 1: action, then start, then end.
Labels are indices into the list of labels, -1 for none. `rows` is the largest number of proposals
of a video, `end` the last second of anything that is drawn of it. `ranks` has for each instance the
first proposal, from 0, that reaches `tiou`, -1 if none does; `hits` has a 1 for each proposal that
reaches it with any instance.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from actspan.core.segments import Proposals
from actspan.core.types import BoundaryScores, Float32, Float64, Video
from actspan.data.scores import ScoreFiles
from actspan.report.contents import Contents, EvaluatedRun
from actspan.report.video_list import VideoList

PROPOSALS = 10  # drawn per video and run
_FEWEST, _MOST = 50, 400  # columns of a curve
_ALL_COLUMNS = 2_000_000  # columns of all curves of a page, 4 characters each


def pack(contents: Contents, listing: VideoList, viewer: str = "") -> dict[str, Any]:
    """Return everything that the page's script needs, ready for JSON; raise ResultError.

    `viewer` is the address of the viewer to link to, "" for none.
    """
    labels = _Labels()
    shown = max(len(listing.videos) * len(contents.runs), 1)
    columns = min(max(_ALL_COLUMNS // shown, _FEWEST), _MOST)
    with _open_scores(contents) as archives:
        videos = []
        for v, video in enumerate(listing.videos):
            best = [run.best(video.id)[:PROPOSALS] for run in contents.runs]
            parts = zip(contents.runs, archives, best, strict=True)
            videos.append(
                {
                    "id": video.id,
                    "end": _last_second(contents, video, best),
                    "truth": _floats(*video.segments.T),
                    "labels": labels.code(video.labels),
                    "runs": [
                        _curves_of(run, scores, video.id, columns)
                        | _proposals_of(run, video, shown, labels)
                        for run, scores, shown in parts
                    ],
                    "auc": _round_values(listing.auc[:, v], 1),
                    "missed": _round_values(listing.missed[:, v], 0),
                }
            )
    first = contents.runs[0].recall
    counts = [len(run.proposals.get(v.id, ())) for run in contents.runs for v in listing.videos]
    return {
        "runs": [run.name for run in contents.runs],
        "labels": list(labels.codes),
        "tiou": None if first is None else float(first.tiou[0]),
        "rows": min(max(counts, default=0), PROPOSALS),
        "viewer": viewer,
        "videos": videos,
    }


class _Labels:
    """Numbers of labels, in order of first use."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}

    def code(self, labels: Iterable[str]) -> list[int]:
        return [self.codes.setdefault(x, len(self.codes)) if x else -1 for x in labels]


@contextmanager
def _open_scores(contents: Contents) -> Iterator[list[ScoreFiles | None]]:
    """Open the boundary scores of the runs that have them."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(run.folder.scores()) if run.folder and run.spans else None
            for run in contents.runs
        ]


def _curves_of(
    run: EvaluatedRun, scores: ScoreFiles | None, video: str, columns: int
) -> dict[str, Any]:
    if scores is None or video not in run.spans:
        return {}
    return {"span": round(run.spans[video], 3), "curves": _curves(scores.read(video), columns)}


def _proposals_of(
    run: EvaluatedRun, video: Video, best: Proposals, labels: _Labels
) -> dict[str, Any]:
    packed: dict[str, Any] = {"proposals": _floats(best.start, best.end, best.score)}
    if video.id in run.detections:
        packed["labels"] = labels.code(run.detections[video.id].best_labels(best))
    if (matches := run.matches(video)) is not None:
        packed["ranks"] = matches.rank.tolist()
        packed["hits"] = (matches.instance[:PROPOSALS] >= 0).astype(int).tolist()
    return packed


def _last_second(contents: Contents, video: Video, best: Sequence[Proposals]) -> float:
    """Return the end of a video, or of what is drawn of it if that is later or it is unknown."""
    ends: list[float] = [0.1, *video.segments[:, 1].tolist()]
    if not math.isnan(video.duration):
        ends.append(video.duration)
    for run, proposals in zip(contents.runs, best, strict=True):
        ends += [run.spans.get(video.id, 0.0), *proposals.end.tolist()]
    return round(max(ends), 3)


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


def _round_values(values: Float64, digits: int) -> list[float | None]:
    """Return rounded values with None for NaN, which JSON lacks."""
    return [None if np.isnan(value) else round(value, digits) for value in values.tolist()]
