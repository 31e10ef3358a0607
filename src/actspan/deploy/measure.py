"""Times of every step of both networks over real videos, counted like a vendor's benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

import numpy as np

from actspan.core.parallel import chunked
from actspan.core.perf_lines import StepTimes
from actspan.data.rescale import Edge
from actspan.model.bundle import Bundle
from actspan.model.weights import Net
from actspan.pipeline.core import open_nets
from actspan.pipeline.outcomes import Job
from actspan.pipeline.recordings import Recordings
from actspan.pipeline.stages import Batch, Steps
from actspan.pipeline.steps import pieces_of
from actspan.runtime.session import Session

__all__ = ["measure"]

_Part = Literal["read", "preprocess", "inference", "postprocess"]
_PARTS: tuple[_Part, ...] = ("read", "preprocess", "inference", "postprocess")


@dataclass(slots=True)
class _Clock:
    """Seconds in each step of a network."""

    seconds: dict[_Part, float] = field(default_factory=lambda: dict.fromkeys(_PARTS, 0.0))

    @contextmanager
    def time(self, part: _Part) -> Iterator[None]:
        """Add the time of a block."""
        begin = perf_counter()
        yield
        self.seconds[part] += perf_counter() - begin

    def times(self, samples: int, calls: int) -> StepTimes:
        """Return the times for the summary; the steps of one worker run one after another."""
        seconds = self.seconds
        return StepTimes(
            samples=samples,
            total=sum(seconds.values()),
            read=seconds["read"],
            preprocess=seconds["preprocess"],
            inference=seconds["inference"],
            interface=seconds["inference"],
            postprocess=seconds["postprocess"],
            calls=calls,
        )


def measure(
    bundle: Bundle, jobs: Iterable[Job], *, backend: str, batch: int, edge: Edge = "clamp"
) -> dict[Net, StepTimes]:
    """Process videos to proposals in one thread, one batch at a time, and time every step.

    Candidates and their features count as TEM's last step, so PEM has nothing to read; Soft-NMS is
    PEM's last step. An incomplete batch at the end is left out.

    Parameters
    ----------
    bundle : Bundle
        A bundle with both networks.
    jobs : iterable of Job
        A sample is a video, or a window of a long recording.
    backend : str
    batch : int
        Samples per call.
    edge : "clamp" or "zero"
        See `Pipeline`.

    Returns
    -------
    dict of net to StepTimes
        Empty if there are fewer samples than one batch.

    Raises
    ------
    BundleError, BackendError, FeatureError
        The networks cannot be opened, or a video not be read.
    """
    tem, pem = _Clock(), _Clock()
    recordings = Recordings(bundle.config) if bundle.config.mode == "window" else None
    samples = calls = 0
    sessions = open_nets(bundle, ["tem", "pem"], backend, 1)
    with sessions["tem"], sessions["pem"]:
        _warm_up(bundle, sessions, batch)
        steps = Steps(bundle.config, sessions, edge)
        for chunk in chunked(pieces_of(jobs, bundle.config), batch):
            if len(chunk) < batch:
                break  # only the last batch is incomplete
            with tem.time("read"):
                features = steps.load(chunk)
            with tem.time("preprocess"):
                video = steps.rescale(features)
            with tem.time("inference"):
                output = steps.tem(video)
            with tem.time("postprocess"):
                scored, candidates, rows = steps.candidates(chunk, features, output)
            with pem.time("inference"):
                confidence = steps.pem(rows)
            seen = Batch(chunk, features, video, output, scored, candidates, rows, confidence)
            with pem.time("postprocess"):
                if recordings is None:
                    steps.suppress(seen, confidence)
                else:
                    for outcome in seen.outcomes(confidence):
                        recordings.add(outcome)
            samples, calls = samples + len(chunk), calls + 1
    if not calls:
        return {}
    return {"tem": tem.times(samples, calls), "pem": pem.times(samples, calls)}


def _warm_up(bundle: Bundle, sessions: dict[Net, Session], batch: int) -> None:
    """Run each network once, because the first call of a runtime is slower."""
    config = bundle.config
    assert config.tem is not None
    video = np.zeros((batch, config.tem.channels, config.tem.length), np.float32)
    rows = np.zeros((batch * config.pgm.keep, config.bsp.size), np.float32)
    Steps(config, sessions, "clamp").tem(video)
    Steps(config, sessions, "clamp").pem(rows)
