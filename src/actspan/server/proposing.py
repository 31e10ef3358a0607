"""Parts of a service with a model: the model, the jobs, and their operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial

from fastapi import APIRouter

from actspan.model.bundle import Bundle
from actspan.model.weights import NETS
from actspan.server import inference, jobs, propose
from actspan.server.bodies import Bodies
from actspan.server.database import Database
from actspan.server.decoding import Decoder
from actspan.server.job_runner import JobRunner
from actspan.server.job_store import JobStore
from actspan.server.metrics import Metrics
from actspan.server.model import ServedModel
from actspan.server.settings import ServeSettings


class Proposing:
    """Resources of a service with a model.

    Parameters
    ----------
    bundle : Bundle
    database : Database
        Storage of jobs.
    settings : ServeSettings
    metrics : Metrics

    Attributes
    ----------
    model : ServedModel

    Raises
    ------
    BundleError, BackendError
        The model cannot be opened.
    """

    def __init__(
        self, bundle: Bundle, database: Database, settings: ServeSettings, metrics: Metrics
    ) -> None:
        self._settings, self._metrics = settings, metrics
        self._store = JobStore(database, settings.data, settings.limits.kept_jobs)
        with ExitStack() as opened:
            self.model = opened.enter_context(closing(ServedModel(bundle, settings, metrics)))
            self._decoder = opened.enter_context(closing(Decoder(settings.limits, for_job=False)))
            self._runner = opened.enter_context(
                closing(JobRunner(self._store, self.model, settings, metrics))
            )
            self._opened = opened.pop_all()  # setup succeeded, so everything stays open
        for state in self._store.counts():
            metrics.jobs.labels(state).set_function(partial(self._count, state))

    def _count(self, state: str) -> int:
        return self._store.counts()[state]

    def routers(self, is_ready: Callable[[], bool]) -> Iterator[APIRouter]:
        """Yield the operations, for an app to include."""
        model, limits = self.model, self._settings.limits
        bodies = Bodies(limits, self._metrics)
        yield propose.router(model, bodies, limits, self._decoder)
        desk = jobs.JobDesk(model, bodies, self._store, self._runner, limits, self._metrics)
        yield jobs.router(desk)
        called: list[inference.InferenceModel] = [inference.Network(model, net) for net in NETS]
        called.append(inference.WholePipeline(model, limits.recording_seconds))
        yield inference.router({m.name: m for m in called}, bodies, is_ready=is_ready)

    def start(self) -> None:
        """Start to answer requests and to run waiting and interrupted jobs."""
        self.model.start()
        self._runner.start()

    def close(self) -> None:
        """Queue the running job again, answer the waiting requests, and free everything."""
        self._opened.close()
