"""Extraction job: videos or other streams to a dataset folder; finished ones are kept.

dataset/
├── features/          <video>.npy: (T, C)
├── annotations.json   from the source dataset, or the videos' lengths, ready to be labelled
├── dataset.toml       channels, grid, backbone with its checksum
└── extracted.jsonl    one line per video: file, settings, length, what was truncated
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from actspan.config.stages import FeatureSpec
from actspan.core.errors import DatasetError, VideoError
from actspan.core.locks import lock_target
from actspan.core.problems import Problem, Skipped, raise_errors, raise_nothing_left
from actspan.core.progress import Progress, no_progress
from actspan.core.wording import counted
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.time_conflicts import compare_times
from actspan.data.times import require_seconds
from actspan.runtime.opening import find_backend
from actspan.streams.addresses import Location
from actspan.streams.backbone import find_backbone
from actspan.streams.extract_request import ExtractRequest
from actspan.streams.extractors import (
    SnippetExtractor,
    check_settings,
    complete_request,
    open_extractor,
    opener,
)
from actspan.streams.feature_folder import FeatureFolder, check_extraction_folder
from actspan.streams.snippet_features import Ending
from actspan.streams.stream_kinds import find_kind
from actspan.streams.video_decoding import VideoFile
from actspan.streams.video_lists import (
    VideoList,
    find_videos,
    probe_videos,
    shortfall_note,
    video_problem,
)


@dataclass(frozen=True, slots=True)
class ExtractionSummary:
    """Summary of an extraction, in figures."""

    out: Path
    videos: int  # extracted now
    kept: int  # found finished
    snippets: int  # extracted now
    video_seconds: float  # of the videos extracted now
    seconds: float  # wall time
    spec: FeatureSpec
    problems: tuple[Problem, ...]  # skipped videos, and notes
    removed: tuple[str, ...] = ()  # videos whose features of other settings were removed
    labelled: bool = False  # whether the annotations have instances to train on


@dataclass(frozen=True, slots=True)
class ExtractedVideo:
    """A finished video, with its rows on disk, or why it failed."""

    name: str
    path: Location
    rows: int
    ending: Ending | VideoError


class VideoProgress:
    """Progress of a job, in seconds of video, of `total` announced ones."""

    def __init__(self, progress: Progress, total: float, noun: str = "video") -> None:
        self._progress, self._total = progress, total
        self._unit = f"seconds of {noun}"
        self._finished = 0.0

    def show(self, seconds: float, *, is_end: bool) -> None:
        """Report the progress in one video, of which `seconds` are done, perhaps the last ones."""
        done = self._finished + seconds
        self._progress(self._unit, round(done), round(max(self._total, done)))
        if is_end:
            self._finished = done


# Extracts and writes videos, given by path and name, to a folder; see `write_features`.
ExtractEngine = Callable[
    [ExtractRequest, SnippetExtractor, Mapping[Location, str], FeatureFolder, VideoProgress],
    Iterator[ExtractedVideo],
]


def extract_videos(
    request: ExtractRequest,
    progress: Progress = no_progress,
    *,
    engine: ExtractEngine | None = None,
) -> ExtractionSummary:
    """Extract snippet features from videos or other streams to a dataset folder.

    Every video is opened before work starts; one that fails later does not stop the others.
    Unless an `engine` is given, the backbone runs on threads of this process.

    Raises
    ------
    DatasetError
        Videos are missing or cannot be decoded, and `on_error` is "fail", or none is left.
    DataError
        `out` contains something else, or features of other settings without `force`; or another
        process writes to it.
    AnnotationError, VideoError, ConfigError, ModelError, BackendError
        Times are not in seconds, nothing was found, or settings or the backbone cannot be used;
        nothing is written.
    """
    check_extraction_folder(request.out)
    with lock_target(request.out, inside=True):
        return _extract(request, progress, engine)


def _extract(
    request: ExtractRequest, progress: Progress, engine: ExtractEngine | None
) -> ExtractionSummary:
    request, sources, lengths, problems = _find_sources(request, progress)
    if not lengths:
        raise_nothing_left(problems, len(sources.paths), request.noun)
    if request.on_error == "fail":
        raise_errors(problems)
    if sources.annotations is not None:
        problems += _check_times(sources.annotations, lengths)
    started = perf_counter()
    done: list[ExtractedVideo] = []
    with open_extractor(request) as extractor:
        folder = FeatureFolder(request, extractor.spec)
        paths = {name: sources.paths[name] for name in lengths}
        unfinished = {path: name for name, path in paths.items() if not folder.is_done(name, path)}
        seconds = sum(lengths[name] for name in unfinished.values())
        shown = VideoProgress(progress, seconds, request.noun)
        if engine is None:
            videos = write_features(extractor, unfinished, folder, shown)
        else:
            videos = engine(request, extractor, unfinished, folder, shown)
        for video in videos:
            if isinstance(video.ending, VideoError):
                problems.append(video_problem(video.name, video.path, video.ending))
            else:
                folder.record(video.name, video.path, video.ending)
                done.append(video)
    return _finish(request, folder, sources, paths, done, problems, perf_counter() - started)


def _finish(
    request: ExtractRequest,
    folder: FeatureFolder,
    sources: VideoList,
    paths: Mapping[str, Location],
    done: Sequence[ExtractedVideo],
    problems: list[Problem],
    seconds: float,
) -> ExtractionSummary:
    """Project features, write the annotations, and raise or report the problems."""
    annotated = sources.annotations or ()
    training = [video.id for video in annotated if video.subset == "training"]
    folder.project(training or paths)
    failed = {p.video for p in problems if p.skipped is Skipped.VIDEO}
    labelled = folder.write_annotations(sources.annotations, failed)
    kept = [name for name in paths if name not in failed]
    entries = (folder.journal.entries[name] for name in kept)
    problems += [shortfall_note(e.video, e.source, e.note) for e in entries if e.note]
    errors = [problem for problem in problems if problem.is_error]
    if not kept:
        raise_nothing_left(errors, len(sources.paths), request.noun)
    if errors and request.on_error == "fail":
        remedy = "Fix these, or leave them out: --on-error skip."
        raise DatasetError(errors, f"{counted(len(kept), request.noun)} done. {remedy}")
    return ExtractionSummary(
        out=request.out,
        videos=len(done),
        kept=len(kept) - len(done),
        snippets=sum(video.rows for video in done),
        video_seconds=sum(v.ending.seconds for v in done if isinstance(v.ending, Ending)),
        seconds=seconds,
        spec=folder.spec,
        problems=tuple(problems),
        removed=folder.removed,
        labelled=labelled,
    )


def _find_sources(
    request: ExtractRequest, progress: Progress
) -> tuple[ExtractRequest, VideoList, dict[str, float], list[Problem]]:
    """Return the complete request, the sources, the lengths of those that can be read, problems."""
    kind = request.kind or find_kind(request.videos)
    check_settings(request, kind)
    if kind == "video":
        find_backbone(request.backbone)
    if request.runtime != "auto":
        find_backend(request.runtime)
    sources = find_videos(request.videos, kind, request.timeout)
    request = complete_request(request, kind, sources.paths.values())
    opens: Callable[[Location], Any] = VideoFile
    if kind != "video":
        opens = opener(open_extractor(request))
    lengths, problems = probe_videos(sources.paths, progress, opens)
    return request, sources, lengths, [*sources.problems, *problems]


def _check_times(annotations: Annotations, lengths: Mapping[str, float]) -> Iterator[Problem]:
    """Raise if times lie far beyond the videos; note durations that differ from the videos'."""
    videos, path = annotations.videos, annotations.path
    video_lengths = np.array([lengths.get(name) or np.nan for name in videos.ids])  # 0 is unknown
    require_seconds(
        videos, path, np.where(np.isnan(video_lengths), videos.durations, video_lengths)
    )
    conflict, notes = compare_times(
        videos, video_lengths, np.zeros(len(videos)), FeatureSpec(), path
    )
    if conflict is not None:
        yield from notes


def write_features(
    extractor: SnippetExtractor,
    paths: Mapping[Location, str],
    folder: FeatureFolder,
    progress: VideoProgress,
) -> Iterator[ExtractedVideo]:
    """Extract and write each video."""
    for path, parts in groupby(extractor.run(paths), key=lambda part: part.path):
        name = paths[path]
        try:
            with folder.writer(name) as writer:
                for part in parts:
                    progress.show(part.seconds, is_end=part.ending is not None)
                    if isinstance(part.ending, VideoError):
                        raise part.ending
                    writer.add(folder.rows(part.rows))
        except VideoError as error:
            yield ExtractedVideo(name, path, 0, error)
        else:
            assert part.ending is not None
            yield ExtractedVideo(name, path, writer.rows, part.ending)
