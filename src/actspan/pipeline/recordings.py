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
    """

    def __init__(self, config: PipelineConfig, *, pool: int = POOL) -> None:
        self._config, self._pool = config, pool
        self._parts: list[Proposals] = []
        self._held = 0
        self._failed: str | None = None  # the last recording that could not be read

    def complete(self, windows: Iterable[Outcome | Failure]) -> Iterator[Outcome | Failure]:
        """Yield windows in order, the last of each recording with the recording's proposals.

        After a failure, the rest of that recording yields nothing.
        """
        for window in windows:
            if isinstance(window, Failure):
                if window.id != self._failed:
                    self.drop()
                    yield window
                self._failed = window.id
            elif window.id != self._failed:
                yield self.add(window)

    def add(self, outcome: Outcome) -> Outcome:
        """Add a window; return it, with proposals if it is the recording's last one."""
        assert outcome.window is not None
        fused = outcome.candidates.with_score(fuse(outcome.candidates, outcome.confidence))
        return replace(outcome, proposals=self.take(outcome.window, outcome.seconds, fused))

    def take(self, window: Window, seconds: float, fused: Proposals) -> Proposals | None:
        """Add the candidates of a window of some `seconds`; return the proposals after the last.

        Positions in `fused` are fractions of the window, scores are the final ones before
        suppression. Proposals are in seconds, best first.
        """
        part = placed(fused, window.offset(seconds), seconds)
        self._parts.append(part)
        self._held += len(part)
        if self._held > 2 * self._pool:
            self._prune()
        if not window.is_final:
            return None
        everything = Proposals.concat(self._parts)
        self.drop()
        return suppress(everything, seconds / len(window), len(window), self._config)

    def drop(self) -> None:
        """Discard the windows of the current recording."""
        self._parts, self._held = [], 0

    def _prune(self) -> None:
        everything = Proposals.concat(self._parts)
        best = np.argpartition(-everything.score, self._pool)[: self._pool]
        best.sort()  # Sorted positions keep the order of arrival among ties.
        self._parts = [everything[best]]
        self._held = self._pool


def placed(fused: Proposals, offset: float, seconds: float) -> Proposals:
    """Convert a window's candidates to the recording's seconds: offset + position * seconds."""
    return Proposals(offset + fused.start * seconds, offset + fused.end * seconds, fused.score)


def suppress(
    everything: Proposals, snippet: float, cells: int, config: PipelineConfig
) -> Proposals:
    """Run one Soft-NMS over all candidates of a recording: the output of `placed`, in order.

    A snippet lasts `snippet` seconds; `cells` snippets are a window, fewer than T in a shorter
    recording.
    """
    length = config.tem.length if config.tem else cells
    return soft_nms(everything, config.soft_nms, span=length * snippet)
