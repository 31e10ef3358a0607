"""Features to proposals: every stage in memory, batched, on all cores.

A worker takes a chunk of videos through all stages by itself: it reads, rescales, runs TEM on one
thread, makes candidates and BSP features, runs PEM on all proposals of the chunk at once, and
suppresses. Workers share nothing but the sessions, so the result of a video depends on neither
the batch size nor the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Literal, NamedTuple, Self, overload

import numpy as np

from actspan.bundle import Bundle
from actspan.config import PipelineConfig
from actspan.data.rescale import Edge, fit_to_cells
from actspan.errors import BundleError, ShapeError
from actspan.parallel import chunked, map_ordered
from actspan.proposals import bsp_features, generate_proposals, soft_nms
from actspan.runtime import Session, open_session
from actspan.types import BoundaryScores, Features, Float32, Proposals

BATCH = 16  # videos a chunk: large enough for TEM's throughput, small enough for the caches
PEM_ROWS = 2048  # proposals a call of PEM: its hidden layer then stays in the second-level cache

Stage = Literal["read", "tem", "candidates", "pem", "soft-nms"]
STAGES: tuple[Stage, ...] = ("read", "tem", "candidates", "pem", "soft-nms")


class ScoredVideo(NamedTuple):
    """Boundary scores of a video, and the seconds that position 1.0 stands for."""

    scores: BoundaryScores
    seconds: float


@dataclass(frozen=True, slots=True)
class Job:
    """One video to be done; a worker loads its features, or its boundary scores."""

    id: str
    load: Callable[[], Features | ScoredVideo]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """All that was computed of one video.

    Attributes
    ----------
    id : str
    seconds : float
        What position 1.0 stands for.
    scores : BoundaryScores
    candidates : Proposals
        What PEM scored, fractions of the feature span, ranked as section 4; before suppression.
    confidence : (N,) float32
        PEM's score of each candidate.
    proposals : Proposals
        The answer: seconds, best first.
    """

    id: str
    seconds: float
    scores: BoundaryScores
    candidates: Proposals
    confidence: Float32
    proposals: Proposals


@dataclass(slots=True)
class StageClock:
    """Seconds that workers spent in each stage, summed over workers."""

    seconds: dict[Stage, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @contextmanager
    def time(self, stage: Stage) -> Iterator[None]:
        """Add the time of a block to a stage."""
        begin = perf_counter()
        yield
        self.seconds[stage] += perf_counter() - begin

    def add(self, other: StageClock) -> None:
        """Add another worker's times."""
        for stage, seconds in other.seconds.items():
            self.seconds[stage] += seconds

    def shares(self) -> dict[Stage, float]:
        """Each stage's share of the sum, in [0, 1]."""
        total = sum(self.seconds.values()) or 1.0
        return {stage: seconds / total for stage, seconds in self.seconds.items()}


class Pipeline:
    """A model that is ready to run.

    Parameters
    ----------
    tem, pem : Session, optional
        Without a TEM only boundary scores can be taken in; without a PEM candidates are ranked by
        start score x end score.
    config : PipelineConfig
    threads : int
        Videos are shared out to this many workers.
    edge : "clamp" or "zero"
        How rescaling fills cells beyond the outer snippets, where the config leaves it open.

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
        self.edge: Edge = edge if config.rescale.edge == "auto" else config.rescale.edge
        self.clock = StageClock()
        self._tem, self._pem = tem, pem
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="actspan")
        self._pool.submit(_load_kernels)  # meanwhile the caller finds out what to do

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
            Workers; all cores unless given.
        tem, pem : bool
            False leaves a network out, even if the bundle holds it. Without TEM only boundary
            scores are taken in; without PEM candidates are ranked by start score x end score.

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
        bundle = _with_onnx(bundle)
        sessions = {
            net: open_session(bundle.file(f"{net}.onnx"), backend=backend, threads=1)
            for net, wanted in (("tem", tem and bundle.has_tem), ("pem", pem))
            if wanted
        }
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
        """Find the scored segments of a video, or of each of many.

        Parameters
        ----------
        features : Features, or an iterable of them
            (n, C) snippets of a video of any length.

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
            return next(self.run([Job("", lambda: features)])).proposals
        jobs = (Job("", lambda f=f: f) for f in features)  # type: ignore[misc]
        return (outcome.proposals for outcome in self.run(jobs))

    def run(self, jobs: Iterable[Job], *, batch: int = BATCH) -> Iterator[Outcome]:
        """Take jobs through all stages; outcomes come in order, a bounded number at a time.

        Parameters
        ----------
        jobs : iterable of Job
            All load features, or all load boundary scores.
        batch : int
            Videos a chunk.
        """
        chunks = chunked(jobs, batch)
        ahead = 2 * self.threads
        for outcomes, clock in map_ordered(self._pool, self._run_chunk, chunks, ahead=ahead):
            self.clock.add(clock)
            yield from outcomes

    def _run_chunk(self, jobs: Sequence[Job]) -> tuple[list[Outcome], StageClock]:
        clock = StageClock()
        with clock.time("read"):
            loaded = [job.load() for job in jobs]
        videos = self._with_scores(loaded, clock)
        with clock.time("candidates"):
            candidates = [self._candidates(video.scores) for video in videos]
            pairs = zip(videos, candidates, strict=True)
            bsp = [bsp_features(video.scores, found, self.config.bsp) for video, found in pairs]
        with clock.time("pem"):
            confidences = self._confidences(bsp)
        with clock.time("soft-nms"):
            names = (job.id for job in jobs)
            outcomes = list(map(self._outcome, names, videos, candidates, confidences))
        return outcomes, clock

    def _with_scores(
        self, loaded: Sequence[Features | ScoredVideo], clock: StageClock
    ) -> list[ScoredVideo]:
        """Run TEM where features were loaded; scores from elsewhere pass as they are."""
        features = [item for item in loaded if isinstance(item, Features)]
        computed = iter(self._evaluate(features, clock) if features else ())
        return [item if isinstance(item, ScoredVideo) else next(computed) for item in loaded]

    def _evaluate(self, features: Sequence[Features], clock: StageClock) -> list[ScoredVideo]:
        with clock.time("read"):
            tem, video = self._tem_input(features)
        with clock.time("tem"):
            output = tem.run({"video": video})["output"]  # (B, 3, T)
        pairs = zip(output, features, strict=True)
        return [ScoredVideo(BoundaryScores.from_array(row), item.seconds) for row, item in pairs]

    def _tem_input(self, features: Sequence[Features]) -> tuple[Session, Float32]:
        """TEM and a batch for it, (B, C, T)."""
        if self._tem is None or self.config.tem is None:
            raise BundleError("the bundle holds no TEM, which features need; give boundary scores")
        length, channels = self.config.tem.length, self.config.tem.channels
        video = np.empty((len(features), channels, length), dtype=np.float32)
        for row, item in zip(video, features, strict=True):
            if item.values.shape[1] != channels:
                raise ShapeError(
                    f"features have {item.values.shape[1]} channels, the model expects {channels}"
                )
            row[:] = fit_to_cells(item, length, self.edge).T
        return self._tem, video

    def _candidates(self, scores: BoundaryScores) -> Proposals:
        return generate_proposals(scores, self.config.pgm)[: self.config.pgm.keep]

    def _confidences(self, bsp: Sequence[Float32]) -> list[Float32]:
        """PEM's score of every candidate; videos share calls, without padding."""
        counts = [len(rows) for rows in bsp]
        if self._pem is None:
            return [np.ones(count, dtype=np.float32) for count in counts]
        rows = np.concatenate(bsp)  # (sum N, 32)
        scored = np.empty(len(rows), dtype=np.float32)
        for block in range(0, len(rows), PEM_ROWS):
            part = slice(block, block + PEM_ROWS)
            scored[part] = self._pem.run({"video_feature": rows[part]})["output"][:, 0]
        return np.split(scored, np.cumsum(counts)[:-1])

    def _outcome(
        self,
        name: str,
        video: ScoredVideo,
        candidates: Proposals,
        confidence: Float32,
    ) -> Outcome:
        fused = candidates.with_score(fuse(candidates, confidence))
        best = soft_nms(fused, self.config.soft_nms)
        clipped = replace(best, start=np.maximum(best.start, 0), end=np.minimum(best.end, 1))
        answer = clipped.scaled(video.seconds)
        return Outcome(name, video.seconds, video.scores, candidates, confidence, answer)


def _load_kernels() -> None:
    """Call every kernel once, which loads its compiled form (or compiles it, the first time)."""
    cells = np.full((2, 1), 0.5, dtype=np.float32)
    fit_to_cells(Features(cells, stride=1.0, length=1.0), 3, "clamp")
    scores = BoundaryScores(*(cells.ravel() for _ in range(3)))
    candidates = generate_proposals(scores)
    bsp_features(scores, candidates)
    soft_nms(candidates)


def fuse(candidates: Proposals, confidence: Float32) -> np.ndarray:
    """Final score of candidates: confidence x start score x end score, (N,) float64."""
    if candidates.start_score is None or candidates.end_score is None:
        raise ShapeError("candidates without start and end scores cannot be ranked")
    fused: np.ndarray = (
        confidence.astype(np.float64) * candidates.start_score * candidates.end_score
    )
    return fused


def _with_onnx(bundle: Bundle) -> Bundle:
    """The bundle with the ONNX files of its networks, exported now where they are missing."""
    nets = [net for net, there in (("tem", bundle.has_tem), ("pem", bundle.has_pem)) if there]
    if all(f"{net}.onnx" in bundle.files for net in nets):
        return bundle
    from actspan.export import export_bundle

    exported, _ = export_bundle(bundle, check_torch=False)
    return exported
