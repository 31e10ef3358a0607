"""Jobs on a Ray cluster: shards of `propose`, videos of `extract`, and a stage for other jobs.

Numbers go out to workers and numbers come back. A worker commits its shard, or writes the features
of its video, itself: complete or not at all, and with the same bytes if it is done twice.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import ceil, isnan
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from actspan.config.stages import Edge
from actspan.core.errors import ClusterError, ConfigError, ShapeError, VideoError
from actspan.core.progress import Progress, no_progress
from actspan.core.segments import Proposals
from actspan.core.storage import open_storage
from actspan.core.types import Features
from actspan.data.dataset import local_folder, location_of
from actspan.jobs.checkpoint import Checkpoint
from actspan.jobs.driver import Engine, EngineMaker, LocalEngine, open_source
from actspan.jobs.propose_request import ClusterConfig, ProposeRequest
from actspan.jobs.ray_pool import Work, ray_session, work_through
from actspan.jobs.source import Source
from actspan.model.bundle import Bundle
from actspan.model.locations import bundle_folder, bundle_location
from actspan.pipeline.classifier import with_classifier_graph
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import StageClock
from actspan.runtime.opening import choose_backend, find_backend, with_onnx
from actspan.streams.addresses import Location, argument_of
from actspan.streams.extract_request import ExtractRequest
from actspan.streams.extraction import (
    ExtractedVideo,
    ExtractEngine,
    VideoProgress,
    write_features,
)
from actspan.streams.extractors import SnippetExtractor, open_extractor
from actspan.streams.feature_folder import FeatureFolder
from actspan.streams.snippet_features import Ending

# A worker waits between two turns, for half a chunk to be written and for Ray, but not within a
# turn. Several turns per worker let all workers finish at about the same time.
_SHARDS_AT_ONCE = 8
_TURNS = 8


def ray_engine(config: ClusterConfig) -> EngineMaker:
    """Return the engine that computes `propose` with workers on Ray.

    Paths that the request names must be readable by every worker: in folders that all machines
    share, or in an object store. The same applies to the shards until the run is complete. When the
    engine starts, it raises as `ray_session`, and ConfigError for a job without `out` or of a live
    video.

    Examples
    --------
    >>> propose(request, engine=ray_engine(ClusterConfig(workers=8)))  # doctest: +SKIP
    """

    @contextmanager
    def engine(request: ProposeRequest, bundle: Bundle, source: Source) -> Iterator[Engine]:
        if request.live is not None:
            raise ConfigError("a live video is decoded where it arrives, not by workers of Ray")
        if request.out is None:
            raise ConfigError("workers of Ray save their results next to out, so it must be given")
        backend = choose_backend(bundle, request.backend).name
        if find_backend(backend)[0].suffix == ".onnx":
            with_onnx(bundle)  # export once here instead of in every worker
        if source.is_decoded and request.labels.classify:
            with_classifier_graph(bundle)
        if not source.is_decoded:  # a backbone chooses its own backend
            request = replace(request, backend=backend)  # the same for all workers
        with ray_session(config):
            yield RayEngine(request, source, config)

    return engine


class RayEngine:
    """Engine of workers on a connected cluster; see `ray_engine`."""

    def __init__(self, request: ProposeRequest, source: Source, config: ClusterConfig) -> None:
        self._request, self._source, self._config = request, source, config
        self.clock = StageClock()  # sum over all workers

    def run(
        self, checkpoint: Checkpoint, missing: Sequence[int], progress: Progress
    ) -> Iterator[tuple[int, None]]:
        """Compute and commit shards on the workers; yield their numbers; see `Engine.run`."""
        request, folder, paths = self._request, self._source.folder, self._source.paths
        with_places = replace(  # workers need absolute paths, also of the shards and all videos
            request,
            scores=request.scores and request.scores.resolve(),
            shards=request.shards or str(request.partial.resolve()),
            videos=tuple(map(argument_of, paths.values())),
            subset=None if paths else request.subset,
            backbone=request.backbone and _absolute(request.backbone),
            threads=self._config.worker_cpus,
        )
        dataset = None if folder is None else location_of(folder)
        job = partial(_shard_worker, with_places, bundle_location(request.model), dataset)
        at_once = min(ceil(len(missing) / (self._config.workers * _TURNS)), _SHARDS_AT_ONCE)
        answers = work_through(job, missing, self._config, checkpoint.committed, at_once=at_once)
        for done, (number, clock) in enumerate(answers, start=1):
            if clock is not None:
                self.clock.add(msgspec.convert(clock, StageClock))
            if self._source.is_decoded:
                progress("shards", done, len(missing))
            yield number, None


def _absolute(backbone: str) -> str:
    """Return a backbone's name with an absolute path."""
    kind, _, file = backbone.partition(":")
    return f"{kind}:{Path(file).resolve()}" if kind == "onnx" else backbone


def _shard_worker(request: ProposeRequest, model: str, dataset: str | None) -> Work:
    """Open a worker, in its process: load the model once; return what computes shards.

    `model` and `dataset` are absolute paths or URLs, because the request's own paths may be folders
    that only the driver can read.
    """
    dataset_folder = None if dataset is None else local_folder(dataset)
    request = replace(request, model=bundle_folder(model), dataset=dataset_folder)
    checkpoint = _find_run(request)
    bundle = Bundle.load(request.model)
    source = open_source(request, bundle)
    _require_versions(checkpoint, source)
    source.restore(checkpoint.plan, (), no_progress)
    engine = LocalEngine(request, bundle, source)

    def work(numbers: Sequence[int]) -> Iterator[StageClock]:
        for number, results in engine.run(checkpoint, numbers, no_progress):
            checkpoint.commit(number, results)
            yield engine.clock.drain()

    return work


def _find_run(request: ProposeRequest) -> Checkpoint:
    assert request.shards is not None
    checkpoint = Checkpoint.find(open_storage(request.shards))
    if checkpoint is None:
        raise ClusterError(
            f"{request.shards}: worker {socket.gethostname()} finds no run there: put --out on "
            "storage that all machines share, or the shards in an object store: --shards s3://..."
        )
    return checkpoint


def _require_versions(checkpoint: Checkpoint, source: Source) -> None:
    """Raise ClusterError if a worker has other packages or runtimes than the driver."""
    was, now = checkpoint.plan.inputs["versions"], source.versions
    if was != now:
        name = next(name for name in was | now if was.get(name) != now.get(name))
        raise ClusterError(
            f"worker {socket.gethostname()} has {name} {now.get(name, 'absent')}, the driver "
            f"{was.get(name, 'absent')}: results could differ; install the same versions on all "
            "machines"
        )


def ray_extraction(config: ClusterConfig) -> ExtractEngine:
    """Return the engine that runs `extract_videos` with workers on Ray; each loads the backbone.

    Videos and the output folder must have the same paths on all machines.
    """

    def engine(
        request: ExtractRequest,
        _: SnippetExtractor,
        todo: Mapping[Location, str],
        folder: FeatureFolder,
        progress: VideoProgress,
    ) -> Iterator[ExtractedVideo]:
        if not todo:
            return
        tasks = list(todo.items())
        backbone = _absolute(request.backbone)
        worker = partial(
            _extract_worker,
            replace(request, backbone=backbone, threads=config.worker_cpus),
            folder,
            [(path.resolve(), name) for path, name in tasks],
        )
        with ray_session(config):
            for number, answer in work_through(worker, range(len(tasks)), config):
                path, name = tasks[number]
                if "error" in answer:
                    yield ExtractedVideo(name, path, 0, VideoError(answer["error"]))
                    continue
                ending = msgspec.convert(answer["ending"], Ending)
                progress.show(ending.seconds, is_end=True)
                yield ExtractedVideo(name, path, answer["rows"], ending)

    return engine


def _extract_worker(
    request: ExtractRequest, folder: FeatureFolder, videos: Sequence[tuple[Location, str]]
) -> Work:
    """Open the backbone, in a worker's process; return what extracts videos to their files."""
    extractor, silent = open_extractor(request), VideoProgress(no_progress, 0.0)

    def work(numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
        for number in numbers:
            path, name = videos[number]
            (done,) = write_features(extractor, {path: name}, folder, silent)
            if isinstance(done.ending, VideoError):
                yield {"error": str(done.ending)}
            else:
                yield {"rows": done.rows, "ending": msgspec.to_builtins(done.ending)}

    return work


class ProposeStage:
    """Stage from features to proposals: a class for `map_batches`, with one model per worker.

    An input row has the columns of a packed store:

    - `video`: str
    - `features`: (n, C) of any number type; n may differ between rows
    - `stride`: float, seconds from snippet to snippet
    - `length`: float, optional, seconds of a snippet; the stride unless given
    - `span`: float, optional, seconds at position 1.0; n * stride if it is NaN or absent

    An output row is a proposal: `video` (str), `start`, `end` (seconds) and `score` (all float64),
    best first within each video. A video without proposals has no rows.

    Leave CPUs free for the reader: an actor pool that takes all CPUs waits for input forever.

    Parameters
    ----------
    bundle : str or Path
        A bundle that every worker can read.
    backend, edge
        As for `Pipeline.load`.
    threads : int
        Threads per worker; reserve as many CPUs (`num_cpus`).

    Raises
    ------
    ShapeError
        A column is missing, or features do not fit the model, when a batch is processed.

    Examples
    --------
    >>> proposals = dataset.map_batches(  # doctest: +SKIP
    ...     ProposeStage,
    ...     fn_constructor_args=("bsn/",),
    ...     batch_size=64,
    ...     compute=ray.data.ActorPoolStrategy(size=4),
    ...     num_cpus=1,
    ... )
    """

    def __init__(
        self,
        bundle: str | Path,
        *,
        backend: str = "auto",
        threads: int = 1,
        edge: Edge = "clamp",
    ) -> None:
        self._pipeline = Pipeline.load(bundle, backend=backend, threads=threads, edge=edge)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the proposals of a batch of videos, as columns."""
        missing = {"video", "features", "stride"} - set(batch)
        if missing:
            raise ShapeError(
                f"rows have no column {', '.join(sorted(missing))}: every row needs video, "
                "features (n, C) and stride (seconds)"
            )
        length = batch.get("length", batch["stride"])
        span = batch.get("span", np.full(len(length), np.nan))
        names, columns = batch["video"], (batch["features"], batch["stride"], length, span)
        features = (
            Features(np.asarray(x, np.float32), float(a), float(b), None if isnan(c) else float(c))
            for x, a, b, c in zip(*columns, strict=True)
        )
        proposals = list(self._pipeline.propose(features))
        everything, counts = (
            Proposals.concat([Proposals.empty("seconds"), *proposals]),
            np.array([len(part) for part in proposals], np.int64),
        )
        return {
            "video": np.array(names, dtype=np.str_).repeat(counts),
            "start": everything.start,
            "end": everything.end,
            "score": everything.score,
        }
