"""Stages at which a run loses instances, and what perfect stages would find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple, Self

import msgspec
import numpy as np

from actspan.config.bmn import BmnConfig
from actspan.config.stages import FusionConfig, PipelineConfig, SoftNmsConfig
from actspan.core.errors import ResultError
from actspan.core.segments import Proposals
from actspan.core.tiou import evaluated_tiou_matrix, tiou_matrix
from actspan.core.types import BoundaryScores, Float32, Float64, Video
from actspan.data.cells import plan_windows
from actspan.data.videos import Videos
from actspan.evaluation.counting import Int64
from actspan.jobs.candidate_files import Candidates
from actspan.jobs.run import Run
from actspan.proposals.bsp import bsp_features
from actspan.proposals.candidates import fuse, generate_proposals, match_instances, rank
from actspan.proposals.matching import match_boundaries
from actspan.proposals.suppression import soft_nms

# In the order of the pipeline. An instance is lost at the first stage that leaves nothing for it.
STAGES = ("video", "resolution", "boundaries", "top-k", "ranking", "suppression")
_USEFUL = 0.5  # tIoU from which a candidate belongs to an instance; the lowest threshold of AR

Rate = Callable[[Float32], Float32]  # maps BSP features (N, 32) to PEM's scores (N,)


@dataclass(frozen=True, slots=True, eq=False)
class RunVideo:
    """Content of a run's files about one video, before anything is computed from it."""

    video: Video
    parts: list[Candidates]  # the whole video, or its windows in order
    scores: BoundaryScores


class Grid(NamedTuple):
    """Positions, in cells, at which candidates start and end: `first`, `first` + 1, and so on."""

    first: float  # 0.5 for the centres of cells (BSN), 0 for their borders (BMN)
    last: int  # number of the last one of the video
    longest: int  # largest number of cells from start to end
    is_fine: bool = False  # True if candidates start and end anywhere between `first` and `last`

    @classmethod
    def of(cls, config: PipelineConfig, cells: int, seen: int) -> Self:
        """Return the grid of a video of some cells, of which the network sees `seen` at once."""
        if config.curves:
            return cls(0.0, cells, seen, is_fine=True)
        if config.bmn is None:
            return cls(0.5, cells - 1, seen - 1)
        unused = int(config.matching.end == "next")  # no cell follows the last one
        longest = seen - unused
        return cls(0.0, cells - unused, min(longest, config.bmn.durations or longest))


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Data of one video at the stages of the pipeline.

    The unit of positions is the span of the features, or seconds in window mode.
    """

    video: Video
    instances: Float64  # (M, 2), units
    candidates: Proposals  # before suppression, with their fused score
    cut: Proposals  # removed by top-K; without their network the score is of boundaries alone
    scale: float  # seconds per unit
    span: float  # counts as 1 in Soft-NMS, units
    cell: float  # seconds per cell
    grid: Grid  # of the whole video
    fusion: FusionConfig = field(default_factory=FusionConfig)  # how scores are combined

    def in_seconds(self, proposals: Proposals) -> Proposals:
        """Return proposals of the video in seconds."""
        return proposals if proposals.unit == "seconds" else proposals.to_seconds(self.scale)

    @property
    def uncut(self) -> Proposals:
        """All pairs of peaks."""
        return Proposals.concat([self.candidates, self.cut]) if len(self.cut) else self.candidates


def read_run_videos(run: Run, videos: Videos) -> Iterator[RunVideo]:
    """Yield the evaluated videos of a run, in the run's order."""
    with run.scores() as scores:
        for name, parts in groupby(run.candidates(), key=attrgetter("video")):
            if name in videos.indices:
                yield RunVideo(videos[videos.indices[name]], list(parts), scores.read(name))


def make_evidence(run_video: RunVideo, config: PipelineConfig, rate: Rate | None) -> Evidence:
    """Return a video's parts in one unit, with the pairs that were cut computed again."""
    parts, cells, first = run_video.parts, len(run_video.scores), run_video.parts[0]
    if config.mode != "window":
        span, scale, length, edges = 1.0, first.seconds, cells, [(0, cells, (False, False))]
    else:
        length = config.cells
        windows = list(plan_windows(cells, length))
        if len(windows) != len(parts):
            raise ResultError(
                f"{run_video.video.id}: {len(parts)} windows of candidates, but scores for "
                f"{len(windows)}; the run is damaged: propose again"
            )
        edges = [(window.first, window.last, window.inner_edges()) for window in windows]
        scale, span = 1.0, length * first.seconds / len(windows[0])
    candidates, cut = [], []
    for (first_cell, last_cell, inner), part in zip(edges, parts, strict=True):
        scores = run_video.scores[first_cell:last_cell]
        ranked = part.proposals.with_score(rank(part.proposals, part.confidence, config))
        if config.bmn is None:
            pairs = generate_proposals(scores, config.pgm, inner_edges=inner)[config.pgm.keep :]
            dropped = _with_scores(pairs, scores, config, rate)
        else:
            dropped = _dropped_from_map(scores, ranked, config, config.bmn, inner)
        if config.mode == "window":
            ranked, dropped = _in_seconds(ranked, part), _in_seconds(dropped, part)
        candidates.append(ranked)
        cut.append(dropped)
    return Evidence(
        video=run_video.video,
        instances=run_video.video.segments / scale,
        candidates=Proposals.concat(candidates),
        cut=Proposals.concat(cut),
        scale=scale,
        span=span,
        cell=first.seconds / (edges[0][1] - edges[0][0]),
        grid=Grid.of(config, cells, min(length, cells)),
        fusion=config.fusion,
    )


def _with_scores(
    pairs: Proposals, scores: BoundaryScores, config: PipelineConfig, rate: Rate | None
) -> Proposals:
    if rate is None or not len(pairs):
        return pairs
    confidence = rate(bsp_features(scores, pairs, config.bsp))
    return pairs.with_score(rank(pairs, confidence, config))


def _dropped_from_map(
    scores: BoundaryScores,
    kept: Proposals,
    config: PipelineConfig,
    bmn: BmnConfig,
    inner_edges: tuple[bool, bool],
) -> Proposals:
    """Return the candidates that `matching.keep` removed, without scores: a run has no map."""
    if config.matching.keep is None:
        return Proposals.empty("fraction")
    n = len(scores)
    empty_map = np.zeros((2, min(bmn.durations or n, n), n))
    select = msgspec.structs.replace(config.matching, keep=None)
    pairs = match_boundaries(
        empty_map, scores.start, scores.end, select, axes=bmn.axes, inner_edges=inner_edges
    )
    return pairs[~np.isin(pairs.start + 1j * pairs.end, kept.start + 1j * kept.end)]


def _in_seconds(proposals: Proposals, part: Candidates) -> Proposals:
    """Return proposals in fractions of a window as seconds of the recording."""
    start, end = (part.offset + x * part.seconds for x in (proposals.start, proposals.end))
    return replace(proposals, start=start, end=end, unit="seconds")


def best_of_any_cells(evidence: Evidence) -> Float64:
    """Return the largest tIoU of any two cells with each instance, whatever their scores; (M,)."""
    first, last, longest, is_fine = evidence.grid
    segments = evidence.video.segments
    if is_fine:
        start, end = np.clip(segments / evidence.cell, first, last).T
        low, high = start * evidence.cell, np.minimum(end, start + longest) * evidence.cell
        fine: Float64 = evaluated_tiou_matrix(low, high, *segments.T).diagonal()
        return np.where(end > start, fine, 0.0)
    below = np.floor(segments / evidence.cell - first)  # (M, 2)
    best = np.zeros(len(below))
    for to_start in (0, 1):
        for to_end in (0, 1):
            start = np.clip(below[:, 0] + to_start, 0, last)
            end = np.minimum(np.clip(below[:, 1] + to_end, 0, last), start + longest)
            low, high = (start + first) * evidence.cell, (end + first) * evidence.cell
            overlap = evaluated_tiou_matrix(low, high, *segments.T).diagonal()
            best = np.maximum(best, np.where(end > start, overlap, 0.0))
    return best


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Best results that each stage leaves for the instances of one video.

    Attributes
    ----------
    best : (M, 6) float64
        Largest tIoU of each instance before the first stage (which is 1), with any two cells, any
        two peaks, what the top-K cut keeps, what scores high enough for the result, and the
        result. Never grows from one to the next.
    ideal : mapping of stage to Proposals
        The result if one stage were perfect; seconds.
    """

    best: Float64
    ideal: dict[str, Proposals]


def trace(evidence: Evidence, result: Proposals, contributing: int, config: SoftNmsConfig) -> Trace:
    """Trace the instances of one video through the stages.

    `result` has the proposals of the run, seconds, best first, of which the largest budget takes
    the first `contributing`.
    """
    contributed, candidates, in_seconds = (
        result[:contributing],
        evidence.candidates,
        evidence.in_seconds,
    )
    # The score before suppression that suffices for the result if nothing is lowered.
    lowest_score = (
        -np.inf if len(contributed) == len(candidates) else contributed.score.min(initial=np.inf)
    )
    levels = [
        np.ones(len(evidence.instances)),
        best_of_any_cells(evidence),
        _best(evidence, in_seconds(evidence.uncut)),
        _best(evidence, in_seconds(candidates)),
        _best(evidence, in_seconds(candidates[candidates.score >= lowest_score])),
        _best(evidence, contributed),
    ]
    # Apart from rounding, each is at most the one before. The result is what the protocol counts.
    best = np.maximum.accumulate(np.stack(levels, axis=1)[:, ::-1], axis=1)[:, ::-1]
    ideal = {"top-k": result}  # if nothing was cut
    for stage, make in IDEAL.items():
        if stage != "top-k" or len(evidence.cut):
            ranked = make(evidence, config)
            order = np.argsort(-ranked.score, kind="stable")[: config.keep]
            ideal[stage] = in_seconds(ranked[order])
    return Trace(best, ideal)


def stage_of_loss(best: Float64, thresholds: Float64) -> Int64:
    """Return the stage that loses each instance at each threshold, len(STAGES) if it is found.

    `best` (M, 6) is like `Trace.best`, all 0 for videos without a result; (K, M) positions in
    `STAGES` are returned.
    """
    reaches = best[None] >= thresholds[:, None, None]  # (K, M, 6), true up to the loss
    lost: Int64 = reaches.sum(axis=2)
    return lost


def _best(evidence: Evidence, proposals: Proposals) -> Float64:
    """Return the largest tIoU of each instance with proposals in seconds, (M,)."""
    start, end = evidence.video.segments.T
    overlaps = evaluated_tiou_matrix(start, end, proposals.start, proposals.end)  # (M, N)
    best: Float64 = overlaps.max(axis=1, initial=0.0)
    return best


def perfect_boundaries(evidence: Evidence, config: SoftNmsConfig) -> Proposals:
    """Return the result if each instance also had an exact candidate, scored as its best one."""
    candidates, instances = evidence.candidates, evidence.instances
    if not len(candidates):
        return candidates
    instances = instances[instances[:, 0] <= instances[:, 1]]  # others cannot be proposed
    overlap = tiou_matrix(candidates.start, candidates.end, *instances.T)  # (N, M)
    nearest = overlap.argmax(axis=0)
    exact = replace(candidates[nearest], start=instances[:, 0], end=instances[:, 1])
    return soft_nms(Proposals.concat([exact, candidates]), config, span=evidence.span)


def perfect_top_k(evidence: Evidence, config: SoftNmsConfig) -> Proposals:
    """Return the result if every pair of peaks was a candidate."""
    return soft_nms(evidence.uncut, config, span=evidence.span)


def perfect_ranking(evidence: Evidence, config: SoftNmsConfig) -> Proposals:
    """Return the result if the confidence of every candidate was its largest tIoU."""
    candidates = evidence.candidates
    match_iou, _ = match_instances(candidates, evidence.instances)
    fused = fuse(candidates, match_iou.astype(np.float32), evidence.fusion)
    return soft_nms(candidates.with_score(fused), config, span=evidence.span)


def perfect_suppression(evidence: Evidence, config: SoftNmsConfig) -> Proposals:
    """Return the result if only the closest candidate per instance stayed, with the best score.

    Candidates that belong to no instance pass through Soft-NMS as usual.
    """
    candidates = evidence.candidates
    if not len(candidates):
        return candidates
    overlap = tiou_matrix(candidates.start, candidates.end, *evidence.instances.T)  # (N, M)
    nearest, closeness = overlap.argmax(axis=1), overlap.max(axis=1)
    belongs = closeness >= _USEFUL
    score = candidates.score.copy()
    is_kept = ~belongs
    for instance in np.unique(nearest[belongs]):
        group = np.flatnonzero(belongs & (nearest == instance))
        closest = group[closeness[group].argmax()]
        is_kept[closest], score[closest] = True, candidates.score[group].max()
    # The start score carries the index of each candidate through Soft-NMS.
    row = np.flatnonzero(is_kept)
    kept = replace(candidates[row], score=score[row], start_score=row.astype(np.float64))
    suppressed = soft_nms(kept, config, span=evidence.span)
    others = suppressed[~belongs[np.asarray(suppressed.start_score, np.int64)]]
    return Proposals.concat([kept[belongs[row]], others])


IDEAL: MappingProxyType[str, Callable[[Evidence, SoftNmsConfig], Proposals]] = MappingProxyType(
    {
        "boundaries": perfect_boundaries,
        "top-k": perfect_top_k,
        "ranking": perfect_ranking,
        "suppression": perfect_suppression,
    }
)
