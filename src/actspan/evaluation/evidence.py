"""Data of a run about each evaluated video: pairs of peaks, candidates, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import numpy as np

from actspan.config.stages import PipelineConfig, TemConfig
from actspan.core.errors import ResultError
from actspan.core.tiou import evaluated_tiou_matrix
from actspan.core.types import BoundaryScores, Float32, Float64, Proposals, Video
from actspan.data.recording import plan_windows
from actspan.jobs.run import Candidates, Run
from actspan.proposals.bsp import bsp_features
from actspan.proposals.candidates import fuse, generate_proposals

Rate = Callable[[Float32], Float32]  # maps BSP features (N, 32) to PEM's scores (N,)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Data of one video at the stages of the pipeline.

    Attributes
    ----------
    video : Video
    instances : (M, 2) float64
        In the unit of `candidates`.
    candidates : Proposals
        Candidates with their fused score, before suppression. Positions are fractions of
        the span, or seconds in window mode.
    cut : Proposals
        Pairs of peaks that the top-K cut removed, the same; without PEM's scores they are ranked
        by start score x end score.
    scale : float
        Seconds per unit.
    span : float
        Span that counts as 1 in Soft-NMS, in units.
    cell, limit : float, int
        Seconds per cell, and the largest number of cells from start to end of a pair.
    cells : int
        Number of cells of the whole video.
    """

    video: Video
    instances: Float64
    candidates: Proposals
    cut: Proposals
    scale: float
    span: float
    cell: float
    limit: int
    cells: int


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Content of a run's files about one video, before anything is computed from it."""

    video: Video
    parts: list[Candidates]  # the whole video, or its windows in order
    scores: BoundaryScores


def read_found(run: Run, videos: Mapping[str, Video]) -> Iterator[Found]:
    """Yield the evaluated videos of a run, in the run's order.

    Raises
    ------
    ResultError
        Candidates or boundary scores are missing or damaged.
    """
    with run.scores() as scores:
        for name, parts in groupby(run.candidates(), key=attrgetter("video")):
            if name in videos:
                yield Found(videos[name], list(parts), scores.read(name))


def make_evidence(found: Found, config: PipelineConfig, rate: Rate | None) -> Evidence:
    """Return a video's parts in one unit, with the pairs that were cut computed again."""
    if config.mode == "window":
        return _of_windows(found, config, rate)
    (part,) = found.parts
    pairs = generate_proposals(found.scores, config.pgm)
    cells = len(found.scores)
    return Evidence(
        video=found.video,
        instances=found.video.segments / part.seconds,
        candidates=_ranked(part),
        cut=_rated(pairs[config.pgm.keep :], found.scores, config, rate),
        scale=part.seconds,
        span=1.0,
        cell=part.seconds / cells,
        limit=cells - 1,
        cells=cells,
    )


def _of_windows(found: Found, config: PipelineConfig, rate: Rate | None) -> Evidence:
    length = (config.tem or TemConfig()).length
    windows = list(plan_windows(len(found.scores), length))
    if len(windows) != len(found.parts):
        raise ResultError(
            f"{found.video.id}: {len(found.parts)} windows of candidates, but scores for "
            f"{len(windows)}; the run is damaged: propose again"
        )
    cell = found.parts[0].seconds / len(windows[0])
    cut = []
    for window, part in zip(windows, found.parts, strict=True):
        scores = found.scores[window.first : window.last]
        pairs = generate_proposals(scores, config.pgm, inner_edges=window.inner_edges())
        rated = _rated(pairs[config.pgm.keep :], scores, config, rate)
        cut.append(_placed(rated, part))
    return Evidence(
        video=found.video,
        instances=found.video.segments,
        candidates=Proposals.concat(_placed(_ranked(part), part) for part in found.parts),
        cut=Proposals.concat(cut),
        scale=1.0,
        span=length * cell,
        cell=cell,
        limit=min(length, len(found.scores)) - 1,
        cells=len(found.scores),
    )


def _ranked(part: Candidates) -> Proposals:
    return part.proposals.with_score(fuse(part.proposals, part.confidence))


def _rated(
    pairs: Proposals, scores: BoundaryScores, config: PipelineConfig, rate: Rate | None
) -> Proposals:
    if rate is None or not len(pairs):
        return pairs
    return pairs.with_score(fuse(pairs, rate(bsp_features(scores, pairs, config.bsp))))


def _placed(proposals: Proposals, part: Candidates) -> Proposals:
    """Return proposals in fractions of a window as seconds of the recording."""
    return Proposals(
        part.offset + proposals.start * part.seconds,
        part.offset + proposals.end * part.seconds,
        proposals.score,
        proposals.start_score,
        proposals.end_score,
    )


def reachable(evidence: Evidence) -> Float64:
    """Return the largest tIoU of any two cells with each instance, regardless of TEM; (M,)."""
    last = evidence.cells - 1
    segments = evidence.video.segments
    below = np.floor(segments / evidence.cell - 0.5)  # (M, 2)
    best = np.zeros(len(below))
    for to_start in (0, 1):
        for to_end in (0, 1):
            start = np.clip(below[:, 0] + to_start, 0, last)
            end = np.minimum(np.clip(below[:, 1] + to_end, 0, last), start + evidence.limit)
            low, high = (start + 0.5) * evidence.cell, (end + 0.5) * evidence.cell
            overlap = evaluated_tiou_matrix(low, high, *segments.T).diagonal()
            best = np.maximum(best, np.where(end > start, overlap, 0.0))
    return best
