"""Contents of a report: runs, evaluated, diagnosed and calibrated as far as their files allow."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from actspan.config.base import OnError
from actspan.core.errors import AnnotationError, ConfigError, ResultError
from actspan.core.problems import Problem, problem_of_record, skipped_line
from actspan.core.progress import Progress, no_progress
from actspan.core.segments import Proposals
from actspan.core.types import Video
from actspan.core.wording import counted
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.formats import read_annotations
from actspan.data.detections import DETECTIONS_FILE, Detections, read_detections
from actspan.data.result_files import read_result
from actspan.data.videos import Videos
from actspan.evaluation.baselines import Calibration, calibrate
from actspan.evaluation.detection import (
    DetectionResult,
    Mistakes,
    diagnose_detections,
    evaluate_detection,
)
from actspan.evaluation.diagnosis import Diagnosis, diagnose
from actspan.evaluation.input_checks import no_match_error
from actspan.evaluation.inputs import EvaluatedVideos, load_videos
from actspan.evaluation.matching import Matches, match_instances
from actspan.evaluation.paired import VideoRecall, recall_by_video
from actspan.evaluation.protocols import PROTOCOLS, drop_duplicates, parse_thresholds
from actspan.evaluation.recall import RecallResult, evaluate_recall
from actspan.jobs.candidate_files import CANDIDATES, INDEX
from actspan.jobs.run import RUN_FILE, SCORES, Run

MOST_RUNS = 7  # the number of colours that stay distinct


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Ground truth and the part of it that counts; fields as for `evaluate_recall`.

    The annotations that the runs were made from are used unless `path` is given.
    """

    path: Path | None = None
    subset: str = "validation"
    protocol: str = "activitynet"  # a key of `PROTOCOLS`: thresholds and budget
    on_error: OnError = "fail"


@dataclass(frozen=True, slots=True, eq=False)
class EvaluatedRun:
    """One run of a report. Without ground truth, all from `recall` on is None."""

    name: str
    folder: Run | None  # None for a result file alone
    proposals: dict[str, Proposals]  # by id, in seconds
    detections: dict[str, Detections]  # empty if the run has none
    # Seconds that the cells of each video's boundary scores cover; empty if the run lacks files.
    spans: dict[str, float] = field(default_factory=dict)
    recall: RecallResult | None = None
    calibration: Calibration | None = None
    diagnosis: Diagnosis | None = None  # also None without `spans`
    detection: DetectionResult | None = None  # these two also without detections
    mistakes: Mistakes | None = None
    by_video: VideoRecall | None = None  # of the videos with instances

    def best(self, video: str) -> Proposals:
        """Return the proposals of a video within the budget, best first."""
        proposals = self.proposals.get(video, Proposals.empty("seconds"))
        most = None if self.recall is None else self.recall.max_proposals
        return proposals[np.argsort(-proposals.score, kind="stable")[:most]]

    def matches(self, video: Video) -> Matches | None:
        """Join the instances of a video with the `best` proposals at the lowest threshold.

        None without ground truth, and for a video without instances.
        """
        if self.recall is None or not len(video.segments):
            return None
        return match_instances(video.segments, self.best(video.id), float(self.recall.tiou[0]))

    @property
    def is_label_free(self) -> bool:
        """Return whether the run was made without a model."""
        return bool(self.info.get("pipeline", {}).get("label_free"))

    @property
    def info(self) -> Mapping[str, Any]:
        """Content of `run.toml`; empty for a result file alone."""
        return {} if self.folder is None else self.folder.info

    @property
    def missing_files(self) -> list[str]:
        """Files of boundary scores and candidates that the run lacks."""
        folder = self.folder
        names = (SCORES, CANDIDATES, INDEX)
        return [name for name in names if folder is None or not (folder.path / name).is_file()]


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """Runs to compare, on the same videos."""

    runs: tuple[EvaluatedRun, ...]
    videos: Videos  # of the subset; without ground truth all of the results, of unknown duration
    source: str  # of the ground truth; empty without one
    subset: str
    notes: tuple[str, ...]  # what is missing, and what is not evaluated
    problems: tuple[Problem, ...] = ()  # annotations that were left out

    @property
    def left_out(self) -> str:
        """Number and names of what was left out; "" if nothing was."""
        return skipped_line(self.problems)


def gather(
    runs: Sequence[Path], truth: GroundTruth | None = None, progress: Progress = no_progress
) -> Contents:
    """Evaluate, diagnose and calibrate 1 to 7 run folders or result files.

    Raises ConfigError as `name_runs`, ResultError if a run is damaged or none of its videos is in
    the ground truth, and AnnotationError or DatasetError if ground truth cannot be read.
    """
    truth = truth or GroundTruth()
    read_runs = [_read(name, path) for name, path in zip(name_runs(runs), runs, strict=True)]
    notes = []
    for run in read_runs:
        if missing := " and ".join(run.missing_files):
            what = f"{missing} missing" if run.folder else "is a result without its run"
            notes.append(f"{run.name}: {what}, so there are no curves and no diagnosis.")
        assumed = run.info.get("dataset", {}).get("assumptions", ())
        notes += (f"{run.name}: {note}." for note in assumed)
    ground = _find_truth(read_runs, truth)
    if isinstance(ground, str):
        names = dict.fromkeys(name for run in read_runs for name in run.proposals)
        videos = Videos(Video(name, float("nan")) for name in names)
        return Contents(tuple(read_runs), videos, "", "", (*notes, ground))
    chosen, source = ground
    evaluated = tuple(_evaluate(run, chosen.videos, truth, progress) for run in read_runs)
    notes += [*chosen.notes, *(note for run in evaluated for note in _not_evaluated(run))]
    return Contents(evaluated, chosen.videos, source, truth.subset, tuple(notes), chosen.problems)


def name_runs(runs: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that differ.

    Raises ConfigError for no paths, too many paths, or a path that is given twice.

    Examples
    --------
    >>> name_runs([Path("a/run"), Path("b/run")])
    ['a/run', 'b/run']
    """
    if not 1 <= len(runs) <= MOST_RUNS:
        raise ConfigError(f"{len(runs)} runs; a report compares 1 to {MOST_RUNS}")
    places = [Path(os.path.realpath(path)) for path in runs]  # also of a loop of links
    if len(set(places)) < len(places):
        raise ConfigError("a run is given twice; give each once")
    for count in range(1, max(len(place.parts) for place in places) + 1):
        names = ["/".join(place.parts[-count:]) for place in places]
        if len(set(names)) == len(names):
            break
    return names


def _read(name: str, path: Path) -> EvaluatedRun:
    folder = Run.load(path) if (path / RUN_FILE).is_file() else None
    detections = read_detections(path) if (path / DETECTIONS_FILE).is_file() else {}
    run = EvaluatedRun(name, folder, read_result(path), detections)
    if folder is not None and not run.missing_files:
        places = folder.candidate_places()
        return replace(run, spans={video: place.span for video, place in places.items()})
    return run


def _find_truth(
    runs: Sequence[EvaluatedRun], truth: GroundTruth
) -> tuple[EvaluatedVideos, str] | str:
    """Return the annotated videos and their source, or the reason why there are none."""
    folders = [run.folder for run in runs if run.folder is not None]
    recorded = (folder.recorded_annotations() for folder in folders)
    path = truth.path or next(filter(None, recorded), None)
    if path is None:
        return "No ground truth: recall, diagnosis and calibration need --ground-truth."
    annotations = None
    try:
        annotations = read_annotations(path)
        dropped = ""
        if PROTOCOLS[truth.protocol].drops_duplicates:
            annotations, dropped = drop_duplicates(annotations, truth.subset)
        if truth.subset == "validation":
            for folder in folders:  # videos that training held out are validation videos
                videos = annotations.videos.with_set_apart(folder.set_apart, truth.subset)
                annotations = replace(annotations, videos=videos)
        chosen = load_videos(annotations, truth.subset, frozenset(), truth.on_error)
        chosen = replace(chosen, notes=(*chosen.notes, *filter(None, [dropped])))
    except AnnotationError:
        segments = annotations.videos.segments_by_id() if annotations else {}
        if truth.path or not all(segments.keys().isdisjoint(run.proposals) for run in runs):
            raise
        return (  # not an error: the user gave no ground truth
            "No ground truth: the annotations that the run was made from have no instances in "
            f"subset {truth.subset!r}; pass others with --ground-truth, or another --subset."
        )
    evaluated = chosen.videos.segments_by_id()
    for run in runs:
        if evaluated.keys().isdisjoint(run.proposals):
            _require_common_videos(runs, annotations)
            videos = annotations.videos
            raise no_match_error("proposals", videos, truth.subset, evaluated, run.proposals)
    source = "/".join(annotations.path.resolve().parts[-2:])  # full paths differ between machines
    return chosen, source if truth.path else f"{source} (which the run was made from)"


def _require_common_videos(runs: Sequence[EvaluatedRun], annotations: Annotations) -> None:
    """Raise ResultError if runs are of different subsets, so that no subset fits them all."""
    subsets = dict(zip(annotations.videos.ids, annotations.videos.subsets, strict=True))
    counts_by_run = [Counter(subsets[v] for v in run.proposals if v in subsets) for run in runs]
    common = set.intersection(*(set(run.proposals) for run in runs))
    if common or not all(counts_by_run):
        return
    names = [counts.most_common(1)[0][0] or "no subset" for counts in counts_by_run]
    if len(set(names)) > 1:
        each = ", ".join(f"{s.name} is of {n}" for s, n in zip(runs, names, strict=True))
        raise ResultError(f"{each}: no videos in common; report each on its own")


def _evaluate(
    run: EvaluatedRun, videos: Sequence[Video], truth: GroundTruth, progress: Progress
) -> EvaluatedRun:
    protocol = PROTOCOLS[truth.protocol]
    annotated = [video for video in videos if len(video.segments)]
    budget = protocol.max_proposals
    counts: dict[str, Any] = {
        "max_proposals": budget,
        "tiou": parse_thresholds(protocol.tiou("proposal")),
    }
    diagnosis = detection = mistakes = None
    if run.folder is not None and run.spans:
        diagnosis = diagnose(
            run.folder,
            videos,
            subset=None,
            progress=lambda what, done, total: progress(f"{what} {run.name}", done, total),
            **counts,
        )
    if run.detections:
        tiou = parse_thresholds(protocol.tiou("detection"))
        detection = evaluate_detection(videos, run.detections, subset=None, tiou=tiou)
        mistakes = diagnose_detections(videos, run.detections, subset=None, tiou=tiou)
    segments = {video.id: video.segments for video in annotated}
    return replace(
        run,
        recall=evaluate_recall(videos, run.proposals, subset=None, **counts),
        by_video=recall_by_video(annotated, run.proposals, **counts),
        calibration=calibrate(segments, run.proposals, most=budget),
        diagnosis=diagnosis,
        detection=detection,
        mistakes=mistakes,
    )


def _not_evaluated(run: EvaluatedRun) -> Iterable[str]:
    recall, diagnosis = run.recall, run.diagnosis
    if recall is not None and recall.missing:
        videos = counted(len(recall.missing), "video")
        yield f"{run.name}: {videos} without proposals, counted as missed."
    if recall is not None and recall.extra:
        videos = counted(len(recall.extra), "video")
        yield f"{run.name}: {videos} with proposals not evaluated (other subset, no instances)."
    if skipped := run.info.get("skipped"):
        yield f"{run.name}: {skipped_line(map(problem_of_record, skipped))} when it was made."
    if diagnosis is not None:
        yield from (f"{run.name}: {note}." for note in diagnosis.notes)
