"""The windows of a recording, brought together: one Soft-NMS over all of it (bsn.md section 11)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from actspan.config import PipelineConfig
from actspan.data.windows import Window
from actspan.pipeline.jobs import Lost, Outcome
from actspan.proposals import fuse, soft_nms
from actspan.types import Proposals

POOL = 200_000  # candidates of a recording that are held at least; the best ones


class Recordings:
    """Collects windows in order; the last one of a recording gets the recording's proposals.

    A pool of the best candidates is held, so that memory is flat however long the recording is.
    That changes nothing as long as the last pick scores more than the best candidate left out:
    scores only fall, so no candidate left out would have been picked, and only picks matter.

    Parameters
    ----------
    config : PipelineConfig
    pool : int
        Candidates to hold at least.
    """

    def __init__(self, config: PipelineConfig, *, pool: int = POOL) -> None:
        self._config, self._pool = config, pool
        self._parts: list[Proposals] = []
        self._held = 0

    def add(self, outcome: Outcome) -> Outcome:
        """Take a window; the recording's last one comes back with proposals."""
        assert outcome.window is not None
        fused = outcome.candidates.with_score(fuse(outcome.candidates, outcome.confidence))
        return replace(outcome, proposals=self.take(outcome.window, outcome.seconds, fused))

    def take(self, window: Window, seconds: float, fused: Proposals) -> Proposals | None:
        """Take the candidates of a window; the last one gives the recording's proposals.

        Parameters
        ----------
        window : Window
        seconds : float
            What the window lasts.
        fused : Proposals
            Positions are fractions of the window; `score` is the final one, before suppression.

        Returns
        -------
        Proposals or None
            Seconds, best first; None before the recording's last window.
        """
        part = placed(fused, window.offset(seconds), seconds)
        self._parts.append(part)
        self._held += len(part)
        if self._held > 2 * self._pool:
            self._prune()
        return self._finish(seconds / len(window), len(window)) if window.is_final else None

    def drop(self) -> None:
        """Forget the windows of the recording at hand."""
        self._parts, self._held = [], 0

    def _prune(self) -> None:
        everything = Proposals.concat(self._parts)
        best = np.argpartition(-everything.score, self._pool)[: self._pool]
        best.sort()  # ties are settled by the order in which candidates came
        self._parts = [everything[best]]
        self._held = self._pool

    def _finish(self, snippet: float, cells: int) -> Proposals:
        everything = Proposals.concat(self._parts)
        self.drop()
        return suppress(everything, snippet, cells, self._config)


def answered(windows: Iterable[Outcome | Lost], config: PipelineConfig) -> Iterator[Outcome | Lost]:
    """Windows as they pass, the last of each recording with the recording's proposals.

    Nothing more comes of a recording after `Lost`.
    """
    recordings = Recordings(config)
    lost: str | None = None
    for window in windows:
        if isinstance(window, Lost):
            if window.id != lost:
                recordings.drop()
                yield window
            lost = window.id
        elif window.id != lost:
            yield recordings.add(window)


def placed(fused: Proposals, offset: float, seconds: float) -> Proposals:
    """The candidates of a window in the recording's seconds; position p is offset + p * seconds."""
    return Proposals(offset + fused.start * seconds, offset + fused.end * seconds, fused.score)


def suppress(
    everything: Proposals, snippet: float, cells: int, config: PipelineConfig
) -> Proposals:
    """One Soft-NMS over all candidates of a recording, in its seconds.

    Parameters
    ----------
    everything : Proposals
        As `placed` makes them, windows in order.
    snippet : float
        Seconds.
    cells : int
        Snippets of a window; fewer than T where the recording is shorter.
    config : PipelineConfig
    """
    length = config.tem.length if config.tem else cells
    return soft_nms(everything, config.soft_nms, span=length * snippet)
