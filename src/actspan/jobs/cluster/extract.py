"""`extract` on a cluster: each video is one piece of work, features go to the usual folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from actspan.core.errors import VideoError
from actspan.core.progress import no_progress
from actspan.jobs.cluster.jobs import work_through
from actspan.jobs.cluster.session import ray_session
from actspan.jobs.cluster.settings import ClusterConfig
from actspan.streams.extraction import (
    ExtractedVideo,
    ExtractEngine,
    ExtractRequest,
    VideoProgress,
    open_extractor,
    write_features,
)
from actspan.streams.feature_folder import FeatureFolder
from actspan.streams.snippet_features import Ending, Extractor


def ray_extraction(config: ClusterConfig) -> ExtractEngine:
    """Return the engine that runs `extract_videos` with workers on Ray.

    Each worker loads the backbone once. Videos and the output folder must have the same paths on
    all machines.

    Raises
    ------
    MissingExtraError, ClusterError
        As for `ray_session`, when the engine starts.
    """

    def engine(
        request: ExtractRequest,
        _: Extractor,
        todo: Mapping[Path, str],
        folder: FeatureFolder,
        progress: VideoProgress,
    ) -> Iterator[ExtractedVideo]:
        if not todo:
            return
        paths = tuple(path.resolve() for path in todo)
        job = ExtractJob(
            request=replace(request, backbone=_anywhere(request), threads=config.worker_cpus),
            folder=folder,
            paths=paths,
            names=tuple(todo.values()),
        )
        given = list(todo)
        with ray_session(config):
            for number, answer in work_through(job, range(len(paths)), config):
                done = _done(given[number], job.names[number], answer)
                if isinstance(done.ending, Ending):
                    progress.finish(done.ending.seconds)
                yield done

    return engine


def _anywhere(request: ExtractRequest) -> str:
    """Return the backbone's name with an absolute path."""
    kind, colon, file = request.backbone.partition(":")
    return f"{kind}:{Path(file).resolve()}" if colon else kind


def _done(path: Path, name: str, answer: Mapping[str, Any]) -> ExtractedVideo:
    if "error" in answer:
        return ExtractedVideo(name, path, 0, VideoError(answer["error"]))
    return ExtractedVideo(name, path, answer["rows"], msgspec.convert(answer["ending"], Ending))


@dataclass(frozen=True, slots=True)
class ExtractJob:
    """Settings of a worker. A call in the worker's process creates the worker."""

    request: ExtractRequest
    folder: FeatureFolder
    paths: tuple[Path, ...]
    names: tuple[str, ...]

    def __call__(self) -> ExtractWorker:
        """Open the backbone; raise as `Extractor`."""
        return ExtractWorker(self)


class ExtractWorker:
    """Worker that extracts videos, each to its own file, which is either complete or absent."""

    def __init__(self, job: ExtractJob) -> None:
        self._job, self._extractor = job, open_extractor(job.request)

    def do(self, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Extract videos; yield for each its number of rows and its ending, or its error."""
        return map(self._extract, numbers)

    def _extract(self, number: int) -> dict[str, Any]:
        todo = {self._job.paths[number]: self._job.names[number]}
        nobody = VideoProgress(no_progress, 0.0)
        (done,) = write_features(self._extractor, todo, self._job.folder, nobody)
        if isinstance(done.ending, VideoError):
            return {"error": str(done.ending)}
        return {"rows": done.rows, "ending": msgspec.to_builtins(done.ending)}
