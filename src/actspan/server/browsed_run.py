"""One finished run, read lazily, and its curves."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from actspan.config.base import from_dict
from actspan.config.stages import PipelineConfig, SoftNmsConfig
from actspan.core.errors import ResultError
from actspan.core.files import folder_kind, similar_path
from actspan.core.segments import Proposals
from actspan.data.detections import DETECTIONS_FILE, Detections, read_detections
from actspan.data.result_files import read_result
from actspan.data.scores import ScoreFiles
from actspan.jobs.candidate_files import CANDIDATES, Candidates
from actspan.jobs.resuppression import suppress_again
from actspan.jobs.run import RESULT, RUN_FILE, SCORES, CandidatePlace, Run
from actspan.server.error_responses import ProblemError
from actspan.server.zoom_levels import ZoomLevels

_RECENT = 8  # number of videos whose curves and candidates stay in memory


class ShownProposals(NamedTuple):
    """Proposals of a video, seconds, best first, with a label each if the run has labels."""

    proposals: Proposals
    labels: list[str] | None


class BrowsedRun:
    """Run folder, or a result file alone.

    Only `run.toml` is read at construction; everything else is read at the first access.
    Raises ResultError or ConfigError if the path is neither a run nor a result, or damaged.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.run = Run.load(path) if (path / RUN_FILE).is_file() else None
        if self.run is None and not path.exists():
            raise ResultError(f"{path}: no such run or result file{similar_path(path)}")
        if path.is_dir() and not (path / RESULT).is_file():
            raise ResultError(
                f"{path}{folder_kind(path)}: no {RESULT} in this folder, so it is not a finished "
                "run; write one with actspan propose --out"
            )
        self.info: Mapping[str, Any] = {} if self.run is None else self.run.info  # of `run.toml`
        pipeline = self.info.get("pipeline", {})
        self.config = from_dict(PipelineConfig, pipeline, where=f"{path}: [pipeline]")
        self._reading = Lock()  # large files are read only once, even for concurrent requests
        self._opened = ExitStack()
        self.curves = lru_cache(_RECENT)(self._read_curves)
        self._candidates = lru_cache(_RECENT)(self._read_candidates)

    @property
    def has_curves(self) -> bool:
        """Return True if scores and candidates were kept; the latter say what the scores span."""
        return self.can_suppress and (self.path / SCORES).is_file()

    @property
    def can_suppress(self) -> bool:
        """Return True if candidates were kept, so that suppression can be repeated."""
        return self.run is not None and (self.path / CANDIDATES).is_file()

    def warm(self) -> None:
        """Read what the first request for a video needs."""
        for video in list(self.result)[:1]:
            self.span(video)
            self.curves(video)

    @property
    def result(self) -> dict[str, Proposals]:
        """Proposals of every video, seconds, best first."""
        with self._reading:
            return self._result

    @cached_property
    def _result(self) -> dict[str, Proposals]:
        return {
            video: found[np.argsort(-found.score, kind="stable")]
            for video, found in read_result(self.path).items()
        }

    @cached_property
    def _detections(self) -> dict[str, Detections]:
        exists = self.path.is_dir() and (self.path / DETECTIONS_FILE).is_file()
        return read_detections(self.path) if exists else {}

    @cached_property
    def _places(self) -> dict[str, CandidatePlace]:
        return self.run.candidate_places() if self.run and self.can_suppress else {}

    @cached_property
    def _scores(self) -> ScoreFiles:
        return self._opened.enter_context(ScoreFiles(self.path / SCORES))

    def close(self) -> None:
        """Close the open files."""
        self._opened.close()

    def span(self, video: str) -> float | None:
        """Return the seconds that the cells of a video's curves cover, or None if unknown."""
        place = self._place(video)
        return None if place is None else place.span

    def _place(self, video: str) -> CandidatePlace | None:
        with self._reading:
            return self._places.get(video)

    def _read_curves(self, video: str) -> ZoomLevels | None:
        if not self.has_curves:
            return None
        with self._reading:
            scores = self._scores
            return ZoomLevels(np.asarray(scores.read(video))) if video in scores else None

    def _read_candidates(self, video: str) -> tuple[Candidates, ...]:
        place = self._place(video)
        if self.run is None or place is None:
            raise ProblemError(409, f"{self.name}: no candidates of video {video!r} are stored")
        return tuple(self.run.candidates(place.parts))

    def proposals(self, video: str) -> ShownProposals:
        """Return the run's proposals for a video, best first."""
        return self._labelled(video, self.result.get(video, Proposals.empty("seconds")))

    def suppressed(self, video: str, config: SoftNmsConfig) -> ShownProposals:
        """Suppress again with other settings of Soft-NMS, by the pipeline's own code.

        Raises ProblemError (409) if the run has no candidates of the video.
        """
        windows = self._candidates(video)
        curves = self.curves(video) if self.config.mode == "window" else None
        settings = replace(self.config, soft_nms=config)
        best = suppress_again(windows, settings, None if curves is None else curves.cells)
        return self._labelled(video, best)

    def _labelled(self, video: str, proposals: Proposals) -> ShownProposals:
        with self._reading:
            detections = self._detections.get(video)
        if detections is None:
            return ShownProposals(proposals, None)
        return ShownProposals(proposals, detections.best_labels(proposals))
