"""What happens to one video or window between the networks, a plain function a step.

`Pipeline` takes them in memory; the staged path takes the same with files in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from actspan.config import PgmConfig, PipelineConfig, SoftNmsConfig, TemConfig
from actspan.data.rescale import Edge, fit_to_cells
from actspan.data.windows import Window, pad_window, plan_windows, seen_elsewhere
from actspan.errors import ActSpanError, ShapeError
from actspan.pipeline.jobs import Job, Piece, ScoredVideo
from actspan.proposals import fuse, generate_proposals
from actspan.proposals.suppression import suppress
from actspan.types import BoundaryScores, Features, Float32, Proposals


def settled_edge(config: PipelineConfig, edge: Edge) -> Edge:
    """How rescaling fills outer cells: as the model's settings say, else as the dataset does."""
    return edge if config.rescale.edge == "auto" else config.rescale.edge


def pieces(jobs: Iterable[Job], config: PipelineConfig) -> Iterator[Piece]:
    """What the networks see of every job: the whole of it, or its windows in order."""
    if config.mode != "window":
        yield from map(_whole, jobs)
        return
    for job in jobs:
        try:
            source = job.open()
        except ActSpanError as error:
            yield Piece(job.id, partial(_fail, error))  # in its turn, like all other errors
            continue
        for window in plan_windows(len(source), cells(config)):
            yield Piece(job.id, partial(source.rows, window.first, window.last), window)


def _fail(error: ActSpanError) -> Features:
    raise error


def _whole(job: Job) -> Piece:
    """A video that the nets see at once; it is opened by the worker."""

    def load() -> Features | ScoredVideo:
        source = job.open()
        return source.rows(0, len(source))

    return Piece(job.id, load)


def cells(config: PipelineConfig) -> int:
    """T, cells a video or snippets a window."""
    return (config.tem or TemConfig()).length


def tem_input(features: Features, config: PipelineConfig, edge: Edge) -> Float32:
    """What TEM sees of a video or window, (T, C).

    Raises
    ------
    ShapeError
        Features have another number of channels than the model.
    """
    channels = (config.tem or TemConfig()).channels
    if features.values.shape[1] != channels:
        raise ShapeError(
            f"features have {features.values.shape[1]} channels, the model expects {channels}"
        )
    if config.mode == "window":
        return pad_window(features.values, cells(config))
    return fit_to_cells(features, cells(config), edge)


def find_candidates(scores: BoundaryScores, window: Window | None, config: PgmConfig) -> Proposals:
    """The candidates that PEM shall score: at most `config.keep`, by rank."""
    found = generate_proposals(scores, config)
    if window is not None:
        found = found[~seen_elsewhere(found.start, found.end, window)]
    return found if len(found) <= config.keep else found[: config.keep]


def final_proposals(
    candidates: Proposals, confidence: Float32, seconds: float, config: SoftNmsConfig
) -> Proposals:
    """The answer for a video that was seen at once: seconds, best first.

    Parameters
    ----------
    candidates : Proposals
        N candidates with boundary scores, fractions of the span.
    confidence : (N,) float32
        PEM's scores.
    seconds : float
        What position 1.0 stands for.
    """
    fused = fuse(candidates, confidence)
    best, score = suppress(candidates.start, candidates.end, fused, config)
    start = candidates.start[best].clip(min=0) * seconds
    end = candidates.end[best].clip(max=1) * seconds
    boundaries = (candidates.start_score, candidates.end_score)
    return Proposals(start, end, score, *(s if s is None else s[best] for s in boundaries))
