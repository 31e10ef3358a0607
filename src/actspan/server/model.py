"""Model of a service: opened once, with batchers for each network and the whole pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from actspan.config.stages import TemConfig
from actspan.core.errors import BundleError
from actspan.core.types import Features, Float32, Proposals
from actspan.model.bundle import Bundle
from actspan.model.weights import NETS
from actspan.pipeline.core import Pipeline, open_nets
from actspan.pipeline.outcomes import VideoInput
from actspan.runtime.opening import choose_backend
from actspan.runtime.session import Session
from actspan.server.batching import Batcher
from actspan.server.operations import Metrics
from actspan.server.settings import ServeSettings


class ServedModel:
    """Bundle that is open for requests.

    Attributes
    ----------
    bundle : Bundle
        A bundle with a PEM and a TEM.
    backend : str
        Runtime that was chosen.
    sessions : dict of str to Session
        Sessions of "tem" and "pem".
    pipeline : Pipeline
        Pipeline on the same sessions.
    videos, rows : Batcher, dict of str to Batcher
        Batchers of the pipeline, whose groups are lists of Features, and of each network, whose
        groups are arrays.

    Raises
    ------
    BundleError, BackendError
        A network is missing, or the runtime is absent or refuses the model.
    """

    def __init__(self, bundle: Bundle, settings: ServeSettings, metrics: Metrics) -> None:
        if len(bundle.nets) < 2:
            raise BundleError(f"{bundle.path}: a service needs a TEM and a PEM; convert both")
        self.bundle, self.config = bundle, bundle.config
        self.backend = choose_backend(bundle, settings.backend).name
        threads = settings.threads or os.cpu_count() or 1
        opened = open_nets(bundle, NETS, self.backend, threads)
        self.sessions = {name: opened[name] for name in NETS}
        self.pipeline = Pipeline(opened["tem"], opened["pem"], bundle.config, threads=threads)
        common = (settings.batching, settings.limits, self.pipeline.threads, metrics)
        self.videos: Batcher[Sequence[Features], list[Proposals]] = Batcher(
            "pipeline", self._propose, *common
        )
        self.rows: dict[str, Batcher[Float32, Float32]] = {
            name: Batcher(name, _rows_of(session), *common)
            for name, session in self.sessions.items()
        }
        self._batchers: list[Batcher[Any, Any]] = [self.videos, *self.rows.values()]

    @property
    def channels(self) -> int:
        """Channels of the model's input features."""
        return (self.config.tem or TemConfig()).channels

    @property
    def takes_videos(self) -> bool:
        """Whether video files are accepted: the bundle allows it, and PyAV is installed."""
        return self.bundle.features.extraction is not None and find_spec("av") is not None

    def _propose(self, groups: Sequence[Sequence[Features]]) -> list[list[Proposals]]:
        """Run the pipeline over the videos of several requests."""
        jobs = [VideoInput("", lambda f=f: f) for group in groups for f in group]  # type: ignore[misc]
        outcomes = self.pipeline.run(jobs)
        answers = iter([o.proposals for o in outcomes if o.proposals is not None])
        return [[next(answers) for _ in group] for group in groups]

    def start(self) -> None:
        """Start to answer requests."""
        for batcher in self._batchers:
            batcher.start()

    def close(self) -> None:
        """Answer the waiting requests, then free the networks."""
        for batcher in self._batchers:
            batcher.close()
        self.pipeline.close()


def _rows_of(session: Session) -> Callable[[Sequence[Float32]], list[Float32]]:
    """Return a function that runs a network over the rows of several requests."""
    (name,) = session.input_names

    def run(groups: Sequence[Float32]) -> list[Float32]:
        rows = groups[0] if len(groups) == 1 else np.concatenate(groups)
        output = session.run({name: rows})["output"]
        return np.split(output, np.cumsum([len(group) for group in groups])[:-1])

    return run
