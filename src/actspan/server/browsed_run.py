"""One finished run, read lazily, and its curves at every zoom level."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from actspan.config.base import from_dict
from actspan.config.stages import PipelineConfig, SoftNmsConfig
from actspan.core.errors import ResultError
from actspan.core.files import folder_kind, similar_path
from actspan.core.types import Float32, Proposals, RaggedProposals
from actspan.core.wording import counted
from actspan.data.detections import DETECTIONS_FILE, Detections, read_detections
from actspan.data.result_files import read_result
from actspan.data.scores import ScoreFiles
from actspan.jobs.run import CANDIDATES, RESULT, RUN_FILE, SCORES, CandidatePlace, Candidates, Run
from actspan.pipeline.outcomes import suppress, to_recording_seconds
from actspan.pipeline.steps import cells, final_proposals
from actspan.proposals.candidates import fuse
from actspan.server.error_responses import ProblemError

TILE = 1024  # columns
_RECENT = 8  # number of videos whose curves and candidates stay in memory


def check_index(what: str, index: int, count: int) -> None:
    """Raise ProblemError (404) unless an index is one of `count` things."""
    if not 0 <= index < count:
        raise ProblemError(404, f"no {what} {index}: {counted(count, what)}, counted from 0")


class ZoomLevels:
    """Three curves, halved until they fit one tile.

    Minimum and maximum are kept, so that peaks stay visible. Curves are (3, T): action, start, end.

    Examples
    --------
    >>> levels = ZoomLevels(np.eye(3, 5000))
    >>> len(levels), levels.tile(2, 1).shape
    (4, (2, 3, 226))
    """

    def __init__(self, curves: ArrayLike) -> None:
        level: Float32 = np.stack([np.asarray(curves, np.float32)] * 2)  # (2, 3, T)
        self._levels = [level]
        while (columns := level.shape[2]) > TILE:
            if columns % 2:
                level = np.pad(level, ((0, 0), (0, 0), (0, 1)), mode="edge")
            low, high = level.reshape(2, 3, -1, 2)  # (3, ceil(n / 2), 2) each
            level = np.stack([low.min(axis=-1), high.max(axis=-1)])
            self._levels.append(level)

    def __len__(self) -> int:
        """Return the number of levels; a column of level k covers 2^k cells."""
        return len(self._levels)

    @property
    def cells(self) -> int:
        """T, the number of cells."""
        return int(self._levels[0].shape[2])

    def tile(self, level: int, index: int) -> Float32:
        """Return columns from index * TILE on, (2, 3, <= TILE) float32: minimum, maximum.

        Raises ProblemError (404) for a tile that does not exist.
        """
        check_index("level", level, len(self))
        columns = self._levels[level]
        check_index("tile", index, -(-columns.shape[2] // TILE))
        return columns[:, :, index * TILE : (index + 1) * TILE]


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
        """Whether boundary scores and candidates were kept; the latter say what the scores span."""
        return self.can_suppress and (self.path / SCORES).is_file()

    @property
    def can_suppress(self) -> bool:
        """Whether candidates were kept, so that suppression can be repeated."""
        return self.run is not None and (self.path / CANDIDATES).is_file()

    def warm(self) -> None:
        """Read what the first request for a video needs."""
        for video in list(self.result)[:1]:
            self.span(video)
            self.curves(video)

    @property
    def result(self) -> dict[str, Proposals]:
        """Proposals of every video, seconds, in the file's order."""
        with self._reading:
            return self._result

    @cached_property
    def _result(self) -> dict[str, Proposals]:
        return read_result(self.path)

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
        return tuple(self.run.candidates(place.batches))

    def proposals(self, video: str) -> ShownProposals:
        """Return the run's proposals for a video, best first."""
        proposals = self.result.get(video, Proposals.empty())
        return self._labelled(video, proposals[np.argsort(-proposals.score, kind="stable")])

    def suppressed(self, video: str, config: SoftNmsConfig) -> ShownProposals:
        """Suppress again with other settings of Soft-NMS, by the pipeline's own code.

        Raises ProblemError (409) if the run has no candidates of the video.
        """
        windows = self._candidates(video)
        if self.config.mode == "window":
            return self._labelled(video, self._suppress_recording(video, windows, config))
        (only,) = windows
        ragged = RaggedProposals.of([only.proposals])
        (best,) = final_proposals(ragged, only.confidence, [only.seconds], config)
        return self._labelled(video, best)

    def _suppress_recording(
        self, video: str, windows: tuple[Candidates, ...], config: SoftNmsConfig
    ) -> Proposals:
        curves = self.curves(video)
        length = cells(self.config)
        shown = length if curves is None else min(length, curves.cells)  # a short recording
        fused = [w.proposals.with_score(fuse(w.proposals, w.confidence)) for w in windows]
        parts = [
            to_recording_seconds(p, w.offset, w.seconds)
            for p, w in zip(fused, windows, strict=True)
        ]
        settings = PipelineConfig(mode="window", tem=self.config.tem, soft_nms=config)
        return suppress(Proposals.concat(parts), windows[-1].seconds / shown, shown, settings)

    def _labelled(self, video: str, proposals: Proposals) -> ShownProposals:
        with self._reading:
            detections = self._detections.get(video)
        if detections is None:
            return ShownProposals(proposals, None)
        return ShownProposals(proposals, detections.best_labels(proposals))
