"""Features to proposals: every stage in memory, batched, on all cores.

A worker takes a chunk of videos through all stages by itself: it reads, rescales, runs TEM on one
thread, makes candidates and BSP features, runs PEM on all proposals of the chunk at once, and
suppresses. Workers share nothing but the sessions, so the results of a video depend on neither
the batch size nor the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, overload

import numpy as np

from actspan.config.stages import PipelineConfig
from actspan.core.errors import ActSpanError, BundleError
from actspan.core.parallel import chunked, map_ordered
from actspan.core.types import BoundaryScores, Features, Float32, Proposals, RaggedProposals
from actspan.data.rescale import Edge, fit_to_cells
from actspan.model.bundle import Bundle
from actspan.model.weights import Net
from actspan.pipeline.outcomes import Job, Lost, Outcome, Piece, ScoredVideo, StageClock
from actspan.pipeline.recordings import answered
from actspan.pipeline.scratch import Scratch
from actspan.pipeline.steps import (
    final_proposals,
    find_candidates,
    make_outcomes,
    pieces,
    rate_candidates,
    scored_videos,
    settled_edge,
    tem_input,
)
from actspan.proposals.bsp import bsp_features, bsp_features_batch
from actspan.proposals.candidates import generate_proposals
from actspan.proposals.suppression import soft_nms
from actspan.runtime.backends import find_backend
from actspan.runtime.opening import choose_backend, open_net
from actspan.runtime.session import Session

BATCH = 16  # videos per chunk: large enough for TEM's throughput, small enough for the caches


class Pipeline:
    """A model that is ready to run.

    Parameters
    ----------
    tem, pem : Session, optional
        Without a TEM only boundary scores are accepted; without a PEM candidates are ranked by
        start score x end score.
    config : PipelineConfig
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
        self.edge = settled_edge(config, edge)
        self.clock = StageClock()
        self._tem, self._pem = tem, pem
        self._scratch = Scratch()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="actspan")
        self._pool.submit(_load_kernels)  # The kernels load while the caller checks its arguments.

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
    ) -> Self:
        """Open the networks of a bundle; missing ONNX files are exported first.

        Parameters
        ----------
        backend : str
            An inference runtime, or "auto".
        threads : int, optional
            Number of workers; all cores by default.
        tem, pem : bool
            False leaves a network out, even if the bundle holds it. Without TEM only boundary
            scores are accepted; without PEM candidates are ranked by start score x end score.

        Raises
        ------
        BundleError
            The bundle is damaged, or holds no PEM.
        BackendError
            The runtime is absent or refuses the model.
        """
        bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
        if pem and not bundle.has_pem:
            raise BundleError(
                f"{bundle.path}: holds no PEM, which proposals need; convert one beside the TEM: "
                "actspan convert tem.pth.tar pem.pth.tar --out BUNDLE"
            )
        threads = threads or os.cpu_count() or 1
        wanted: tuple[tuple[Net, bool], ...] = (("tem", tem and bundle.has_tem), ("pem", pem))
        nets = [net for net, needed in wanted if needed]
        sessions = open_nets(bundle, nets, backend, threads)
        return cls(
            sessions.get("tem"), sessions.get("pem"), bundle.config, threads=threads, edge=edge
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers and close the sessions."""
        self._pool.shutdown(cancel_futures=True)
        for session in (self._tem, self._pem):
            if session is not None:
                session.close()

    @overload
    def propose(self, features: Features) -> Proposals: ...
    @overload
    def propose(self, features: Iterable[Features]) -> Iterator[Proposals]: ...
    def propose(self, features: Features | Iterable[Features]) -> Proposals | Iterator[Proposals]:
        """Find the scored segments of one video or of several videos.

        Parameters
        ----------
        features : Features, or an iterable of them
            (n, C) snippets per video, of any length.

        Returns
        -------
        Proposals, or an iterator of Proposals in the order of the input
            `start` and `end` in seconds, best first.

        Raises
        ------
        ShapeError
            Features have another number of channels than the model.
        BundleError
            The model holds no TEM.
        """
        if isinstance(features, Features):
            return next(self._answers([Job("", lambda: features)]))
        return self._answers(Job("", lambda f=f: f) for f in features)  # type: ignore[misc]

    def _answers(self, jobs: Iterable[Job]) -> Iterator[Proposals]:
        return (o.proposals for o in self.run(jobs) if o.proposals is not None)

    def run(self, jobs: Iterable[Job], *, batch: int = BATCH) -> Iterator[Outcome]:
        """Take jobs through all stages; outcomes come in order, a bounded number at a time.

        Parameters
        ----------
        jobs : iterable of Job
        batch : int
            Videos, or windows, per chunk.

        Yields
        ------
        Outcome
            One per video in rescale mode; one per window in window mode, the last with proposals.

        Raises
        ------
        ActSpanError
            A video cannot be read; those before it were yielded.
        """
        return self.run_pieces(pieces(jobs, self.config), batch=batch, ahead=2 * self.threads)

    def attempt(self, jobs: Iterable[Job], *, batch: int = BATCH) -> Iterator[Outcome | Lost]:
        """Run all stages as `run` does, but yield `Lost` for a video that cannot be read.

        In window mode the earlier windows of that recording are discarded: the recording fails.
        """
        return self._attempt(pieces(jobs, self.config), batch, 2 * self.threads)

    def run_pieces(self, pieces: Iterable[Piece], *, batch: int, ahead: int) -> Iterator[Outcome]:
        """Take pieces (whole videos or windows) through all stages, as `run` does.

        Parameters
        ----------
        pieces : iterable of Piece
            Windows of a recording come in order, its last one at the end.
        batch, ahead : int
            Pieces per chunk, and chunks that may wait. With 1 and 0 each piece is answered at
            once.
        """
        for result in self._attempt(pieces, batch, ahead):
            if isinstance(result, Lost):
                raise result.error
            yield result

    def _attempt(self, pieces: Iterable[Piece], batch: int, ahead: int) -> Iterator[Outcome | Lost]:
        chunks = chunked(pieces, batch)
        done = map_ordered(self._pool, self._run_chunk, chunks, ahead=ahead)
        results = self._timed(done)
        return answered(results, self.config) if self.config.mode == "window" else results

    def _timed(
        self, done: Iterable[tuple[list[Outcome | Lost], StageClock]]
    ) -> Iterator[Outcome | Lost]:
        for results, clock in done:
            self.clock.add(clock)
            yield from results

    def _run_chunk(self, pieces: Sequence[Piece]) -> tuple[list[Outcome | Lost], StageClock]:
        clock = StageClock()
        with clock.time("read"):
            loaded = [_load(piece) for piece in pieces]
        there = [item for item in loaded if not isinstance(item, Lost)]
        good = [p for p, item in zip(pieces, loaded, strict=True) if not isinstance(item, Lost)]
        outcomes = iter(self._outcomes(good, there, clock))
        return [item if isinstance(item, Lost) else next(outcomes) for item in loaded], clock

    def _outcomes(
        self, pieces: Sequence[Piece], loaded: Sequence[Features | ScoredVideo], clock: StageClock
    ) -> list[Outcome]:
        if not pieces:
            return []
        videos = self._with_scores(loaded, clock)
        with clock.time("candidates"):
            windows = [piece.window for piece in pieces]
            found = find_candidates([v.scores for v in videos], windows, self.config.pgm)
            bsp = self._bsp(videos, found)
        with clock.time("pem"):
            confidence = self._score(bsp)
        with clock.time("soft-nms"):
            answers = self._answers_of(videos, found, confidence)
        return make_outcomes(pieces, videos, found, confidence, answers)

    def _with_scores(
        self, loaded: Sequence[Features | ScoredVideo], clock: StageClock
    ) -> list[ScoredVideo]:
        """Run TEM where features were loaded; pass given scores through."""
        features = [item for item in loaded if isinstance(item, Features)]
        computed = iter(self._evaluate(features, clock) if features else ())
        return [item if isinstance(item, ScoredVideo) else next(computed) for item in loaded]

    def _evaluate(self, features: Sequence[Features], clock: StageClock) -> list[ScoredVideo]:
        with clock.time("read"):
            tem, video = self._tem_input(features)
        with clock.time("tem"):
            output = tem.run({"video": video})["output"]  # (B, 3, T)
            clock.look_at(output)
        return scored_videos(output, features, self.config)

    def _tem_input(self, features: Sequence[Features]) -> tuple[Session, Float32]:
        """Return TEM and its input for a batch, (B, C, T)."""
        if self._tem is None or self.config.tem is None:
            raise BundleError("the bundle holds no TEM, which features need; give boundary scores")
        shape = (len(features), self.config.tem.channels, self.config.tem.length)
        video = self._scratch.take("video", shape)
        for row, item in zip(video, features, strict=True):
            row[:] = tem_input(item, self.config, self.edge).T
        return self._tem, video

    def _bsp(self, videos: Sequence[ScoredVideo], candidates: RaggedProposals) -> Float32:
        """Compute the BSP features of all candidates of all videos, (sum N, 32)."""
        config = self.config.bsp
        rows = self._scratch.take("bsp", (len(candidates.together), config.size))
        bsp_features_batch(rows, [video.scores for video in videos], candidates, config)
        return rows

    def _score(self, bsp: Float32) -> Float32:
        """Return PEM's score of every candidate, (sum N,); 1 without a PEM."""
        if self._pem is None:
            return np.ones(len(bsp), dtype=np.float32)
        return rate_candidates(self._pem, bsp)

    def _answers_of(
        self, videos: Sequence[ScoredVideo], candidates: RaggedProposals, confidence: Float32
    ) -> Iterable[Proposals | None]:
        if self.config.mode == "window":  # the windows of a recording share one Soft-NMS
            return [None] * len(videos)
        seconds = [video.seconds for video in videos]
        return final_proposals(candidates, confidence, seconds, self.config.soft_nms)


def open_nets(
    bundle: Bundle, nets: Iterable[Net], backend: str, threads: int
) -> dict[Net, Session]:
    """Open networks of a bundle for calls from `threads` workers; each call uses one thread.

    Missing ONNX files are exported first. `backend` may be "auto".

    Raises
    ------
    BundleError, BackendError
        A file is missing or damaged, or the runtime is absent or refuses it.
    """
    chosen = choose_backend(bundle, backend).name
    if find_backend(chosen)[0].suffix == ".onnx":
        bundle = with_onnx(bundle)
    return {n: open_net(bundle, n, backend=chosen, threads=1, streams=threads) for n in nets}


def _load(piece: Piece) -> Features | ScoredVideo | Lost:
    try:
        return piece.load()
    except ActSpanError as error:
        return Lost(piece.id, error)


def _load_kernels() -> None:
    """Call every kernel once to load its compiled form, or to compile it the first time."""
    cells = np.full((2, 1), 0.5, dtype=np.float32)
    fit_to_cells(Features(cells, stride=1.0, length=1.0), 3, "clamp")
    scores = BoundaryScores(*(cells.ravel() for _ in range(3)))
    candidates = generate_proposals(scores)
    bsp_features(scores, candidates)
    soft_nms(candidates)


def with_onnx(bundle: Bundle) -> Bundle:
    """Return the bundle with ONNX files of its networks; export those that are missing."""
    nets = [net for net, there in (("tem", bundle.has_tem), ("pem", bundle.has_pem)) if there]
    if all(f"{net}.onnx" in bundle.files for net in nets):
        return bundle
    from actspan.runtime.export import export_bundle

    exported, _ = export_bundle(bundle, check_torch=False)
    return exported
