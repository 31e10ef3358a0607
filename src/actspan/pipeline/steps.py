"""Stages from features to proposals of a batch of videos or windows, one after the other.

`Pipeline` runs them on all cores, the benchmark times each of them, and the staged path runs the
steps between the networks with files in between. This module has what every kind of model shares:
pieces of videos, the input of the network that sees them, and Soft-NMS.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from actspan.config.stages import Edge, PipelineConfig, TemConfig
from actspan.core.errors import ActSpanError, BundleError, ShapeError
from actspan.core.ragged import RaggedProposals
from actspan.core.segments import Proposals
from actspan.core.types import Features, Float32
from actspan.data.cells import fit_to_cells, pad_window, plan_windows
from actspan.data.dataset import Dataset
from actspan.model.nets import Net
from actspan.pipeline.outcomes import Outcome, Piece, ScoredVideo, Stage, StageClock, VideoInput
from actspan.proposals.candidates import rank
from actspan.proposals.suppression import soft_nms_batch
from actspan.runtime.session import Session


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


def video_input(features: Features, config: PipelineConfig, edge: Edge) -> Float32:
    """Return the network's input for a video or window, (T, C), filled at the edges.

    `edge` is how rescaling fills cells beyond the outer snippets, if the config says "auto".


    Raises ShapeError if features have another number of channels than the model.
    """
    net = config.video_network or TemConfig()
    if features.values.shape[1] != net.channels:
        raise ShapeError(
            f"features have {features.values.shape[1]} channels, the model expects {net.channels}"
        )
    if config.mode == "window":
        return pad_window(features.values, net.length)
    configured = config.rescale.edge
    return fit_to_cells(features, net.length, edge if configured == "auto" else configured)


def final_proposals(
    candidates: RaggedProposals,
    confidence: Float32,
    seconds: Sequence[float],
    config: PipelineConfig,
) -> RaggedProposals:
    """Return the proposals of videos that were seen at once: seconds, best first.

    Candidates are fractions of the span, which lasts `seconds` in each video. `confidence` is
    that of each, (sum N,).
    """
    proposals = candidates.together
    best, score, ends = soft_nms_batch(
        candidates, rank(proposals, confidence, config), config.soft_nms
    )
    unit = np.repeat(seconds, np.diff(ends, prepend=0))
    start = proposals.start[best].clip(min=0) * unit
    end = proposals.end[best].clip(max=1) * unit
    boundaries = (s if s is None else s[best] for s in (proposals.start_score, proposals.end_score))
    return RaggedProposals(Proposals(start, end, score, *boundaries, unit="seconds"), ends)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Output of every stage but Soft-NMS for B videos or windows of recordings."""

    pieces: Sequence[Piece]
    features: Sequence[Features]  # of the pieces whose scores were not computed elsewhere
    scored: Sequence[ScoredVideo]
    candidates: RaggedProposals
    confidence: Float32  # (sum N,), of the candidates


Loaded = Sequence[Features | ScoredVideo]


class Step(NamedTuple):
    """One stage of a batch, ready to be called again and again."""

    name: Stage | Literal["rescale"]
    call: Callable[[], object]
    is_network: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Steps(ABC):
    """The stages of a kind of model, as methods that take a batch; several threads may call them.

    Attributes
    ----------
    sessions : mapping of network to Session
        Those of the networks that are run.
    edge : "clamp" or "zero"
        How rescaling fills cells beyond the outer snippets, if the config says "auto".
    memory : threading.local, optional
        Place of the large arrays of a batch, which the thread's next batch overwrites.
    """

    config: PipelineConfig
    sessions: Mapping[Net, Session]
    edge: Edge
    memory: threading.local | None = None

    @abstractmethod
    def walk(self, pieces: Sequence[Piece], loaded: Loaded, clock: StageClock) -> Batch:
        """Run all stages except Soft-NMS on pieces, which are loaded, and time them."""

    @abstractmethod
    def single_steps(self, pieces: Sequence[Piece], features: Sequence[Features]) -> list[Step]:
        """Return a call of each stage between reading and Soft-NMS, in order, to be timed.

        Each computes its stage of these pieces from the output of the stages before it, which is
        computed now.
        """

    def load(self, pieces: Sequence[Piece]) -> list[Features]:
        """Load the features of pieces; raise the error of one that cannot be read."""
        loaded = [piece.load() for piece in pieces]
        return [item for item in loaded if isinstance(item, Features)]

    def only_features(self, loaded: Loaded) -> list[Features]:
        """Return pieces that are features; raise ShapeError for boundary scores."""
        features = [item for item in loaded if isinstance(item, Features)]
        if len(features) < len(loaded):
            raise ShapeError("boundary scores are for BSN's models; give features")
        return features

    def rescale(self, features: Sequence[Features]) -> Float32:
        """Make the input of the network that sees the features, (B, C, T)."""
        net = self.config.video_network
        if net is None or not {"tem", "bmn"} & self.sessions.keys():
            raise BundleError(
                "the bundle contains no TEM, which features need; give boundary scores"
            )
        video = self._array("video", (len(features), net.channels, net.length))
        for row, item in zip(video, features, strict=True):
            row[:] = video_input(item, self.config, self.edge).T
        return video

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
            Outcome(
                piece.id,
                video.seconds,
                video.scores,
                found,
                part,
                answer,
                piece.window,
                own_scores=self.config.bmn is not None,
            )
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
