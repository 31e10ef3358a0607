"""Extraction job: videos to a dataset folder of features; finished videos are kept.

dataset/
├── features/          <video>.npy: (T, C)
├── annotations.json   from the source dataset, or the videos' lengths, ready to be labelled
├── dataset.toml       channels, grid, backbone with its checksum
└── extracted.jsonl    one line per video: file, settings, length, what was cut short
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np

from actspan.config.stages import FeatureSpec, Streams
from actspan.core.errors import DatasetError, VideoError
from actspan.core.problems import Problem, Skipped, raise_errors, raise_nothing_left
from actspan.core.wording import counted
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.time_conflicts import find_conflict
from actspan.data.times import require_seconds
from actspan.runtime.backends import find_backend
from actspan.streams.backbone import find_backbone
from actspan.streams.extractor import Ending, Extractor
from actspan.streams.folder import FeatureFolder, check_target
from actspan.streams.grid import Grid, Span
from actspan.streams.jobs import Progress, Report, probe_videos, shortfall, video_problem
from actspan.streams.sources import Sources, find_videos
from actspan.streams.storage import Entry, Precision

DEFAULT_GRID = Grid(Span(0.25, "s"), Span(0.5, "s"))


@dataclass(frozen=True, slots=True)
class ExtractRequest:
    """Settings of `extract_videos`.

    Attributes
    ----------
    videos : tuple of str
        See `find_videos`.
    out : Path
        Dataset folder to create or resume.
    backbone : str
        See `find_backbone`.
    grid, streams, frames
        See `Extractor`.
    channels : int, optional
        Project to this number, by principal components of the training part.
    precision : "float16" or "float32"
        Precision of the features.
    on_error : "fail" or "skip"
        What to do about videos that cannot be used.
    force : bool
        Remove features in `out` that were made with other settings.
    """

    videos: tuple[str, ...]
    out: Path
    backbone: str = "default"
    grid: Grid = DEFAULT_GRID
    streams: Streams | None = None
    frames: int | None = None
    channels: int | None = None
    precision: Precision = "float16"
    on_error: Literal["fail", "skip"] = "fail"
    threads: int | None = None
    backend: str = "auto"
    force: bool = False


@dataclass(frozen=True, slots=True)
class Extracted:
    """Summary of an extraction, in figures.

    Attributes
    ----------
    videos, kept : int
        Numbers of videos extracted now, and found finished.
        snippets : int
        Number extracted now.
    video_seconds, seconds : float
        Seconds of the videos extracted now, and of wall time.
    spec : FeatureSpec
        Description of the features.
    problems : tuple of Problem
        Skipped videos, and notes.
    removed : tuple of str
        Videos whose features, made with other settings, were removed.
    labelled : bool
        True if the annotations hold instances to train on.
    """

    out: Path
    videos: int
    kept: int
    snippets: int
    video_seconds: float
    seconds: float
    spec: FeatureSpec
    problems: tuple[Problem, ...]
    removed: tuple[str, ...] = ()
    labelled: bool = False


@dataclass(slots=True)
class _Tally:
    """Counters and problems of a running extraction."""

    problems: list[Problem]
    snippets: int = 0
    video_seconds: float = 0.0
    videos: int = 0

    @property
    def lost(self) -> set[str]:
        """Videos that cannot be used."""
        return {p.video for p in self.problems if p.skipped is Skipped.VIDEO}


def extract_videos(
    request: ExtractRequest, report: Report | None = None, *, engine: ExtractEngine | None = None
) -> Extracted:
    """Extract snippet features from videos to a dataset folder.

    Every video is opened before work starts; one that fails later does not stop the others.
    Unless an `engine` is given, the backbone runs on threads of this process.

    Raises
    ------
    DatasetError
        Videos are missing or cannot be decoded, and `on_error` is "fail", or none is left.
    DataError
        `out` holds something else, or features of other settings without `force`.
    AnnotationError
        Times of the annotations are in another unit than seconds.
    VideoError, ConfigError, ModelError, BackendError
        Nothing was found, or settings or the backbone cannot be used; nothing is written.
    """
    check_target(request.out)
    find_backbone(request.backbone)
    if request.backend != "auto":
        find_backend(request.backend)
    sources = find_videos(request.videos)
    lengths, problems = probe_videos(sources.paths, report)
    tally = _Tally([*sources.problems, *problems])
    if not lengths:
        raise_nothing_left(tally.problems, len(sources.paths))
    if request.on_error == "fail":
        raise_errors(tally.problems)
    if sources.annotations is not None:
        tally.problems += _check_times(sources.annotations, lengths)
    begin = perf_counter()
    with open_extractor(request) as extractor:
        folder = FeatureFolder(
            request.out,
            extractor.spec,
            request.channels,
            request.precision,
            force=request.force,
        )
        paths = {name: sources.paths[name] for name in lengths}
        todo = {path: name for name, path in paths.items() if not folder.is_done(name, path)}
        progress = Progress(report, sum(lengths[name] for name in todo.values()))
        for video in (engine or _here)(request, extractor, todo, folder, progress):
            _account(video, folder, tally)
    folder.project(_training(sources, paths))
    labelled = folder.write_annotations(sources.annotations, tally.lost)
    kept = [name for name in paths if name not in tally.lost]
    entries = (folder.journal.entries[name] for name in kept)
    tally.problems += [shortfall(e.video, e.source, e.note) for e in entries if e.note]
    errors = [problem for problem in tally.problems if problem.is_error]
    if not kept:
        raise_nothing_left(errors, len(sources.paths))
    if errors and request.on_error == "fail":
        remedy = "Fix these, or leave them out: --on-error skip."
        raise DatasetError(errors, f"{counted(len(kept), 'video')} done. {remedy}")
    return Extracted(
        out=request.out,
        videos=tally.videos,
        kept=len(kept) - tally.videos,
        snippets=tally.snippets,
        video_seconds=tally.video_seconds,
        seconds=perf_counter() - begin,
        spec=folder.spec,
        problems=tuple(tally.problems),
        removed=folder.removed,
        labelled=labelled,
    )


def _check_times(annotations: Annotations, lengths: Mapping[str, float]) -> Iterator[Problem]:
    """Raise if times lie far beyond the videos; note durations that differ from the videos'."""
    videos, path = annotations.videos, annotations.path
    found = np.array([lengths.get(name, np.nan) for name in videos.ids])
    require_seconds(videos, path, np.where(np.isnan(found), videos.durations, found))
    conflict = find_conflict(videos, found, np.zeros(len(videos)), FeatureSpec(), path)
    if conflict is not None:
        yield conflict.note(path)


def open_extractor(request: ExtractRequest) -> Extractor:
    """Open the requested extractor; raise as `Extractor` and `find_backbone` do."""
    return Extractor(
        find_backbone(request.backbone),
        request.grid,
        streams=request.streams,
        frames=request.frames,
        threads=request.threads,
        backend=request.backend,
    )


def _training(sources: Sources, paths: Mapping[str, Path]) -> list[str]:
    """Return the videos of the training part; all videos without subsets."""
    given = sources.annotations or ()
    return [video.id for video in given if video.subset == "training"] or list(paths)


@dataclass(frozen=True, slots=True)
class Done:
    """A finished video, with its rows on disk."""

    name: str
    path: Path
    rows: int
    ending: Ending | VideoError


# Extracts and writes videos, given by path and name, to a folder; see `_here`.
ExtractEngine = Callable[
    [ExtractRequest, Extractor, Mapping[Path, str], FeatureFolder, Progress], Iterator[Done]
]


def _here(
    _: ExtractRequest,
    extractor: Extractor,
    todo: Mapping[Path, str],
    folder: FeatureFolder,
    progress: Progress,
) -> Iterator[Done]:
    return written(extractor, todo, folder, progress)


def written(
    extractor: Extractor, todo: Mapping[Path, str], folder: FeatureFolder, progress: Progress
) -> Iterator[Done]:
    """Extract and write each video."""
    for path, parts in groupby(extractor.run(todo), key=lambda part: part.path):
        name = todo[path]
        try:
            with folder.writer(name) as writer:
                for part in parts:
                    progress.show(part)
                    if isinstance(part.ending, VideoError):
                        raise part.ending
                    writer.add(folder.rows(part.rows))
                writer.finish()
        except VideoError as error:
            yield Done(name, path, 0, error)
        else:
            assert part.ending is not None
            yield Done(name, path, writer.rows, part.ending)


def _account(video: Done, folder: FeatureFolder, tally: _Tally) -> None:
    path, ending = video.path, video.ending
    if isinstance(ending, VideoError):
        tally.problems.append(video_problem(video.name, path, ending))
        return
    found = path.stat()
    folder.journal.add(
        Entry(
            video=video.name,
            source=str(path),
            size=found.st_size,
            modified=found.st_mtime_ns,
            settings=folder.settings,
            seconds=round(ending.seconds, 6),
            fps=ending.fps,
            note=ending.note,
        )
    )
    tally.videos += 1
    tally.snippets += video.rows
    tally.video_seconds += ending.seconds
