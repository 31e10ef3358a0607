"""Segments of a video while it is recorded. Each is reported once, soon after it ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from actspan.config.stages import PipelineConfig
from actspan.core.errors import BundleError
from actspan.core.progress import no_progress
from actspan.core.types import Proposals
from actspan.data.annotations.annotation_set import canonical_id
from actspan.jobs.video_inference.answers import Selection, VideoMoments
from actspan.jobs.video_inference.features import BundleFeatures
from actspan.jobs.video_inference.pieces import VideoPieces
from actspan.jobs.video_inference.stream import GrowingVideo
from actspan.model.bundle import Bundle
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import Outcome
from actspan.pipeline.steps import cells
from actspan.proposals.candidates import fuse
from actspan.proposals.suppression import soft_nms
from actspan.streams.extraction import VideoProgress
from actspan.streams.video_decoding import VideoFile

TOLD = 10  # segments per half window, unless given
MARGIN = 0.1  # of a window; context needed after a segment's end before it is reported


@dataclass(frozen=True, slots=True)
class FollowRequest:
    """Settings of `follow_video`.

    Attributes
    ----------
    model : Path
        A bundle in window mode that was trained on features of `actspan extract`.
    selection : Selection
        Choice of the final proposals. `top` also limits the reports per half window, 10 unless
        given.
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
    """Segments that are reported for the first time.

    Attributes
    ----------
    seconds : float
        Seconds of the video that the model has seen.
    proposals : Proposals
        Seconds, sorted by end. Scores may still fall if better segments follow.
    """

    seconds: float
    proposals: Proposals


def follow_video(request: FollowRequest, stream: GrowingVideo) -> Iterator[News | VideoMoments]:
    """Find segments while a video is recorded; the last item is the answer for all of it.

    A segment is reported once, when a tenth of a window after its end is known. This is at most 0.6
    windows after it ended, or a whole window at the start. The final answer is that of
    `propose_videos`. Memory does not depend on the length of the recording.

    Raises
    ------
    BundleError
        The model looks at whole videos, or the bundle cannot be used.
    VideoError
        The file is no video, or cannot be read from front to back.
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
        made = VideoPieces({stream.path: name}, bundle.config, VideoProgress(no_progress, 0.0))
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
    """Reporter of the new segments of each window. It keeps the candidates of two windows.

    Parameters
    ----------
    config : PipelineConfig
    selection : Selection
    """

    def __init__(self, config: PipelineConfig, selection: Selection) -> None:
        self._config, self._selection = config, selection
        self._cells = cells(config)
        self._before = Proposals.empty()
        self._told = 0.0  # seconds; segments that end before this have been reported

    def of(self, outcome: Outcome) -> News:
        """Return the segments that end in the part that this window settles."""
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
