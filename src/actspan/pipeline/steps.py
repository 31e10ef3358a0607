"""Stages from features to proposals of a batch of videos or windows, one after the other.

`Pipeline` runs them on all cores, the benchmark times each of them, and the staged path runs the
steps between the networks with files in between.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from actspan.config.stages import (
    Edge,
    PgmConfig,
    PipelineConfig,
    TemConfig,
)
from actspan.core.errors import ActSpanError, BundleError, ShapeError
from actspan.core.ragged import RaggedProposals
from actspan.core.segments import Proposals
from actspan.core.types import BoundaryScores, Features, Float32
from actspan.data.cells import Window, fit_to_cells, pad_window, plan_windows
from actspan.data.dataset import Dataset
from actspan.pipeline.label_free_steps import find_label_free, with_label_free
from actspan.pipeline.outcomes import Outcome, Piece, ScoredVideo, StageClock, VideoInput
from actspan.proposals.bsp import bsp_features_batch
from actspan.proposals.candidates import fuse, generate_proposals_batch
from actspan.proposals.suppression import soft_nms_batch
from actspan.runtime.session import Session

PEM_ROWS = 4096  # rows per call


def pieces_of(videos: Iterable[VideoInput], config: PipelineConfig) -> Iterator[Piece]:
    """Yield the pieces of every video: all of it, or its windows in order.

    A whole video is opened by the worker that loads it.
    """
    for video in videos:
        if config.mode != "window":
            yield Piece(video.id, partial(_load_whole, video))
            continue
        try:
            source = video.open()
        except ActSpanError as error:
            yield failed_piece(video.id, error)
            continue
        for window in plan_windows(len(source), config.cells):
            yield Piece(video.id, partial(source.rows, window.first, window.last), window)


def feature_inputs(
    dataset: Dataset, videos: Iterable[str], config: PipelineConfig
) -> Iterator[VideoInput]:
    """Yield the features of videos of a dataset; long recordings are read in parts."""
    mapped = config.mode == "window"
    return (VideoInput(video, partial(dataset.open, video, mapped=mapped)) for video in videos)


def _load_whole(video: VideoInput) -> Features | ScoredVideo:
    source = video.open()
    return source.rows(0, len(source))


def failed_piece(video: str, error: ActSpanError) -> Piece:
    """Return a piece that raises an error when it is loaded, so that it is reported in order."""

    def load() -> Features:
        raise error

    return Piece(video, load)


def tem_input(features: Features, config: PipelineConfig, edge: Edge) -> Float32:
    """Return TEM's input for a video or window, (T, C); `edge` is used if the config says "auto".

    Raises ShapeError if features have another number of channels than the model.
    """
    tem = config.tem or TemConfig()
    if features.values.shape[1] != tem.channels:
        raise ShapeError(
            f"features have {features.values.shape[1]} channels, the model expects {tem.channels}"
        )
    if config.mode == "window":
        return pad_window(features.values, tem.length)
    configured = config.rescale.edge
    return fit_to_cells(features, tem.length, edge if configured == "auto" else configured)


def find_candidates(
    scores: Sequence[BoundaryScores], windows: Sequence[Window | None], config: PgmConfig
) -> RaggedProposals:
    """Find the candidates of each video or window that PEM scores: at most `config.keep`."""
    edges = [(False, False) if w is None else w.inner_edges() for w in windows]
    return generate_proposals_batch(scores, config, edges, config.keep)


def final_proposals(
    candidates: RaggedProposals,
    confidence: Float32,
    seconds: Sequence[float],
    config: PipelineConfig,
) -> RaggedProposals:
    """Return the proposals of videos that were seen at once: seconds, best first.

    Candidates are fractions of the span, which lasts `seconds` in each video. `confidence` are
    PEM's scores, (sum N,).
    """
    proposals = candidates.together
    best, score, ends = soft_nms_batch(
        candidates, fuse(proposals, confidence, config.fusion), config.soft_nms
    )
    unit = np.repeat(seconds, np.diff(ends, prepend=0))
    start = proposals.start[best].clip(min=0) * unit
    end = proposals.end[best].clip(max=1) * unit
    boundaries = (s if s is None else s[best] for s in (proposals.start_score, proposals.end_score))
    return RaggedProposals(Proposals(start, end, score, *boundaries, unit="seconds"), ends)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Input and output of every stage for B videos or windows of recordings."""

    pieces: Sequence[Piece]
    features: Sequence[Features]  # of the pieces whose scores were not computed elsewhere
    video: Float32  # (B, C, T)
    output: Float32  # (B, 3, T), of TEM
    scored: Sequence[ScoredVideo]
    candidates: RaggedProposals
    rows: Float32  # (sum N, 32), BSP features of all candidates
    confidence: Float32  # (sum N,), scores of PEM


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """The stages of a model, as methods that take a batch; several threads may call them.

    Attributes
    ----------
    tem_session, pem_session : Session, optional
        Without a TEM only boundary scores are accepted; without a PEM candidates are ranked by
        start score x end score.
    edge : "clamp" or "zero"
        How rescaling fills cells beyond the outer snippets, if the config says "auto".
    memory : threading.local, optional
        Place of the large arrays of a batch, which the thread's next batch overwrites.
    """

    config: PipelineConfig
    tem_session: Session | None
    pem_session: Session | None
    edge: Edge
    memory: threading.local | None = None

    def walk(
        self, pieces: Sequence[Piece], loaded: Sequence[Features | ScoredVideo], clock: StageClock
    ) -> Batch:
        """Run all stages except Soft-NMS on pieces, which are loaded, and time them."""
        none = np.empty(0, np.float32)
        if self.config.label_free is not None:
            with clock.time("candidates"):
                scored, candidates = find_label_free(loaded, self.config.label_free)
            confidence = candidates.together.score.astype(np.float32)
            return Batch(pieces, (), none, none, scored, candidates, none, confidence)
        features = [item for item in loaded if isinstance(item, Features)]
        video = output = none
        if features:
            with clock.time("read"):
                video = self.rescale(features)
            with clock.time("tem"):
                output = self.tem(video)
                clock.count_flat(output)
        computed = iter(self.scored(output, features))
        scored = [item if isinstance(item, ScoredVideo) else next(computed) for item in loaded]
        with clock.time("candidates"):
            candidates, rows = self.candidates(pieces, scored)
        with clock.time("pem"):
            confidence = self.pem(rows)
        if self.config.fusion.label_free:
            with clock.time("candidates"):
                windows = [piece.window for piece in pieces]
                candidates, confidence = with_label_free(
                    loaded, windows, candidates, confidence, self.config.fusion
                )
        return Batch(pieces, features, video, output, scored, candidates, rows, confidence)

    def load(self, pieces: Sequence[Piece]) -> list[Features]:
        """Load the features of pieces; raise the error of one that cannot be read."""
        loaded = [piece.load() for piece in pieces]
        return [item for item in loaded if isinstance(item, Features)]

    def rescale(self, features: Sequence[Features]) -> Float32:
        """Make TEM's input, (B, C, T)."""
        config = self.config
        if self.tem_session is None or config.tem is None:
            raise BundleError(
                "the bundle contains no TEM, which features need; give boundary scores"
            )
        video = self._array("video", (len(features), config.tem.channels, config.tem.length))
        for row, item in zip(video, features, strict=True):
            row[:] = tem_input(item, config, self.edge).T
        return video

    def tem(self, video: Float32) -> Float32:
        """Compute boundary scores, (B, 3, T)."""
        assert self.tem_session is not None
        return self.tem_session.run({"video": video})["output"]

    def scored(self, output: Float32, features: Sequence[Features]) -> list[ScoredVideo]:
        """Return the scores of each video from TEM's output, (B, 3, T), without padded cells."""
        windows = self.config.mode == "window"
        return [
            ScoredVideo(
                BoundaryScores.from_array(row[:, : len(item)] if windows else row), item.seconds
            )
            for row, item in zip(output, features, strict=True)
        ]

    def candidates(
        self, pieces: Sequence[Piece], videos: Sequence[ScoredVideo]
    ) -> tuple[RaggedProposals, Float32]:
        """Find candidates, and compute the BSP features of all of them, (sum N, 32)."""
        scores, bsp = [video.scores for video in videos], self.config.bsp
        of_all = find_candidates(scores, [piece.window for piece in pieces], self.config.pgm)
        rows = self._array("bsp", (len(of_all.together), bsp.size))
        bsp_features_batch(rows, scores, of_all, bsp)
        return of_all, rows

    def pem(self, rows: Float32) -> Float32:
        """Compute PEM's score of every candidate, (sum N,); videos share calls without padding."""
        if self.pem_session is None:
            return np.ones(len(rows), dtype=np.float32)
        scored = np.empty(len(rows), dtype=np.float32)
        for first in range(0, len(rows), PEM_ROWS):
            part = slice(first, first + PEM_ROWS)
            scored[part] = self.pem_session.run({"video_feature": rows[part]})["output"][:, 0]
        return scored

    def outcomes(self, batch: Batch, confidence: Float32) -> list[Outcome]:
        """Return the outcome of each piece; `confidence` is like that of the batch.

        Soft-NMS gives whole videos their proposals. Those of a window are None, because windows of
        a recording are suppressed together.
        """
        seconds = [video.seconds for video in batch.scored]
        answers: Iterable[Proposals | None] = [None] * len(seconds)
        if self.config.mode != "window":
            answers = final_proposals(batch.candidates, confidence, seconds, self.config)
        parts = (confidence[rows] for rows in batch.candidates.rows())
        of_each = zip(batch.pieces, batch.scored, batch.candidates, parts, answers, strict=True)
        return [
            Outcome(piece.id, video.seconds, video.scores, found, part, answer, piece.window)
            for piece, video, found, part, answer in of_each
        ]

    def _array(self, name: str, shape: tuple[int, ...]) -> Float32:
        """Return an uninitialised array; a thread reuses it in its next call with that name.

        Allocating new pages would cost more than the computation in them.
        """
        if self.memory is None:
            return np.empty(shape, dtype=np.float32)
        size = math.prod(shape)
        memory: Float32 | None = getattr(self.memory, name, None)
        if memory is None or memory.size < size:
            memory = np.empty(size, dtype=np.float32)
            setattr(self.memory, name, memory)
        return memory[:size].reshape(shape)


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
