"""Video inference: decoding, backbone and all stages of the model in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Literal

from actspan.core.errors import AnnotationError
from actspan.core.problems import Problem, raise_errors, raise_nothing_left
from actspan.core.progress import no_progress
from actspan.data.videos import canonical_subset
from actspan.jobs.video_inference.answers import Selection, VideoMoments
from actspan.jobs.video_inference.features import BundleFeatures
from actspan.jobs.video_inference.pieces import VideoPieces
from actspan.model.bundle import Bundle
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import Outcome
from actspan.streams.extraction import VideoProgress
from actspan.streams.video_lists import VideoList, find_videos, probe_videos

Report = Callable[[str, int, int], None]  # (text, seconds of video done, seconds in all)


@dataclass(frozen=True, slots=True)
class VideosRequest:
    """Settings of `propose_videos`.

    Attributes
    ----------
    model : Path
        A bundle that was trained on features of `actspan extract`.
    videos : tuple of str
        As for `find_videos`.
    subset : str, optional
        Subset of a dataset folder with `videos/` and annotations; all videos unless given.
    selection : Selection
        Choice of the proposals to output.
    backbone : str, optional
        As for `BundleFeatures`.
    on_error : "fail" or "skip"
        What to do about videos that cannot be used.
    """

    model: Path
    videos: tuple[str, ...]
    subset: str | None = None
    selection: Selection = field(default_factory=Selection)
    backbone: str | None = None
    backend: str = "auto"
    threads: int | None = None
    on_error: Literal["fail", "skip"] = "fail"


@dataclass(frozen=True, slots=True)
class Found:
    """Results of `propose_videos`.

    Attributes
    ----------
    videos : tuple of VideoMoments
    seconds : float
        Wall time from the first frame to the last proposal.
    problems : tuple of Problem
        What was left out, with reasons, and notes.
    warnings : tuple of str
        Signs that the scores of the model carry no information.
    """

    videos: tuple[VideoMoments, ...]
    seconds: float
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()


def propose_videos(request: VideosRequest, report: Report | None = None) -> Found:
    """Find the segments in videos; nothing is written.

    Every video is opened before work starts. Memory does not depend on the length of videos in
    window mode. In rescale mode the features of one video are kept.

    Raises
    ------
    DatasetError
        Videos cannot be used and `on_error` is "fail", or no video is left.
    VideoError, AnnotationError
        No videos were found, or the subset does not exist.
    BundleError, ConfigError, ModelError, BackendError
        The bundle or its backbone cannot be used.
    """
    bundle = Bundle.load(request.model)
    sources = _subset(find_videos(request.videos), request.subset, bundle.set_apart)
    with (
        BundleFeatures(
            bundle,
            backbone=request.backbone,
            threads=request.threads,
            backend=request.backend,
        ) as features,
        Pipeline.load(bundle, backend=request.backend, threads=1) as pipeline,
    ):
        lengths, problems = probe_videos(sources.paths, report or no_progress)
        problems = [*sources.problems, *problems]
        if not lengths:
            raise_nothing_left(problems, len(sources.paths))
        if request.on_error == "fail":
            raise_errors(problems)
        names = {sources.paths[name]: name for name in lengths}
        made = VideoPieces(
            names, bundle.config, VideoProgress(report or no_progress, sum(lengths.values()))
        )
        begin = perf_counter()
        # The backbone takes most of the time, so batching the networks would save nothing.
        outcomes = pipeline.run_pieces(made.of(features.run(names)), batch=1, ahead=0)
        found = tuple(_moments(outcomes, made, sources, request.selection))
        seconds = perf_counter() - begin
    problems += made.problems
    if not found:
        raise_nothing_left(problems, len(sources.paths))
    if request.on_error == "fail":
        raise_errors(problems)
    return Found(found, seconds, tuple(problems), pipeline.clock.warnings(bundle.config.mode))


def _moments(
    outcomes: Iterable[Outcome], made: VideoPieces, sources: VideoList, selection: Selection
) -> Iterator[VideoMoments]:
    for outcome in outcomes:
        if outcome.proposals is not None:
            name = outcome.id
            chosen = selection.of(outcome.proposals)
            yield VideoMoments(name, sources.paths[name], made.endings[name].seconds, chosen)


def _subset(sources: VideoList, subset: str | None, set_apart: tuple[str, ...]) -> VideoList:
    """Keep the videos of one subset, by the annotations beside them or by the bundle's split."""
    if subset is None:
        return sources
    annotations = sources.annotations
    if annotations is None:
        raise AnnotationError(
            f"subset {subset!r}: only a dataset folder with videos/ and annotations has subsets"
        )
    videos = annotations.videos
    if canonical_subset(subset) == "validation":
        videos = videos.with_set_apart(set_apart, "validation")
    chosen = set(videos.subset(subset, annotations.path).ids)
    paths = {video: path for video, path in sources.paths.items() if video in chosen}
    problems = tuple(p for p in sources.problems if p.video in chosen or not p.video)
    return VideoList(paths, annotations, problems)
