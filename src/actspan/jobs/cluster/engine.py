"""`propose` on a cluster: workers compute and commit the shards of a run, the driver merges."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import ceil

from actspan.core.errors import ClusterError
from actspan.data.remote import local_folder, location_of
from actspan.data.rescale import Edge
from actspan.jobs.cluster.jobs import work_through
from actspan.jobs.cluster.session import ray_session
from actspan.jobs.cluster.settings import ClusterConfig
from actspan.jobs.proposing.engine import Engine, EngineMaker
from actspan.jobs.proposing.origin import versions
from actspan.jobs.proposing.request import Request
from actspan.jobs.proposing.work import DatasetWork, open_scores
from actspan.jobs.shards.compute import compute_missing
from actspan.jobs.shards.store import ShardStore, open_place
from actspan.model.bundle import Bundle
from actspan.pipeline.core import Pipeline, with_onnx
from actspan.pipeline.outcomes import StageClock
from actspan.runtime.backends import find_backend
from actspan.runtime.opening import choose_backend

# A worker waits between two turns, for half a chunk to be written and for Ray, but not within a
# turn. Several turns per worker let all workers finish at about the same time.
_SHARDS_AT_ONCE = 8
_TURNS = 8


def ray_engine(config: ClusterConfig) -> EngineMaker:
    """Return the engine that computes `propose_dataset` with workers on Ray.

    Paths that the request names must be readable by every worker: in folders that all machines
    share, or in an object store. The same applies to the shards until the run is complete.

    Raises
    ------
    MissingExtraError, ClusterError
        As for `ray_session`, when the engine starts.

    Examples
    --------
    >>> propose_dataset(request, engine=ray_engine(ClusterConfig(workers=8)))  # doctest: +SKIP
    """

    @contextmanager
    def engine(request: Request, bundle: Bundle, edge: Edge) -> Iterator[Engine]:
        backend = choose_backend(bundle, request.backend).name  # the same for all workers
        if find_backend(backend)[0].suffix == ".onnx":
            with_onnx(bundle)  # export once here instead of in every worker
        with ray_session(config):
            yield RayEngine(replace(request, backend=backend), edge, config)

    return engine


class RayEngine:
    """Engine of workers on a connected cluster; see `ray_engine`."""

    def __init__(self, request: Request, edge: Edge, config: ClusterConfig) -> None:
        self._request, self._edge, self._config = request, edge, config
        self._clock = StageClock()

    def run(self, store: ShardStore, missing: list[int], work: DatasetWork) -> Iterator[int]:
        """Compute and commit shards on the workers; yield the number of each committed shard.

        Raises
        ------
        ActSpanError
            An error that a worker raised; committed shards are kept.
        """
        job = ShardJob(
            request=_elsewhere(self._request),
            model=location_of(self._request.model),
            dataset=location_of(self._request.dataset),
            edge=self._edge,
            threads=self._config.worker_cpus,
        )
        turns = self._config.workers * _TURNS
        at_once = min(ceil(len(missing) / turns), _SHARDS_AT_ONCE)
        answers = work_through(job, missing, self._config, store.committed, at_once=at_once)
        for number, seconds in answers:
            if seconds is not None:
                self._clock.add(StageClock.of(seconds))
            yield number

    @property
    def clock(self) -> StageClock:
        """Sum of the stage times of all workers."""
        return self._clock


def _elsewhere(request: Request) -> Request:
    """Return the request with absolute paths, including that of the shards."""
    return replace(
        request,
        scores=request.scores and request.scores.resolve(),
        shards=request.shards or str(request.partial.resolve()),
    )


@dataclass(frozen=True, slots=True)
class ShardJob:
    """Settings of a worker. A call in the worker's process creates the worker.

    Attributes
    ----------
    request : Request
    model, dataset : str
        Absolute paths or URLs; the request's own may be folders that only the driver can read.
    edge : "clamp" or "zero"
    threads : int
    """

    request: Request
    model: str
    dataset: str
    edge: Edge
    threads: int

    def __call__(self) -> ShardWorker:
        """Open the bundle and the dataset; raise as `ShardWorker`."""
        return ShardWorker(self)


class ShardWorker:
    """Worker that computes shards of one run. The model is loaded once.

    Raises
    ------
    ClusterError
        The run cannot be found from this machine, or other versions are installed.
    BundleError, BackendError, DataError
        The model or the dataset cannot be opened.
    """

    def __init__(self, job: ShardJob) -> None:
        model, dataset = local_folder(job.model), local_folder(job.dataset)
        request = replace(job.request, model=model, dataset=dataset)
        self._batch = request.batch
        self._store = _find_run(request)
        bundle = Bundle.load(request.model)
        scores = ExitStack().enter_context(open_scores(request))  # open until the process ends
        self._work = DatasetWork.of(request, self._store.plan, bundle, scores)
        self._pipeline = Pipeline.load(
            bundle,
            backend=request.backend,
            threads=job.threads,
            edge=job.edge,
            tem=request.scores is None,
        )

    def do(self, numbers: Sequence[int]) -> Iterator[list[float]]:
        """Compute and commit shards; yield the stage times of each."""
        before = self._pipeline.clock.numbers()
        for _ in compute_missing(
            self._store, numbers, self._pipeline, self._work, batch=self._batch
        ):
            now = self._pipeline.clock.numbers()
            yield [b - a for a, b in zip(before, now, strict=True)]
            before = now


def _find_run(request: Request) -> ShardStore:
    assert request.shards is not None
    store, here = ShardStore.find(open_place(request.shards)), socket.gethostname()
    if store is None:
        raise ClusterError(
            f"{request.shards}: not to be seen from worker {here}: put --out on storage that all "
            "machines share, or the shards in an object store: --shards s3://..."
        )
    was, now = store.plan.made_from["versions"], versions()
    if was != now:
        name = next(name for name in was | now if was.get(name) != now.get(name))
        raise ClusterError(
            f"worker {here} has {name} {now.get(name)}, the driver {was.get(name)}: results could "
            "differ; install the same versions on all machines"
        )
    return store
