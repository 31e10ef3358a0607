"""Jobs on a Ray cluster: `propose` shares out shards, and `extract` shares out videos.

Numbers go out to workers and numbers come back. A worker commits its shard, or writes the features
of its video, itself: complete or not at all, and with the same bytes if it is done twice.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import msgspec

from actspan.core.errors import ClusterError, ConfigError, VideoError
from actspan.core.progress import Progress, no_progress
from actspan.core.storage import open_storage
from actspan.data.remote import local_folder, location_of
from actspan.jobs.checkpoint import Checkpoint
from actspan.jobs.contracts import Engine, EngineMaker, Source
from actspan.jobs.driver import open_source
from actspan.jobs.local_engine import LocalEngine
from actspan.jobs.origin import versions
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.ray_pool import ClusterConfig, ray_session, work_through
from actspan.jobs.shard_format import Result
from actspan.model.bundle import Bundle
from actspan.pipeline.core import with_onnx
from actspan.pipeline.outcomes import StageClock
from actspan.runtime.backends import find_backend
from actspan.runtime.opening import choose_backend
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

# A worker waits between two turns, for half a chunk to be written and for Ray, but not within a
# turn. Several turns per worker let all workers finish at about the same time.
_SHARDS_AT_ONCE = 8
_TURNS = 8


def ray_engine(config: ClusterConfig) -> EngineMaker:
    """Return the engine that computes `propose` with workers on Ray.

    Paths that the request names must be readable by every worker: in folders that all machines
    share, or in an object store. The same applies to the shards until the run is complete.

    Raises
    ------
    MissingExtraError, ClusterError
        As for `ray_session`, when the engine starts.
    ConfigError
        The job saves no shards, or reads a live video.

    Examples
    --------
    >>> propose(request, engine=ray_engine(ClusterConfig(workers=8)))  # doctest: +SKIP
    """

    @contextmanager
    def engine(request: ProposeRequest, bundle: Bundle, source: Source) -> Iterator[Engine]:
        if request.live is not None:
            raise ConfigError("a live video is decoded where it arrives, not by workers of Ray")
        if request.out is None:
            raise ConfigError("workers of Ray save their results beside out, so it must be given")
        backend = choose_backend(bundle, request.backend).name  # the same for all workers
        if find_backend(backend)[0].suffix == ".onnx":
            with_onnx(bundle)  # export once here instead of in every worker
        with ray_session(config):
            yield RayEngine(replace(request, backend=backend), source, config)

    return engine


class RayEngine:
    """Engine of workers on a connected cluster; see `ray_engine`."""

    def __init__(self, request: ProposeRequest, source: Source, config: ClusterConfig) -> None:
        self._request, self._source, self._config = request, source, config
        self.clock = StageClock()  # sum over all workers

    def run(
        self, checkpoint: Checkpoint, missing: Sequence[int], progress: Progress
    ) -> Iterator[tuple[int, Iterable[Result] | None]]:
        """Compute and commit shards on the workers; yield their numbers; see `Engine.run`."""
        folder = self._source.folder
        job = ShardJob(
            request=_for_workers(self._request, self._source),
            model=location_of(self._request.model),
            dataset=None if folder is None else location_of(folder),
            threads=self._config.worker_cpus,
        )
        at_once = min(ceil(len(missing) / (self._config.workers * _TURNS)), _SHARDS_AT_ONCE)
        answers = work_through(job, missing, self._config, checkpoint.committed, at_once=at_once)
        for done, (number, seconds) in enumerate(answers, start=1):
            if seconds is not None:
                self.clock.add(StageClock.of(seconds))
            if self._source.is_decoded:
                progress("shards", done, len(missing))
            yield number, None


def _for_workers(request: ProposeRequest, source: Source) -> ProposeRequest:
    """Return the request with absolute paths, including those of the shards and of all videos."""
    return replace(
        request,
        scores=request.scores and request.scores.resolve(),
        shards=request.shards or str(request.partial.resolve()),
        videos=tuple(str(path.resolve()) for path in source.paths.values()),
        subset=None if source.paths else request.subset,
        backbone=request.backbone and _absolute(request.backbone),
    )


def _absolute(backbone: str) -> str:
    """Return a backbone's name with an absolute path."""
    kind, colon, file = backbone.partition(":")
    return f"{kind}:{Path(file).resolve()}" if colon else kind


@dataclass(frozen=True, slots=True)
class ShardJob:
    """Settings of a worker. A call in the worker's process creates the worker.

    Attributes
    ----------
    request : ProposeRequest
    model, dataset : str
        Absolute paths or URLs; the request's own may be folders that only the driver can read.
    threads : int
    """

    request: ProposeRequest
    model: str
    dataset: str | None
    threads: int

    def __call__(self) -> ShardWorker:
        """Open the bundle and the source; raise as `ShardWorker`."""
        return ShardWorker(self)


class ShardWorker:
    """Worker that computes shards of one run. The model is loaded once.

    Raises
    ------
    ClusterError
        The run cannot be found from this machine, or other versions are installed.
    BundleError, BackendError, DataError
        The model or the source cannot be opened.
    """

    def __init__(self, job: ShardJob) -> None:
        request = replace(
            job.request,
            model=local_folder(job.model),
            dataset=None if job.dataset is None else local_folder(job.dataset),
            threads=job.threads,
        )
        self._checkpoint = _find_run(request)
        bundle = Bundle.load(request.model)
        self._open = ExitStack()  # closed at the end of the process
        source = self._open.enter_context(open_source(request, bundle))
        source.restore(self._checkpoint.plan, (), no_progress)
        self._engine = self._open.enter_context(LocalEngine(request, bundle, source))

    def do(self, numbers: Sequence[int]) -> Iterator[list[float]]:
        """Compute and commit shards; yield the stage times of each."""
        before = self._engine.clock.numbers()
        for number, results in self._engine.run(self._checkpoint, numbers, no_progress):
            self._checkpoint.commit(number, results)
            now = self._engine.clock.numbers()
            yield [b - a for a, b in zip(before, now, strict=True)]
            before = now


def _find_run(request: ProposeRequest) -> Checkpoint:
    assert request.shards is not None
    checkpoint, here = Checkpoint.find(open_storage(request.shards)), socket.gethostname()
    if checkpoint is None:
        raise ClusterError(
            f"{request.shards}: not to be seen from worker {here}: put --out on storage that all "
            "machines share, or the shards in an object store: --shards s3://..."
        )
    was, now = checkpoint.plan.made_from["versions"], versions()
    if was != now:
        name = next(name for name in was | now if was.get(name) != now.get(name))
        raise ClusterError(
            f"worker {here} has {name} {now.get(name)}, the driver {was.get(name)}: results could "
            "differ; install the same versions on all machines"
        )
    return checkpoint


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
            request=replace(
                request, backbone=_absolute(request.backbone), threads=config.worker_cpus
            ),
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
        (done,) = write_features(
            self._extractor, todo, self._job.folder, VideoProgress(no_progress, 0.0)
        )
        if isinstance(done.ending, VideoError):
            return {"error": str(done.ending)}
        return {"rows": done.rows, "ending": msgspec.to_builtins(done.ending)}
