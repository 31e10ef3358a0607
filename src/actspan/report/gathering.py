"""Read runs, and evaluate, diagnose and calibrate them as far as their files allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from actspan.core.errors import AnnotationError, ConfigError, ResultError
from actspan.core.problems import problem_of_record, skipped_line
from actspan.core.types import Video
from actspan.core.wording import counted
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.formats import read_annotations
from actspan.data.detections import DETECTIONS_FILE, read_detections
from actspan.data.results import read_result
from actspan.data.videos import Videos
from actspan.evaluation.bins import calibrate
from actspan.evaluation.detection import evaluate_detection
from actspan.evaluation.diagnosis import Diagnosis, diagnose
from actspan.evaluation.input_checks import no_match_error
from actspan.evaluation.inputs import Chosen, load_videos
from actspan.evaluation.mistakes import diagnose_detections
from actspan.evaluation.protocols import PROTOCOLS, drop_duplicates, parse_thresholds
from actspan.evaluation.recall import RecallResult, evaluate_recall
from actspan.jobs.run import CANDIDATES, RUN_FILE, SCORES, Run
from actspan.report.contents import Contents, Side, Truth

Progress = Callable[[str, int, int], None]  # (text, done, in all)
MOST_RUNS = 7  # the number of colours that stay distinct


def gather(
    runs: Sequence[Path], truth: Truth | None = None, progress: Progress | None = None
) -> Contents:
    """Evaluate, diagnose and calibrate runs, as far as their files allow.

    Parameters
    ----------
    runs : sequence of Path
        Run folders or result files, 1 to 7.
    truth : Truth, optional
    progress : callable, optional
        Called with (text, done, in all).

    Raises
    ------
    ConfigError
        No runs, too many runs, or a run that is given twice.
    ResultError
        A run is damaged, or none of its videos is in the ground truth.
    AnnotationError, DatasetError
        Ground truth cannot be read.
    """
    names = name_runs(runs)
    truth = truth or Truth()
    sides = [_read(name, path) for name, path in zip(names, runs, strict=True)]
    notes = [note for side in sides for note in _missing_files(side)]
    found = _find_truth(sides, truth)
    if isinstance(found, str):
        return Contents(tuple(sides), _unannotated(sides), "", "", (*notes, found))
    chosen, source = found
    judged = tuple(_judge(side, chosen.videos, truth, progress) for side in sides)
    notes += [*chosen.notes, *(note for side in judged for note in _not_evaluated(side))]
    return Contents(judged, chosen.videos, source, truth.subset, tuple(notes), chosen.problems)


def name_runs(runs: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell them apart.

    Raises
    ------
    ConfigError
        No paths, too many paths, or a path that is given twice.

    Examples
    --------
    >>> name_runs([Path("a/run"), Path("b/run")])
    ['a/run', 'b/run']
    """
    if not 1 <= len(runs) <= MOST_RUNS:
        raise ConfigError(f"{len(runs)} runs; a report compares 1 to {MOST_RUNS}")
    places = [path.resolve() for path in runs]
    if len(set(places)) < len(places):
        raise ConfigError("a run is there twice; name each once")
    for count in range(1, max(len(place.parts) for place in places) + 1):
        names = ["/".join(place.parts[-count:]) for place in places]
        if len(set(names)) == len(names):
            break
    return names


def _read(name: str, path: Path) -> Side:
    run = Run.load(path) if (path / RUN_FILE).is_file() else None
    has_labels = (path / DETECTIONS_FILE).is_file()
    detections = read_detections(path) if has_labels else {}
    spans = {} if run is None or any(_missing(run)) else _spans(run)
    return Side(name, run, read_result(path), detections, spans)


def _missing(run: Run) -> list[str]:
    return [name for name in (SCORES, CANDIDATES) if not (run.path / name).is_file()]


def _spans(run: Run) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in run.candidates():  # one entry per video, or per window
        found[part.video] = max(found.get(part.video, 0.0), part.offset + part.seconds)
    return found


def _missing_files(side: Side) -> Iterable[str]:
    nothing = "so there are no curves and no diagnosis."
    if side.run is None:
        yield f"{side.name}: is a result without its run, {nothing}"
    elif _missing(side.run):
        yield f"{side.name}: {' and '.join(_missing(side.run))} missing, {nothing}"


def _find_truth(sides: Sequence[Side], truth: Truth) -> tuple[Chosen, str] | str:
    """Return the annotated videos and their source, or the reason why there are none."""
    path = truth.path or _recorded_truth(sides)
    if path is None:
        return "No ground truth: recall, diagnosis and calibration need --ground-truth."
    annotations = None
    try:
        annotations = read_annotations(path)
        dropped = ""
        if PROTOCOLS[truth.protocol].drops_duplicates:
            annotations, dropped = drop_duplicates(annotations, truth.subset)
        annotations = replace(annotations, videos=_with_set_apart(annotations.videos, sides, truth))
        chosen = load_videos(annotations, truth.subset, frozenset(), truth.on_error)
        chosen = replace(chosen, notes=(*chosen.notes, *filter(None, [dropped])))
    except AnnotationError:
        if truth.path is not None or (annotations and _annotated(sides, annotations)):
            raise
        return (  # not an error: the user gave no ground truth
            "No ground truth: the annotations that the run was made from have no instances in "
            f"subset {truth.subset!r}; pass others with --ground-truth, or another --subset."
        )
    evaluated = chosen.videos.segments_by_id()
    for side in sides:
        if evaluated.keys().isdisjoint(side.proposals):
            _require_common_videos(sides, annotations)
            raise no_match_error("proposals", annotations, truth.subset, evaluated, side.proposals)
    source = "/".join(annotations.path.resolve().parts[-2:])  # full paths differ between machines
    return chosen, source if truth.path else f"{source} (which the run was made from)"


def _require_common_videos(sides: Sequence[Side], annotations: Annotations) -> None:
    """Raise ResultError if runs are of different subsets, so that no subset fits them all."""
    subsets = dict(zip(annotations.videos.ids, annotations.videos.subsets, strict=True))
    found = [Counter(subsets[v] for v in side.proposals if v in subsets) for side in sides]
    common = set.intersection(*(set(side.proposals) for side in sides))
    if common or not all(found):
        return
    names = [counts.most_common(1)[0][0] or "no subset" for counts in found]
    if len(set(names)) > 1:
        each = ", ".join(f"{s.name} is of {n}" for s, n in zip(sides, names, strict=True))
        raise ResultError(f"{each}: no videos in common; report each on its own")


def _with_set_apart(videos: Videos, sides: Sequence[Side], truth: Truth) -> Videos:
    """Return the videos with those that training set apart marked as validation videos."""
    for side in sides:
        if side.run is not None and truth.subset == "validation":
            videos = videos.with_set_apart(side.run.set_apart, truth.subset)
    return videos


def _annotated(sides: Sequence[Side], annotations: Annotations) -> bool:
    """Return whether there are instances of a video that a run has proposals for."""
    segments = annotations.videos.segments_by_id()
    return not all(segments.keys().isdisjoint(side.proposals) for side in sides)


def _recorded_truth(sides: Sequence[Side]) -> Path | None:
    """Return annotations that a run was made from, if they are unchanged."""
    runs = [side.run for side in sides if side.run is not None]
    return next(filter(None, (run.recorded_annotations() for run in runs)), None)


def _unannotated(sides: Sequence[Side]) -> Videos:
    names = dict.fromkeys(name for side in sides for name in side.proposals)
    return Videos(Video(name, float("nan")) for name in names)


def _judge(side: Side, videos: Sequence[Video], truth: Truth, progress: Progress | None) -> Side:
    protocol = PROTOCOLS[truth.protocol]
    segments = {video.id: video.segments for video in videos if len(video.segments)}
    recall = evaluate_recall(
        videos,
        side.proposals,
        subset=None,
        max_proposals=protocol.max_proposals,
        tiou=parse_thresholds(protocol.tiou("proposal")),
    )
    judged = replace(
        side,
        recall=recall,
        calibration=calibrate(segments, side.proposals, most=protocol.max_proposals),
        diagnosis=_diagnose(side, videos, recall, progress),
    )
    if not side.detections:
        return judged
    tiou = parse_thresholds(protocol.tiou("detection"))
    return replace(
        judged,
        detection=evaluate_detection(videos, side.detections, subset=None, tiou=tiou),
        mistakes=diagnose_detections(videos, side.detections, subset=None, tiou=tiou),
    )


def _diagnose(
    side: Side, videos: Sequence[Video], recall: RecallResult, progress: Progress | None
) -> Diagnosis | None:
    if side.run is None or not side.spans:
        return None

    def report(what: str, done: int, total: int) -> None:
        if progress:
            progress(f"{what} {side.name}", done, total)

    return diagnose(
        side.run,
        videos,
        subset=None,
        max_proposals=recall.max_proposals,
        tiou=recall.tiou,
        progress=report,
    )


def _not_evaluated(side: Side) -> Iterable[str]:
    recall, diagnosis = side.recall, side.diagnosis
    if recall is not None and recall.missing:
        found = counted(len(recall.missing), "video")
        yield f"{side.name}: {found} without proposals, counted as missed."
    if recall is not None and recall.extra:
        found = counted(len(recall.extra), "video")
        yield f"{side.name}: {found} with proposals not evaluated (other subset, no instances)."
    if skipped := side.info.get("skipped"):
        yield f"{side.name}: {skipped_line(map(problem_of_record, skipped))} when it was made."
    if diagnosis is not None:
        yield from (f"{side.name}: {note}." for note in diagnosis.notes)
