"""Moments of a video while it is recorded: each is told once, soon after it ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from actspan.bundle import Bundle
from actspan.config import PipelineConfig
from actspan.data.annotations import canonical_id
from actspan.errors import BundleError
from actspan.moments.answers import Selection, VideoMoments
from actspan.moments.features import BundleFeatures
from actspan.moments.pieces import VideoPieces
from actspan.moments.stream import GrowingVideo
from actspan.pipeline import Outcome, Pipeline
from actspan.pipeline.steps import cells
from actspan.proposals import fuse, soft_nms
from actspan.types import Proposals
from actspan.video import VideoFile
from actspan.video.jobs import Progress

TOLD = 10  # of each half window, unless said otherwise
MARGIN = 0.1  # of a window: what must be known after a moment's end before it is told


@dataclass(frozen=True, slots=True)
class FollowRequest:
    """What `follow_video` shall do.

    Attributes
    ----------
    model : Path
        A bundle in window mode that was trained on features of `actspan extract`.
    selection : Selection
        Which proposals are given out in the end. Of each half window as many are told, or 10.
    backbone : str, optional
        As for `BundleFeatures`.
    """

    model: Path
    selection: Selection = field(default_factory=Selection)
    backbone: str | None = None
    backend: str = "auto"
    threads: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class News:
    """What is new.

    Attributes
    ----------
    seconds : float
        Of the video that the model has seen.
    proposals : Proposals
        Seconds, by their ends: not told before. Scores may still fall beside better ones to come.
    """

    seconds: float
    proposals: Proposals


def follow_video(request: FollowRequest, stream: GrowingVideo) -> Iterator[News | VideoMoments]:
    """Find moments while a video is recorded; the last item is the answer for all of it.

    A moment is told once, when a tenth of a window after its end is known: at most 0.6 windows
    after it ended, or a whole one in the first. The answer at the end is that of
    `propose_videos`. Memory does not depend on how long the recording is.

    Raises
    ------
    BundleError
        The model looks at whole videos, or cannot be used.
    VideoError
        It is no video, or cannot be read from front to back.
    ConfigError, ModelError, BackendError
        The backbone cannot be used.
    """
    bundle = Bundle.load(request.model)
    _require_windows(bundle)
    with (
        BundleFeatures(
            bundle,
            backbone=request.backbone,
            threads=request.threads,
            backend=request.backend,
        ) as features,
        Pipeline.load(bundle, backend=request.backend, threads=1) as pipeline,
        VideoFile(stream.path, stream) as video,
    ):
        name = canonical_id(stream.path.stem)
        made = VideoPieces({stream.path: name}, bundle.config, Progress(None, 0.0))
        told = replace(request.selection, top=request.selection.top or TOLD)
        news = Newsroom(bundle.config, told)
        pieces = made.of(features.follow(video))
        for outcome in pipeline.run_pieces(pieces, batch=1, ahead=0):
            yield news.of(outcome)
            if outcome.proposals is not None:
                chosen = request.selection.of(outcome.proposals)
                yield VideoMoments(name, stream.path, made.endings[name].seconds, chosen)


def _require_windows(bundle: Bundle) -> None:
    if bundle.config.mode != "window":
        raise BundleError(
            f"{bundle.path}: looks at whole videos (mode rescale), so it cannot follow one that is "
            "not over. Train a model that looks at windows: actspan train --mode window"
        )


class Newsroom:
    """Says what is new in each window; holds two windows' candidates.

    Parameters
    ----------
    config : PipelineConfig
    selection : Selection
    """

    def __init__(self, config: PipelineConfig, selection: Selection) -> None:
        self._config, self._selection = config, selection
        self._cells = cells(config)
        self._before = Proposals.empty()
        self._told = 0.0  # seconds up to which ends have been told

    def of(self, outcome: Outcome) -> News:
        """The moments that end in the stretch that this window settles."""
        window = outcome.window
        assert window is not None
        snippet = outcome.seconds / len(window)
        fused = outcome.candidates.with_score(fuse(outcome.candidates, outcome.confidence))
        here = Proposals(
            outcome.offset + fused.start * outcome.seconds,
            outcome.offset + fused.end * outcome.seconds,
            fused.score,
        )
        known = Proposals.concat([self._before, here])
        best = soft_nms(known, self._config.soft_nms, span=self._cells * snippet)
        end = window.last * snippet
        until = end if window.is_final else end - MARGIN * self._cells * snippet
        new = self._selection.of(best[(best.end > self._told) & (best.end <= until)])
        self._before, self._told = here, until
        return News(end, new[new.end.argsort(kind="stable")])
