"""Diagnosis of a run: which instances are missed, at which stage, and how much that costs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actspan.config.base import OnError, from_dict
from actspan.config.stages import PipelineConfig
from actspan.core.errors import ActSpanError
from actspan.core.parallel import map_ordered
from actspan.core.progress import Progress, no_progress
from actspan.core.segments import Proposals
from actspan.core.types import Float32, Float64, Video
from actspan.core.wording import counted
from actspan.data.videos import lengths_of
from actspan.evaluation.counting import Budgets, Int64
from actspan.evaluation.inputs import load_blocked, load_videos
from actspan.evaluation.recall import RecallResult, evaluate_recall
from actspan.evaluation.stage_losses import (
    IDEAL,
    STAGES,
    Rate,
    RunVideo,
    Trace,
    make_evidence,
    read_run_videos,
    stage_of_loss,
    trace,
)
from actspan.jobs.run import RUN_FILE, Run
from actspan.model.bundle import Bundle
from actspan.model.locations import bundle_folder
from actspan.runtime.opening import open_session

# Upper limits of the share of the video that an instance covers, and of instances per video, as in
# DETAD.
COVERAGE = (
    ("XS", "up to 0.2", 0.2),
    ("S", "0.2 to 0.4", 0.4),
    ("M", "0.4 to 0.6", 0.6),
    ("L", "0.6 to 0.8", 0.8),
    ("XL", "over 0.8", np.inf),
)
CROWD = (("XS", "1", 1.0), ("S", "2 to 4", 4.0), ("M", "5 to 8", 8.0), ("L", "over 8", np.inf))
LENGTH = ("XS", "S", "M", "L", "XL")  # quintiles, as lengths differ by dataset


@dataclass(frozen=True, slots=True)
class Bin:
    """Instances of one kind, and how many of them are found."""

    name: str
    range: str  # description of its limits
    instances: int
    recall: tuple[float, ...]  # share that is found at each threshold, [0, 1]; NaN if empty

    @property
    def average_recall(self) -> float:
        """Mean recall over the thresholds."""
        return float(np.mean(self.recall))


def bins_of(
    seconds: Float64, coverage: Float64, crowd: Float64, is_found: NDArray[np.bool_]
) -> dict[str, tuple[Bin, ...]]:
    """Return recall by length, by coverage and by the number of instances.

    Each instance (M,) has a length in seconds, a share of its video (NaN if its duration is not
    known), the number of instances in its video, and whether it is found at each threshold (K, M).
    """
    limits = np.quantile(seconds, np.arange(1, len(LENGTH) + 1) / len(LENGTH), method="higher")
    highs = limits.tolist()
    ranges = [f"{low:.3g} to {high:.3g} s" for low, high in pairwise(highs)]
    fifths = list(zip(LENGTH, [f"up to {highs[0]:.3g} s", *ranges], highs, strict=True))
    return {
        "length": _bins_within(seconds, fifths, is_found),
        "coverage": _bins_within(coverage, COVERAGE, is_found),
        "instances": _bins_within(crowd, CROWD, is_found),
    }


def _bins_within(
    values: Float64, limits: Sequence[tuple[str, str, float]], is_found: NDArray[np.bool_]
) -> tuple[Bin, ...]:
    """Return bins (low, high]; the first is unbounded below, so that it includes length 0."""
    bins, low = [], -np.inf
    for name, text, high in limits:
        inside = (values > low) & (values <= high)
        count = int(inside.sum())
        recall = is_found[:, inside].mean(axis=1) if count else np.full(len(is_found), np.nan)
        bins.append(Bin(name, text, count, tuple(recall.tolist())))
        low = high
    return tuple(bins)


@dataclass(frozen=True, slots=True, eq=False)
class Diagnosis:
    """The stages at which a run loses its M instances.

    `best` has the largest tIoU left after each stage, as in `stage_losses.Trace`; the
    last column is that of the result. `ideal` has the recall of the run if a stage were perfect; a
    stage whose gain cannot be computed is missing, and a note says why.
    """

    recall: RecallResult
    videos: tuple[str, ...]  # of each instance
    segments: Float64  # (M, 2), seconds
    labels: tuple[str, ...]
    best: Float64  # (M, 6)
    lost: Int64  # (K, M), position in STAGES of the stage that loses it; len(STAGES) if found
    bins: Mapping[str, tuple[Bin, ...]]  # by "length", "coverage" and "instances" (per video)
    ideal: Mapping[str, RecallResult]  # by stage
    notes: tuple[str, ...] = ()

    def losses(self) -> Float64:
        """Return the share of instances lost per stage, and found (last), by threshold: (K, 7)."""
        counts = [(self.lost == stage).mean(axis=1) for stage in range(len(STAGES) + 1)]
        return np.stack(counts, axis=1)

    def gains(self) -> dict[str, dict[str, float]]:
        """Return how much AR and AUC would gain from each perfect stage, in percentage points."""
        now = self.recall.summary()
        return {
            stage: {name: value - now[name] for name, value in recall.summary().items()}
            for stage, recall in self.ideal.items()
        }


def diagnose(
    run: Run | Path | str,
    ground_truth: Path | str | Iterable[Video],
    *,
    subset: str | None = "validation",
    max_proposals: int = 100,
    tiou: ArrayLike | None = None,
    blocked: Path | str | Iterable[str] | None = None,
    on_error: OnError = "fail",
    model: Bundle | None = None,
    progress: Progress = no_progress,
) -> Diagnosis:
    """Trace every instance through the stages of a run.

    Parameters
    ----------
    run : Run or path
        A run folder with boundary scores, candidates and result.
    ground_truth, subset, max_proposals, tiou, blocked, on_error
        The same as for `evaluate_recall`, which computes the numbers and raises the same errors.
    model : Bundle, optional
        Bundle that rates candidates removed by the top-K cut; the run's bundle by default.

    Raises
    ------
    ResultError
        `run` is not a run, or is damaged.

    Examples
    --------
    >>> diagnosis = diagnose("run/", "my-videos/")  # doctest: +SKIP
    >>> diagnosis.gains()["ranking"]["AR@100"]  # points of percent  # doctest: +SKIP
    3.1
    """
    run = run if isinstance(run, Run) else Run.load(run)
    config = from_dict(PipelineConfig, run.info.get("pipeline", {}), where=str(run.path / RUN_FILE))
    chosen = load_videos(ground_truth, subset, load_blocked(blocked), on_error)
    videos = chosen.videos.select(np.flatnonzero(chosen.videos.counts).tolist())
    proposals = run.proposals()
    evaluate = partial(evaluate_recall, videos, subset=None, max_proposals=max_proposals, tiou=tiou)
    recall = evaluate(proposals)
    counts = np.array([len(proposals.get(name, ())) for name in videos.ids], np.int64)
    contributing = Budgets.of(counts, max_proposals).contributed().tolist()
    traces: dict[str, Trace] = {}
    cut = 0
    with ExitStack() as stack:
        rate, note = _rater(run, config, model, stack)

        def trace_video(run_video: RunVideo) -> tuple[str, int, Trace]:
            name = run_video.video.id
            evidence = make_evidence(run_video, config, rate)
            ranked = proposals.get(name, Proposals.empty("seconds"))
            ranked = ranked[np.argsort(-ranked.score, kind="stable")]
            traced_instances = trace(
                evidence, ranked, contributing[videos.indices[name]], config.soft_nms
            )
            return name, len(evidence.cut), traced_instances

        workers = os.cpu_count() or 1
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        traced = map_ordered(pool, trace_video, read_run_videos(run, videos), ahead=4 * workers)
        for done, (name, removed, trace_of_video) in enumerate(traced, start=1):
            cut += removed
            traces[name] = trace_of_video
            progress("diagnose", done, len(videos))
    notes = (note,) if note and cut else ()
    ideal = {
        stage: evaluate(
            {name: trace_of_video.ideal[stage] for name, trace_of_video in traces.items()}
        )
        for stage in IDEAL
        if not (notes and stage == "top-k")
    }
    best = np.zeros((len(videos.segments), len(STAGES)))
    for name, trace_of_video in traces.items():
        first, last = videos.offsets[videos.indices[name] :][:2]
        best[first:last] = trace_of_video.best
    lost = stage_of_loss(best, recall.tiou)
    seconds = videos.segments[:, 1] - videos.segments[:, 0]
    lengths = lengths_of(videos, run.measured_spans(videos.ids))
    coverage = seconds / np.repeat(lengths, videos.counts)
    if unknown := int(np.isnan(coverage).sum()):
        what = f"{counted(unknown, 'instance')} of videos of unknown duration"
        notes = (*notes, f"{what}: not counted by their share of the video")
    crowd = np.repeat(videos.counts, videos.counts)
    return Diagnosis(
        recall=recall,
        videos=tuple(np.repeat(videos.ids, videos.counts).tolist()),
        segments=videos.segments,
        labels=videos.labels,
        best=best,
        lost=lost,
        bins=bins_of(seconds, coverage, crowd, lost == len(STAGES)),
        ideal=ideal,
        notes=notes,
    )


def _rater(
    run: Run, config: PipelineConfig, model: Bundle | None, stack: ExitStack
) -> tuple[Rate | None, str | None]:
    """Return PEM of the run's bundle, or the reason why it is unavailable."""
    if config.bmn is not None:
        return None, "no gain for top-k, which needs confidence maps: a run does not contain them"
    if config.curves:
        return None, "no gain for top-k, which needs learnt curves: a run does not contain them"
    recorded = run.info.get("bundle", {})
    try:
        bundle = model or Bundle.load(bundle_folder(recorded.get("path", "")))
        weights = bundle.files.get("pem.safetensors")
        if weights is None or weights.sha256 != recorded.get("files", {}).get("pem.safetensors"):
            return None, f"{bundle.path} is not the bundle of this run: no gain for top-k"
        session = stack.enter_context(open_session(bundle.file("pem.onnx")))
    except ActSpanError as error:
        return None, f"no gain for top-k, which needs the run's bundle: {error}"

    def rate(features: Float32) -> Float32:
        scored: Float32 = session.run({"video_feature": features})["output"][:, 0]
        return scored

    return rate, None
