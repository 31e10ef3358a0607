"""Windows of a recording, combined: one Soft-NMS over the whole recording (bsn.md section 11)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from actspan.config.stages import PipelineConfig
from actspan.core.types import Proposals
from actspan.data.recording import Window
from actspan.pipeline.outcomes import Failure, Outcome
from actspan.proposals.candidates import fuse
from actspan.proposals.suppression import soft_nms

POOL = 200_000  # minimum number of candidates kept per recording; the best ones


class Recordings:
    """Collector of windows in order; the last window of a recording gets the proposals.

    A pool keeps only the best candidates, so memory does not depend on the recording's length.
    The result is exact if the last pick scores more than the best candidate that was dropped:
    scores only decrease, so no dropped candidate would have been picked.

    Parameters
    ----------
    config : PipelineConfig
    pool : int
        Minimum number of candidates to keep.
    """

    def __init__(self, config: PipelineConfig, *, pool: int = POOL) -> None:
        self._config, self._pool = config, pool
        self._parts: list[Proposals] = []
        self._held = 0

    def add(self, outcome: Outcome) -> Outcome:
        """Add a window; return it, with proposals if it is the recording's last one."""
        assert outcome.window is not None
        fused = outcome.candidates.with_score(fuse(outcome.candidates, outcome.confidence))
        return replace(outcome, proposals=self.take(outcome.window, outcome.seconds, fused))

    def take(self, window: Window, seconds: float, fused: Proposals) -> Proposals | None:
        """Add the candidates of a window; return the proposals after the last window.

        Parameters
        ----------
        window : Window
        seconds : float
            Duration of the window.
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
        """Discard the windows of the current recording."""
        self._parts, self._held = [], 0

    def _prune(self) -> None:
        everything = Proposals.concat(self._parts)
        best = np.argpartition(-everything.score, self._pool)[: self._pool]
        best.sort()  # Sorted positions keep the order of arrival among ties.
        self._parts = [everything[best]]
        self._held = self._pool

    def _finish(self, snippet: float, cells: int) -> Proposals:
        everything = Proposals.concat(self._parts)
        self.drop()
        return suppress(everything, snippet, cells, self._config)


def with_recording_proposals(
    windows: Iterable[Outcome | Failure], config: PipelineConfig
) -> Iterator[Outcome | Failure]:
    """Yield windows in order, the last of each recording with the recording's proposals.

    After a failure, the rest of that recording yields nothing.
    """
    recordings = Recordings(config)
    failed: str | None = None
    for window in windows:
        if isinstance(window, Failure):
            if window.id != failed:
                recordings.drop()
                yield window
            failed = window.id
        elif window.id != failed:
            yield recordings.add(window)


def placed(fused: Proposals, offset: float, seconds: float) -> Proposals:
    """Convert a window's candidates to the recording's seconds: offset + position * seconds."""
    return Proposals(offset + fused.start * seconds, offset + fused.end * seconds, fused.score)


def suppress(
    everything: Proposals, snippet: float, cells: int, config: PipelineConfig
) -> Proposals:
    """Run one Soft-NMS over all candidates of a recording, in its seconds.

    Parameters
    ----------
    everything : Proposals
        Output of `placed`, windows in order.
    snippet : float
        Seconds.
    cells : int
        Snippets of a window; fewer than T if the recording is shorter.
    config : PipelineConfig
    """
    length = config.tem.length if config.tem else cells
    return soft_nms(everything, config.soft_nms, span=length * snippet)
