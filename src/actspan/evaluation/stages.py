"""Stages at which instances are lost, and what perfect stages would find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from actspan.config.stages import SoftNmsConfig
from actspan.core.tiou import evaluated_tiou_matrix, tiou_matrix
from actspan.core.types import Float64, Proposals
from actspan.evaluation.evidence import Evidence, reachable
from actspan.evaluation.matching import Int64
from actspan.proposals.candidates import fuse, match_instances
from actspan.proposals.suppression import soft_nms

# In the order of the pipeline. An instance is lost at the first stage that leaves nothing for it.
STAGES = ("video", "resolution", "boundaries", "top-k", "ranking", "suppression")
_USEFUL = 0.5  # tIoU from which a candidate belongs to an instance; the lowest threshold of AR


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What each stage leaves for the instances of one video.

    Attributes
    ----------
    best : (M, 6) float64
        Largest tIoU of each instance before the first stage (which is 1), with
        any two cells, any two peaks, what the top-K cut keeps, what scores high enough for the
        answer, and the answer. Never grows from one to the next.
    ideal : mapping of stage to Proposals
        The answer if one stage were perfect; seconds.
    """

    best: Float64
    ideal: dict[str, Proposals]


def trace(evidence: Evidence, answer: Proposals, contributing: int, config: SoftNmsConfig) -> Trace:
    """Trace the instances of one video through the stages.

    Parameters
    ----------
    answer : Proposals
        The video's result, seconds, best first.
    contributing : int
        Number of these that the largest budget takes.
    """
    taken = answer[:contributing]
    everything = _uncut(evidence)
    enough = evidence.candidates.score >= _lowest_kept(evidence, taken)
    levels = [
        np.ones(len(evidence.instances)),
        reachable(evidence),
        _best(evidence, everything),
        _best(evidence, evidence.candidates),
        _best(evidence, evidence.candidates[enough]),
        _best_seconds(evidence, taken),
    ]
    # Apart from rounding, each is at most the one before. The answer is what the protocol counts.
    best = np.maximum.accumulate(np.stack(levels, axis=1)[:, ::-1], axis=1)[:, ::-1]
    ideal = {
        stage: _answer(evidence, make(evidence, config), config)
        for stage, make in IDEAL.items()
        if stage != "top-k" or len(evidence.cut)
    }
    ideal.setdefault("top-k", answer)  # nothing was cut
    return Trace(best, ideal)


def lost_at(best: Float64, thresholds: Float64) -> Int64:
    """Return the stage that loses each instance at each threshold, len(STAGES) if it is found.

    Parameters
    ----------
    best : (M, 6) float64
        Like `Trace.best`; all 0 for videos without an answer.
    thresholds : (K,) float64

    Returns
    -------
    (K, M) int64
        Position in `STAGES`.
    """
    reaches = best[None] >= thresholds[:, None, None]  # (K, M, 6), true up to the loss
    lost: Int64 = reaches.sum(axis=2)
    return lost


def _uncut(evidence: Evidence) -> Proposals:
    if not len(evidence.cut):
        return evidence.candidates
    return Proposals.concat([evidence.candidates, evidence.cut])


def _best(evidence: Evidence, proposals: Proposals) -> Float64:
    return _best_seconds(evidence, proposals.scaled(evidence.scale))


def _best_seconds(evidence: Evidence, proposals: Proposals) -> Float64:
    start, end = evidence.video.segments.T
    overlaps = evaluated_tiou_matrix(start, end, proposals.start, proposals.end)  # (M, N)
    best: Float64 = overlaps.max(axis=1, initial=0.0)
    return best


def _lowest_kept(evidence: Evidence, taken: Proposals) -> float:
    """Return the score before suppression that is enough for the answer if nothing is lowered."""
    if len(taken) == len(evidence.candidates):
        return -np.inf
    return float(taken.score.min(initial=np.inf))


def _answer(evidence: Evidence, ranked: Proposals, config: SoftNmsConfig) -> Proposals:
    best = ranked[np.argsort(-ranked.score, kind="stable")[: config.keep]]
    return best.scaled(evidence.scale)


def _suppressed(evidence: Evidence, candidates: Proposals, config: SoftNmsConfig) -> Proposals:
    return soft_nms(candidates, config, span=evidence.span)


def perfect_boundaries(evidence: Evidence, config: SoftNmsConfig) -> Proposals:
    """Return the answer if each instance also had an exact candidate, scored as its best one."""
    candidates, instances = evidence.candidates, evidence.instances
    if not len(candidates):
        return candidates
    instances = instances[instances[:, 0] <= instances[:, 1]]  # others cannot be proposed
    overlap = tiou_matrix(candidates.start, candidates.end, *instances.T)  # (N, M)
    nearest = overlap.argmax(axis=0)
    exact = replace(candidates[nearest], start=instances[:, 0], end=instances[:, 1])
    return _suppressed(evidence, Proposals.concat([exact, candidates]), config)


def perfect_top_k(evidence: Evidence, config: SoftNmsConfig) -> Proposals:
    """Return the answer if every pair of peaks was a candidate."""
    return _suppressed(evidence, _uncut(evidence), config)


def perfect_ranking(evidence: Evidence, config: SoftNmsConfig) -> Proposals:
    """Return the answer if PEM gave every candidate its largest tIoU with an instance."""
    candidates = evidence.candidates
    match_iou, _ = match_instances(candidates, evidence.instances)
    fused = fuse(candidates, match_iou.astype(np.float32))
    return _suppressed(evidence, candidates.with_score(fused), config)


def perfect_suppression(evidence: Evidence, config: SoftNmsConfig) -> Proposals:
    """Return the answer if only the closest candidate of each instance stayed, with the best score.

    Candidates that belong to no instance pass through Soft-NMS as usual.
    """
    candidates = evidence.candidates
    if not len(candidates):
        return candidates
    overlap = tiou_matrix(candidates.start, candidates.end, *evidence.instances.T)  # (N, M)
    nearest, closeness = overlap.argmax(axis=1), overlap.max(axis=1)
    about = closeness >= _USEFUL
    score = candidates.score.copy()
    stays = ~about
    for instance in np.unique(nearest[about]):
        group = np.flatnonzero(about & (nearest == instance))
        closest = group[closeness[group].argmax()]
        stays[closest], score[closest] = True, candidates.score[group].max()
    # The start score carries the index of each candidate through Soft-NMS.
    row = np.flatnonzero(stays)
    entered = replace(candidates[row], score=score[row], start_score=row.astype(np.float64))
    left = _suppressed(evidence, entered, config)
    others = left[~about[np.asarray(left.start_score, np.int64)]]
    return Proposals.concat([entered[about[row]], others])


IDEAL: MappingProxyType[str, Callable[[Evidence, SoftNmsConfig], Proposals]] = MappingProxyType(
    {
        "boundaries": perfect_boundaries,
        "top-k": perfect_top_k,
        "ranking": perfect_ranking,
        "suppression": perfect_suppression,
    }
)
