"""Settings of score and suppression that rank a run's candidates best, checked on other videos.

The networks are not run again: everything is computed from the candidates that the run kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from actspan.config.base import OnError, from_dict, merge
from actspan.config.changes import (
    changeable,
    changes_between,
    read_changes,
    settings_text,
    with_changes,
)
from actspan.config.stages import PipelineConfig
from actspan.core.errors import AnnotationError, ResultError
from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem
from actspan.core.progress import Progress, no_progress
from actspan.core.segments import Proposals
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.formats import read_annotations
from actspan.data.annotations.split import groups_of
from actspan.data.splits import held_out as choose_held_out
from actspan.data.videos import Videos
from actspan.evaluation.inputs import known_id, load_videos
from actspan.evaluation.recall import RecallResult, evaluate_recall
from actspan.jobs.candidate_files import Candidates
from actspan.jobs.resuppression import suppress_again
from actspan.jobs.run import RUN_FILE, Run

# Values to try per setting, in the order in which they are tried. The run's own value is among
# them. Exponents and decay are on scales where the neighbours differ by a factor of about 1.5.
SWEEP: Mapping[str, tuple[float, ...]] = {
    "soft_nms.decay": (0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.5, 2.5),
    "soft_nms.threshold_short": (0.0, 0.2, 0.35, 0.5, 0.65, 0.8),
    "soft_nms.threshold_long": (0.2, 0.35, 0.5, 0.65, 0.8, 0.9),
    "fusion.confidence": (0.0, 0.25, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0),
    "fusion.start": (0.25, 0.5, 0.7, 1.0, 1.5, 2.0),
    "fusion.end": (0.25, 0.5, 0.7, 1.0, 1.5, 2.0),
}
_ROUNDS = 3  # at most; a round without a better value is the last
_LEAST = 0.01  # points of AUC; smaller differences do not count as better
_FEW = 20  # held-out videos; with fewer, a note says that a difference may be chance


@dataclass(frozen=True, slots=True, eq=False)
class PartResult:
    """Recall of one part of the videos, with the run's settings and with the best ones."""

    groups: int
    now: RecallResult
    best: RecallResult

    @property
    def gain(self) -> float:
        """Points of AUC that the best settings gain."""
        return self.best.auc_percent - self.now.auc_percent


@dataclass(frozen=True, slots=True, eq=False)
class Tuning:
    """Result of `tune`.

    Attributes
    ----------
    tuning, held_out : PartResult
        The videos that the best settings were chosen by, and the others.
    settings : list of str
        Settings that differ from those of the run, KEY=VALUE.
    changes : mapping
        All changes of the bundle's settings, with those that the run was made with, in the shape
        of `read_changes`.
    tried : int
        Number of settings that were tried.
    """

    tuning: PartResult
    held_out: PartResult
    settings: list[str]
    changes: Mapping[str, Any]
    tried: int
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_recommended(self) -> bool:
        """True if there are better settings, and they are better on the held-out part too."""
        return bool(self.settings) and self.held_out.gain >= _LEAST

    @property
    def is_uncertain(self) -> bool:
        """True if so few videos are held out that their difference may be chance."""
        return self.held_out.now.videos < _FEW


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """Candidates of a video."""

    video: Video
    parts: list[Candidates]
    snippets: int | None  # in window mode


def tune(
    run: Run | Path | str,
    ground_truth: Path | str | Annotations,
    *,
    subset: str | None = "validation",
    held_out: float = 0.5,
    by: str | None = None,
    seed: int = 0,
    max_proposals: int = 100,
    tiou: ArrayLike | None = None,
    on_error: OnError = "fail",
    progress: Progress = no_progress,
) -> Tuning:
    """Find settings of `fusion` and `soft_nms` with the best AUC, one setting after the other.

    Parameters
    ----------
    run : Run or path
        A run folder with candidates, which are kept in memory.
    ground_truth, subset, max_proposals, tiou, on_error
        The same as for `evaluate_recall`.
    held_out : float
        Share of the instances that is held out: settings are chosen without it.
    by : str, optional
        Groups of videos that stay in one part, as for `groups_of`.
    seed : int
        Of the parts.

    Raises
    ------
    ResultError
        `run` is not a run, or is damaged.
    AnnotationError, DatasetError, ConfigError
        As `evaluate_recall`, `groups_of` and `held_out` do.

    Examples
    --------
    >>> tuned = tune("run/", "my-videos/")  # doctest: +SKIP
    >>> tuned.settings, tuned.is_recommended  # doctest: +SKIP
    (['soft_nms.decay=0.4'], True)
    """
    run = run if isinstance(run, Run) else Run.load(run)
    config = from_dict(PipelineConfig, run.info.get("pipeline", {}), where=str(run.path / RUN_FILE))
    if not isinstance(ground_truth, Annotations):
        ground_truth = read_annotations(Path(ground_truth))
    chosen = load_videos(ground_truth, subset, frozenset(), on_error)
    entries = _read(run, chosen.videos, config.mode == "window")
    videos = Videos(entry.video for entry in entries)
    groups = groups_of(videos, by, ground_truth.path)
    is_held_out = choose_held_out(videos, groups, held_out, seed)
    evaluate = partial(evaluate_recall, subset=None, max_proposals=max_proposals, tiou=tiou)
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:

        def judge(held: bool, settings: PipelineConfig) -> RecallResult:
            part = list(compress(entries, is_held_out == held))
            work = map_ordered(pool, partial(_suppress, settings), part, ahead=2 * workers)
            return evaluate([entry.video for entry in part], dict(work))

        best, tried = _search(config, partial(judge, False), progress)
        tuning, checked = (
            PartResult(
                len(set(compress(groups, is_held_out == held))),
                judge(held, config),
                judge(held, best),
            )
            for held in (False, True)
        )
    changes = changes_between(config, best)
    return Tuning(
        tuning,
        checked,
        settings=settings_text(changes),
        changes=merge(read_changes(run.changes), changes),
        tried=tried,
        problems=chosen.problems,
        notes=(*chosen.notes, *_notes(chosen.segments, entries, checked)),
    )


def _read(run: Run, videos: Videos, with_windows: bool) -> list[_Entry]:
    """Return the candidates of the annotated videos with instances, in the run's order."""
    parts_of: dict[str, list[Candidates]] = {}
    for part in run.candidates():
        name = known_id(part.video, videos.indices)
        if name in videos.indices and videos.counts[videos.indices[name]]:
            parts_of.setdefault(name, []).append(part)
    if twice := [name for name, parts in parts_of.items() if len(parts) > 1 and not with_windows]:
        raise ResultError(f"{run.path}: candidates of {listed(twice)} twice; propose again")
    if not parts_of:
        raise AnnotationError(
            f"{run.path}: has candidates of none of the annotated videos "
            f"({listed(videos.ids)}); choose the subset that the run was made from: --subset"
        )
    lengths: dict[str, int] = {}
    if with_windows:
        with run.scores() as scores:
            lengths = {name: len(scores.read(parts[0].video)) for name, parts in parts_of.items()}
    return [
        _Entry(videos[videos.indices[name]], parts, lengths.get(name))
        for name, parts in parts_of.items()
    ]


def _suppress(config: PipelineConfig, entry: _Entry) -> tuple[str, Proposals]:
    return entry.video.id, suppress_again(entry.parts, config, entry.snippets)


def _search(
    config: PipelineConfig, judge: Callable[[PipelineConfig], RecallResult], progress: Progress
) -> tuple[PipelineConfig, int]:
    """Return the best settings, changing one at a time, and the number of those tried."""
    best, highest = config, judge(config).auc_percent
    seen = {best}
    usable = changeable(config)
    sweep = {key: values for key, values in SWEEP.items() if key in usable}
    steps = sum(map(len, sweep.values()))
    for turn in range(1, _ROUNDS + 1):
        before, done = best, 0
        for key, values in sweep.items():
            start = best
            for value in values:
                done += 1
                progress(f"round {turn}", done, steps)
                stage, name = key.split(".")
                other = with_changes(start, {stage: {name: value}})
                if other in seen:
                    continue
                seen.add(other)
                auc = judge(other).auc_percent
                if auc >= highest + _LEAST:
                    best, highest = other, auc
        if best == before:
            break
    return best, len(seen)


def _notes(
    segments: Mapping[str, Any], entries: Sequence[_Entry], checked: PartResult
) -> Iterator[str]:
    known = {entry.video.id for entry in entries}
    if without := [name for name in segments if name not in known]:
        yield (
            f"{counted(len(without), 'annotated video')} without candidates in the run, not used: "
            f"{listed(without)}"
        )
    if checked.now.videos < _FEW:
        yield (
            f"the held-out part has only {counted(checked.now.videos, 'video')}, so a small "
            "difference may be chance; try other seeds: --seed"
        )
