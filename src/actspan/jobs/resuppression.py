"""Proposals from the candidates that a run kept, under other settings of score and suppression."""

from __future__ import annotations

from collections.abc import Sequence

from actspan.config.stages import PipelineConfig
from actspan.core.ragged import RaggedProposals
from actspan.core.segments import Proposals
from actspan.jobs.candidate_files import Candidates
from actspan.pipeline.outcomes import suppress, to_recording_seconds
from actspan.pipeline.steps import final_proposals
from actspan.proposals.candidates import rank


def suppress_again(
    parts: Sequence[Candidates], config: PipelineConfig, snippets: int | None = None
) -> Proposals:
    """Return the proposals of a video, as the run would have them with these settings.

    Parameters
    ----------
    parts : sequence of Candidates
        The whole video, or all windows of a recording in order.
    config : PipelineConfig
        Those of the run, with another `fusion` or `soft_nms`.
    snippets : int, optional
        Length of the recording, which matters in window mode if it is shorter than a window.

    Returns
    -------
    Proposals
        Seconds, best first.
    """
    if config.mode != "window":
        (only,) = parts
        ragged = RaggedProposals.of([only.proposals])
        (best,) = final_proposals(ragged, only.confidence, [only.seconds], config)
        return best
    shown = min(config.cells, snippets or config.cells)
    candidates = [
        to_recording_seconds(
            part.proposals.with_score(rank(part.proposals, part.confidence, config)),
            part.offset,
            part.seconds,
        )
        for part in parts
    ]
    return suppress(Proposals.concat(candidates), parts[-1].seconds / shown, shown, config)
