"""Steps between the networks for one video or window, one plain function per step.

`Pipeline` runs them in memory; the staged path runs the same steps with files in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from actspan.config.stages import Edge, PgmConfig, PipelineConfig, SoftNmsConfig, TemConfig
from actspan.core.errors import ActSpanError, ShapeError
from actspan.core.types import BoundaryScores, Features, Float32, Proposals, RaggedProposals
from actspan.data.dataset import Dataset
from actspan.data.recording import Window, pad_window, plan_windows
from actspan.data.rescale import fit_to_cells
from actspan.pipeline.outcomes import Outcome, Piece, ScoredVideo, VideoInput
from actspan.proposals.candidates import fuse, generate_proposals_batch
from actspan.proposals.suppression import soft_nms_batch
from actspan.runtime.session import Session

PEM_ROWS = 4096  # rows per call


def settled_edge(config: PipelineConfig, edge: Edge) -> Edge:
    """Return how rescaling fills outer cells: the model's setting, else the dataset's."""
    return edge if config.rescale.edge == "auto" else config.rescale.edge


def cells(config: PipelineConfig) -> int:
    """Return the number of cells per video, T, or of snippets per window."""
    return (config.tem or TemConfig()).length


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
        for window in plan_windows(len(source), cells(config)):
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
    """Return TEM's input for a video or window, (T, C).

    Raises ShapeError if features have another number of channels than the model.
    """
    tem = config.tem or TemConfig()
    if features.values.shape[1] != tem.channels:
        raise ShapeError(
            f"features have {features.values.shape[1]} channels, the model expects {tem.channels}"
        )
    if config.mode == "window":
        return pad_window(features.values, tem.length)
    return fit_to_cells(features, tem.length, edge)


def scored_videos(
    output: Float32, features: Sequence[Features], config: PipelineConfig
) -> list[ScoredVideo]:
    """Return the scores of each video from TEM's output, (B, 3, T), without padded cells."""
    windows = config.mode == "window"
    return [
        ScoredVideo(
            BoundaryScores.from_array(row[:, : len(item)] if windows else row), item.seconds
        )
        for row, item in zip(output, features, strict=True)
    ]


def find_candidates(
    scores: Sequence[BoundaryScores], windows: Sequence[Window | None], config: PgmConfig
) -> RaggedProposals:
    """Find the candidates of each video or window that PEM scores: at most `config.keep`."""
    edges = [(False, False) if w is None else w.inner_edges() for w in windows]
    return generate_proposals_batch(scores, config, edges, config.keep)


def rate_candidates(pem: Session, rows: Float32) -> Float32:
    """Compute PEM's score of every candidate, (sum N,), from BSP features, (sum N, 32).

    Videos share calls without padding.
    """
    scored = np.empty(len(rows), dtype=np.float32)
    for first in range(0, len(rows), PEM_ROWS):
        part = slice(first, first + PEM_ROWS)
        scored[part] = pem.run({"video_feature": rows[part]})["output"][:, 0]
    return scored


def final_proposals(
    candidates: RaggedProposals,
    confidence: Float32,
    seconds: Sequence[float],
    config: SoftNmsConfig,
) -> RaggedProposals:
    """Return the proposals of videos that were seen at once: seconds, best first.

    Candidates are fractions of the span, which lasts `seconds` in each video. `confidence` are
    PEM's scores, (sum N,).
    """
    found = candidates.together
    best, score, ends = soft_nms_batch(candidates, fuse(found, confidence), config)
    unit = np.repeat(seconds, np.diff(ends, prepend=0))
    start = found.start[best].clip(min=0) * unit
    end = found.end[best].clip(max=1) * unit
    boundaries = (s if s is None else s[best] for s in (found.start_score, found.end_score))
    return RaggedProposals(Proposals(start, end, score, *boundaries), ends)


def make_outcomes(
    pieces: Sequence[Piece],
    videos: Sequence[ScoredVideo],
    candidates: RaggedProposals,
    confidence: Float32,
    answers: Iterable[Proposals | None],
) -> list[Outcome]:
    """Create the outcome of each piece; proposals are None before a recording's last window."""
    parts = (confidence[rows] for rows in candidates.rows())
    of_each = zip(pieces, videos, candidates, parts, answers, strict=True)
    return [
        Outcome(piece.id, video.seconds, video.scores, found, part, answer, piece.window)
        for piece, video, found, part, answer in of_each
    ]
