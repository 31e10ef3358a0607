"""`propose` on a cluster: workers compute shards of a run and commit them, the driver adds up."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import ceil

from actspan.bundle import Bundle
from actspan.cluster.jobs import work_through
from actspan.cluster.session import ray_session
from actspan.cluster.settings import ClusterConfig
from actspan.data.elsewhere import local_folder, source_of
from actspan.data.rescale import Edge
from actspan.errors import ClusterError
from actspan.pipeline import Pipeline, StageClock, with_onnx
from actspan.proposing import DatasetWork, Engine, EngineMaker, Request
from actspan.proposing.origin import versions
from actspan.proposing.work import open_scores
from actspan.runtime import choose_backend, find_backend
from actspan.shards import ShardStore, compute_missing, open_place

# Shards that a worker is given at a time: between two such turns it waits for half a chunk to be
# written and for Ray, within one it does not. Each has some turns, that all end together.
_SHARDS_AT_ONCE = 8
_TURNS = 8


def ray_engine(config: ClusterConfig) -> EngineMaker:
    """Who computes, for `propose_dataset`: workers on Ray.

    What a request names has to lie where every worker finds it: in folders that all machines
    share, or in an object store. So have the shards, until the run is complete.

    Raises
    ------
    MissingExtraError, ClusterError
        As `ray_session`, when work begins.

    Examples
    --------
    >>> propose_dataset(request, engine=ray_engine(ClusterConfig(workers=8)))  # doctest: +SKIP
    """

    @contextmanager
    def engine(request: Request, bundle: Bundle, edge: Edge) -> Iterator[Engine]:
        backend = choose_backend(bundle, request.backend).name  # one for all: the same bytes
        if find_backend(backend)[0].suffix == ".onnx":
            with_onnx(bundle)  # once, here, not by every worker
        with ray_session(config):
            yield RayEngine(replace(request, backend=backend), edge, config)

    return engine


class RayEngine:
    """Workers on a cluster that is connected; see `ray_engine`."""

    def __init__(self, request: Request, edge: Edge, config: ClusterConfig) -> None:
        self._request, self._edge, self._config = request, edge, config
        self._clock = StageClock()

    def run(self, store: ShardStore, missing: list[int], work: DatasetWork) -> Iterator[int]:
        """Have workers compute and commit shards; yields the number of each that is committed.

        Raises
        ------
        ActSpanError
            As a worker raised it; what is committed stays.
        """
        job = ShardJob(
            request=_elsewhere(self._request),
            model=source_of(self._request.model),
            dataset=source_of(self._request.dataset),
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
        """What the workers' clocks say together."""
        return self._clock


def _elsewhere(request: Request) -> Request:
    """The request as other working directories understand it, with the place of the shards."""
    return replace(
        request,
        scores=request.scores and request.scores.resolve(),
        shards=request.shards or str(request.partial.resolve()),
    )


@dataclass(frozen=True, slots=True)
class ShardJob:
    """What a worker needs to know; called in its process, it makes one.

    Attributes
    ----------
    request : Request
    model, dataset : str
        Absolute paths, or URLs: the request's own may be folders of the driver's alone.
    edge : "clamp" or "zero"
    threads : int
    """

    request: Request
    model: str
    dataset: str
    edge: Edge
    threads: int

    def __call__(self) -> ShardWorker:
        """Open everything; raises as `ShardWorker`."""
        return ShardWorker(self)


class ShardWorker:
    """Computes shards of one run, wherever it is; the model is loaded once.

    Raises
    ------
    ClusterError
        The run is not to be seen from here, or other versions are installed.
    BundleError, BackendError, DataError
        The model or the dataset cannot be opened.
    """

    def __init__(self, job: ShardJob) -> None:
        model, dataset = local_folder(job.model), local_folder(job.dataset)
        request = replace(job.request, model=model, dataset=dataset)
        self._batch = request.batch
        self._store = _find_run(request)
        bundle = Bundle.load(request.model)
        scores = ExitStack().enter_context(open_scores(request))  # open as long as the process is
        self._work = DatasetWork.of(request, self._store.plan, bundle, scores)
        self._pipeline = Pipeline.load(
            bundle,
            backend=request.backend,
            threads=job.threads,
            edge=job.edge,
            tem=request.scores is None,
        )

    def do(self, numbers: Sequence[int]) -> Iterator[list[float]]:
        """Compute shards and commit them; yields what the clock counted for each."""
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
