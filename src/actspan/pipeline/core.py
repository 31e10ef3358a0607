"""Features to proposals: every stage in memory, batched, on all cores.

A worker takes a chunk of videos through all stages by itself: it reads, rescales, runs TEM on one
thread, makes candidates and BSP features, runs PEM on all proposals of the chunk at once, and
suppresses. Workers share nothing but the sessions, so the results of a video depend on neither
the batch size nor the number of threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self, overload

import numpy as np

from actspan.config.stages import BATCH, Edge, PipelineConfig
from actspan.core.errors import ActSpanError, BundleError
from actspan.core.parallel import chunked, map_ordered
from actspan.core.segments import Proposals
from actspan.core.types import BoundaryScores, Features
from actspan.data.cells import fit_to_cells
from actspan.model.bundle import Bundle
from actspan.model.weights import Net
from actspan.pipeline.outcomes import (
    Failure,
    Outcome,
    Piece,
    Recordings,
    ScoredVideo,
    StageClock,
    VideoInput,
)
from actspan.pipeline.steps import Steps, pieces_of
from actspan.proposals.bsp import bsp_features_batch
from actspan.proposals.candidates import generate_proposals_batch
from actspan.proposals.suppression import soft_nms_batch
from actspan.runtime.opening import choose_backend, find_backend, open_net
from actspan.runtime.session import Session


class Pipeline(AbstractContextManager["Pipeline"]):
    """A model that is ready to run.

    Parameters
    ----------
    tem, pem : Session, optional
        Without a TEM only boundary scores are accepted; without a PEM candidates are ranked by
        start score x end score.
    threads : int
        Number of workers.
    edge : "clamp" or "zero"
        How rescaling fills cells beyond the outer snippets, if the config says "auto".

    Examples
    --------
    >>> with Pipeline.load("bsn/") as pipeline:  # doctest: +SKIP
    ...     proposals = pipeline.propose(Features(values, stride=0.5, length=0.5))
    """

    def __init__(
        self,
        tem: Session | None,
        pem: Session | None,
        config: PipelineConfig,
        *,
        threads: int | None = None,
        edge: Edge = "clamp",
    ) -> None:
        self.config = config
        self.threads = threads or os.cpu_count() or 1
        self.clock = StageClock()
        self._sessions = [session for session in (tem, pem) if session is not None]
        self._steps = Steps(config, tem, pem, edge, threading.local())
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="actspan")
        self._pool.submit(load_kernels)  # The kernels load while the caller checks its arguments.

    @classmethod
    def load(
        cls,
        bundle: Bundle | Path | str,
        *,
        backend: str = "auto",
        threads: int | None = None,
        edge: Edge = "clamp",
        tem: bool = True,
        pem: bool = True,
        config: PipelineConfig | None = None,
    ) -> Self:
        """Open the networks of a bundle on a backend; missing ONNX files are exported first.

        Parameters
        ----------
        threads : int, optional
            Number of workers; all cores by default.
        tem, pem : bool
            False leaves a network out, even if the bundle contains it. Without TEM only boundary
            scores are accepted; without PEM candidates are ranked by start score x end score.
        config : PipelineConfig, optional
            Settings of the stages, as `with_changes` returns them; those of the bundle by default.

        Raises
        ------
        BundleError
            The bundle is damaged, or contains no PEM.
        BackendError
            The runtime is absent or refuses the model.
        """
        bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
        config = bundle.config if config is None else config
        if config.label_free is not None:
            return cls(None, None, config, threads=threads)
        if pem and "pem" not in bundle.nets:
            raise BundleError(
                f"{bundle.path}: contains no PEM, which proposals need; convert both: "
                "actspan convert tem.pth.tar pem.pth.tar --out BUNDLE"
            )
        threads = threads or os.cpu_count() or 1
        nets: list[Net] = ["tem"] if tem and "tem" in bundle.nets else []
        nets += ["pem"] if pem else []
        sessions = open_nets(bundle, nets, backend, threads)
        return cls(sessions.get("tem"), sessions.get("pem"), config, threads=threads, edge=edge)

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers and close the sessions."""
        self._pool.shutdown(cancel_futures=True)
        for session in self._sessions:
            session.close()

    @overload
    def propose(self, features: Features) -> Proposals: ...
    @overload
    def propose(self, features: Iterable[Features]) -> Iterator[Proposals]: ...
    def propose(self, features: Features | Iterable[Features]) -> Proposals | Iterator[Proposals]:
        """Find the scored segments of one video, (n, C) snippets of any length, or of several.

        Returns Proposals, or an iterator of them in the order of the input: `start` and `end` in
        seconds, best first. Raises ShapeError if features have another number of channels than the
        model.
        """
        if isinstance(features, Features):
            return next(self.propose([features]))
        videos = (VideoInput("", lambda f=f: f) for f in features)  # type: ignore[misc]
        return (o.proposals for o in self.run(videos) if o.proposals is not None)

    def run(
        self, videos: Iterable[VideoInput], *, batch: int = BATCH, ahead: int | None = None
    ) -> Iterator[Outcome]:
        """Take videos through all stages; outcomes come in order, a bounded number at a time.

        A chunk has `batch` videos or windows, and `ahead` chunks may wait: by default two per
        worker. Yields one outcome per video in rescale mode; one per window in window mode, the
        last with proposals. Raises the error of a video that cannot be read, after the outcomes of
        those before it.
        """
        ahead = 2 * self.threads if ahead is None else ahead
        for result in self.attempt(pieces_of(videos, self.config), batch=batch, ahead=ahead):
            if isinstance(result, Failure):
                raise result.error
            yield result

    def attempt(
        self, pieces: Iterable[Piece], *, batch: int, ahead: int
    ) -> Iterator[Outcome | Failure]:
        """Take pieces (whole videos or windows) through all stages.

        Windows of a recording come in order, its last one at the end. A chunk has `batch` pieces,
        and `ahead` chunks may wait; with 1 and 0 each piece is answered at once. A Failure stands
        for a video that cannot be read. The earlier windows of a recording that fails were yielded
        before it, and must be discarded.
        """
        chunks = chunked(pieces, batch)
        recordings = Recordings(self.config) if self.config.mode == "window" else None
        for results, clock in map_ordered(self._pool, self._run_chunk, chunks, ahead=ahead):
            self.clock.add(clock)
            yield from results if recordings is None else recordings.complete(results)

    def _run_chunk(self, pieces: Sequence[Piece]) -> tuple[list[Outcome | Failure], StageClock]:
        clock = StageClock()
        loaded: list[Features | ScoredVideo] = []
        failures: dict[int, Failure] = {}
        with clock.time("read"):
            for number, piece in enumerate(pieces):
                try:
                    loaded.append(piece.load())
                except ActSpanError as error:
                    failures[number] = Failure(piece.id, error)
        read = [piece for number, piece in enumerate(pieces) if number not in failures]
        outcomes: Iterator[Outcome] = iter(())
        if read:
            batch = self._steps.walk(read, loaded, clock)
            with clock.time("soft-nms"):
                outcomes = iter(self._steps.outcomes(batch, batch.confidence))
        numbers = range(len(pieces))
        return [failures[n] if n in failures else next(outcomes) for n in numbers], clock


def open_nets(
    bundle: Bundle, nets: Iterable[Net], backend: str, threads: int
) -> dict[Net, Session]:
    """Open networks of a bundle for calls from `threads` workers; each call uses one thread.

    Missing ONNX files are exported first. `backend` may be "auto".
    """
    chosen = choose_backend(bundle, backend).name
    nets = list(nets)
    missing = [net for net in nets if f"{net}.onnx" not in bundle.files]
    if missing and find_backend(chosen)[0].suffix == ".onnx":
        bundle = with_onnx(bundle)
    return {n: open_net(bundle, n, backend=chosen, threads=1, streams=threads) for n in nets}


def with_onnx(bundle: Bundle) -> Bundle:
    """Return the bundle with ONNX files of its networks; export those that are missing."""
    if all(f"{net}.onnx" in bundle.files for net in bundle.nets):
        return bundle
    from actspan.runtime.export import export_bundle

    exported, _ = export_bundle(bundle, check_torch=False)
    return exported


def load_kernels() -> None:
    """Call every kernel once to load its compiled form, or to compile it the first time."""
    cells = np.full((2, 1), 0.5, dtype=np.float32)
    fit_to_cells(Features(cells, stride=1.0, length=1.0), 3, "clamp")
    scores = BoundaryScores(*(cells.ravel() for _ in range(3)))
    config = PipelineConfig()
    candidates = generate_proposals_batch([scores], config.pgm, [(False, False)])
    rows = np.empty((len(candidates.together), config.bsp.size), dtype=np.float32)
    bsp_features_batch(rows, [scores], candidates, config.bsp)
    soft_nms_batch(candidates, candidates.together.score, config.soft_nms)
